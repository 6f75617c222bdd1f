//! Runs a command in a container.

use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures::StreamExt;
use perennial_runtime::EffectError;

use super::{EnginePerformer, acting};
use crate::analyzer::redact::Redactor;
use crate::docker::EngineError;
use crate::model::ActionOutcome;
use crate::responder::effect::EngineAction;
use crate::responder::gates::exec_allowed;

/// Characters of the output that are kept.
const OUTPUT_CHARS: usize = 1000;
/// Bytes of the output that are read at most; the command is not held up by more.
const OUTPUT_BYTES: usize = 64 * 1024;

impl EnginePerformer {
    /// The allow-list is asked again here: the effect may have waited over a change of configuration.
    pub(super) async fn exec(
        &self,
        effect: &EngineAction,
        command: &[String],
    ) -> Result<ActionOutcome, EffectError> {
        exec_allowed(command, &self.config).map_err(EffectError::Permanent)?;
        let limit = self.config.exec.timeout;
        match tokio::time::timeout(limit, self.run(effect, command)).await {
            Ok(ran) => ran.map(|(code, output)| outcome(code, &output)),
            Err(_) => Ok(ActionOutcome::Failed(format!(
                "no end within {limit:?}; the command may still run in the container"
            ))),
        }
    }

    async fn run(
        &self,
        effect: &EngineAction,
        command: &[String],
    ) -> Result<(Option<i64>, String), EffectError> {
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..ExecConfig::default()
        };
        let (id, deadline) = (effect.subject.id.0.clone(), self.engine.deadline());
        let create = |docker: bollard::Docker| async move { docker.create_exec(&id, config).await };
        let exec = self.engine.call(deadline, create).await.map_err(super::asking)?.id;
        let started = exec.clone();
        let start = |docker: bollard::Docker| async move {
            docker.start_exec(&started, None::<StartExecOptions>).await
        };
        let results = self.engine.call(deadline, start).await.map_err(acting)?;
        let output = read(results).await.map_err(acting)?;
        let inspect = |docker: bollard::Docker| async move { docker.inspect_exec(&exec).await };
        let inspected = self.engine.call(deadline, inspect).await.map_err(lost)?;
        Ok((inspected.exit_code, output))
    }
}

/// The command ran; only its exit code is not known.
fn lost(error: EngineError) -> EffectError {
    EffectError::Unknown(format!("the command ran, its exit code cannot be read: {error}"))
}

async fn read(results: StartExecResults) -> Result<String, EngineError> {
    let StartExecResults::Attached { mut output, .. } = results else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    while let Some(piece) = output.next().await {
        let piece = piece.map_err(EngineError::from)?.into_bytes();
        let room = OUTPUT_BYTES.saturating_sub(bytes.len());
        bytes.extend(piece.iter().take(room));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(super) fn outcome(code: Option<i64>, output: &str) -> ActionOutcome {
    let output = presentable(output);
    match code {
        Some(0) => ActionOutcome::Done(format!("exit code 0: {output}")),
        Some(code) => ActionOutcome::Failed(format!("exit code {code}: {output}")),
        None => ActionOutcome::Unknown(format!("the command ended without an exit code: {output}")),
    }
}

/// Secrets are taken out before the cut, which could otherwise hide what makes them known as such.
fn presentable(output: &str) -> String {
    let mut redactor = Redactor::default();
    let lines: Vec<_> = output.lines().map(|line| redactor.line(line)).collect();
    lines.join("\n").chars().take(OUTPUT_CHARS).collect()
}
