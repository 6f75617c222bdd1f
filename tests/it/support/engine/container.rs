//! A container of a test: how to start it, and what the engine says of it.

use std::time::Duration;

use serde_json::Value;

use super::super::wait::eventually;
use super::{Docker, LABEL, image};

/// What to start; a builder.
#[derive(Clone, Debug)]
pub(crate) struct ContainerSpec {
    name: String,
    script: String,
    options: Vec<String>,
}

/// A container's health check: `sh -c command` each `interval`, unhealthy after `retries` failures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health<'a> {
    /// Exit code 0 means healthy.
    pub(crate) command: &'a str,
    /// From the end of one check to the start of the next.
    pub(crate) interval: Duration,
    /// Failures in a row until unhealthy.
    pub(crate) retries: u32,
    /// Failures within it do not count.
    pub(crate) start_period: Duration,
}

impl ContainerSpec {
    /// A container that runs `sh -c script`; its name is made unique by the engine's run id.
    pub(crate) fn new(name: &str, script: &str) -> ContainerSpec {
        let options = Vec::new();
        ContainerSpec { name: name.to_owned(), script: script.to_owned(), options }
    }

    /// A container that does nothing for ever and ends at once when it is told to.
    pub(crate) fn idle(name: &str) -> ContainerSpec {
        ContainerSpec::new(name, "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done")
    }

    /// Any other option of `docker run`, as one word (`--env=A=1`).
    pub(crate) fn option(mut self, option: impl Into<String>) -> ContainerSpec {
        self.options.push(option.into());
        self
    }

    pub(crate) fn label(self, key: &str, value: &str) -> ContainerSpec {
        self.option(format!("--label={key}={value}"))
    }

    /// Sets the label `perennial.mode`: "observe", "propose" or "auto".
    pub(crate) fn mode(self, mode: &str) -> ContainerSpec {
        self.label("perennial.mode", mode)
    }

    /// Sets the engine's own restart policy, as in "on-failure:3".
    pub(crate) fn restart(self, policy: &str) -> ContainerSpec {
        self.option(format!("--restart={policy}"))
    }

    /// Limits memory, and swap with it, so that going over it is an OOM kill.
    pub(crate) fn memory_mib(self, mebibytes: u32) -> ContainerSpec {
        self.option(format!("--memory={mebibytes}m")).option(format!("--memory-swap={mebibytes}m"))
    }

    pub(crate) fn cpus(self, cpus: f32) -> ContainerSpec {
        self.option(format!("--cpus={cpus}"))
    }

    pub(crate) fn health(self, health: Health<'_>) -> ContainerSpec {
        self.option(format!("--health-cmd={}", health.command))
            .option(format!("--health-interval={}ms", health.interval.as_millis()))
            .option(format!("--health-retries={}", health.retries))
            .option(format!("--health-start-period={}ms", health.start_period.as_millis()))
            .option("--health-timeout=5s")
    }
}

/// A started container; removed when its [`Engine`](super::Engine) is dropped.
#[derive(Debug)]
pub(crate) struct Container {
    docker: Docker,
    id: String,
    name: String,
}

impl Container {
    pub(super) fn start(docker: Docker, run: &str, spec: ContainerSpec) -> Container {
        let name = format!("{run}-{}", spec.name);
        let label = format!("--label={LABEL}={run}");
        let unique = format!("--name={name}");
        // Without a short grace every stop of a script that ignores SIGTERM takes ten seconds.
        let mut arguments =
            vec!["run", "--detach", "--network=none", "--stop-timeout=1", &label, &unique];
        arguments.extend(spec.options.iter().map(String::as_str));
        arguments.extend([image::NAME, "/bin/sh", "-c", &spec.script]);
        let id = docker.call(&arguments);
        Container { docker, id, name }
    }

    /// The full id, 64 hexadecimal digits.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The unique name the engine knows, without a leading slash.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What `docker inspect` says.
    pub(crate) fn inspect(&self) -> Value {
        let text = self.docker.call(&["inspect", "--type=container", &self.id]);
        let mut list: Value = serde_json::from_str(&text).expect("docker inspect prints JSON");
        list[0].take()
    }

    /// `running`, `exited`, `restarting` and so on.
    pub(crate) fn status(&self) -> String {
        text(&self.inspect()["State"]["Status"])
    }

    /// When it was last started, as the engine writes it (RFC 3339).
    pub(crate) fn started_at(&self) -> String {
        text(&self.inspect()["State"]["StartedAt"])
    }

    /// How often the engine's own restart policy has restarted it.
    pub(crate) fn restart_count(&self) -> u64 {
        self.inspect()["RestartCount"].as_u64().expect("RestartCount is a number")
    }

    /// Its output so far.
    pub(crate) fn logs(&self) -> String {
        self.docker.call(&["logs", &self.id])
    }

    /// Stops it as an operator would.
    pub(crate) fn stop(&self) {
        self.docker.call(&["stop", &self.id]);
    }

    /// Sends it a signal as an operator would ("KILL").
    pub(crate) fn kill(&self, signal: &str) {
        self.docker.call(&["kill", "--signal", signal, &self.id]);
    }

    pub(crate) fn remove(&self) {
        self.docker.call(&["rm", "--force", "--volumes", &self.id]);
    }

    /// Runs a shell script in it and returns what it printed; panics when the script fails.
    pub(crate) fn exec(&self, script: &str) -> String {
        self.docker.call(&["exec", &self.id, "/bin/sh", "-c", script])
    }

    /// Waits until `State` of `docker inspect` satisfies `wanted`, and returns it.
    pub(crate) async fn wait_for(
        &self,
        awaited: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let awaited = format!("container {} to be {awaited}", self.name);
        eventually(&awaited, within, async || {
            let state = self.inspect()["State"].take();
            if wanted(&state) { Ok(state) } else { Err(state) }
        })
        .await
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("the engine answers with text here").to_owned()
}
