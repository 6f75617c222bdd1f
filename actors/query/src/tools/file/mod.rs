//! Reading, writing and listing files below the folders that the operator names. Off without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::plan::{ErrorKind, ValueType};
use crate::tool::{Call, Parameter, Tool, ToolAnswer, ToolError, ToolSpec, Toolbox, Trace};
use crate::tools::ConfigError;

mod append;
mod config;
mod place;
mod read;
mod write;

pub use config::{Config, Root};

use place::Place;
use write::{How, Writing, short};

/// How long others of this node are waited for by who looks what became of an attempt. One of them on a disk
/// that hangs must not keep the answer back, which then is that nobody knows.
const OTHERS: Duration = Duration::from_secs(3);

/// The tools share what they use: the disk.
const GROUP: &str = "file";
/// Bytes of a file that are read where nobody says how many: what an answer has room for in any case.
const UNASKED: usize = 128 * 1024;

/// Adds the tools that `config` switches on: `file_read` and `file_list` if there is a root, and
/// `file_write` if one may be written.
///
/// # Errors
/// The configuration has problems.
pub fn add(mut toolbox: Toolbox, config: &Config) -> Result<Toolbox, ConfigError> {
    ConfigError::unless_none(config.problems())?;
    if config.roots.is_empty() {
        return Ok(toolbox);
    }
    toolbox = toolbox
        .with(FileRead(Files::new(config, read_spec)))
        .with(FileList(Files::new(config, list_spec)));
    if config.roots.iter().any(|root| root.write) {
        let one_at_a_time = Arc::new(Mutex::new(()));
        toolbox = toolbox.with(FileWrite { files: Files::new(config, write_spec), one_at_a_time });
    }
    Ok(toolbox)
}

/// What every tool here knows.
#[derive(Debug)]
struct Files {
    spec: ToolSpec,
    config: Config,
}

impl Files {
    fn new(config: &Config, spec: fn(&[&str]) -> ToolSpec) -> Self {
        let names: Vec<String> = config.roots.iter().map(Root::name).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut spec = spec(&names);
        spec.group = GROUP.to_owned();
        Self { spec, config: config.clone() }
    }

    /// Where a call leads.
    fn place(&self, call: &Call) -> Result<Place, ToolError> {
        let arguments = &call.arguments.0;
        let root = match arguments["root"].as_str() {
            None => self.config.roots.first(),
            Some(name) => self.config.roots.iter().find(|root| root.name() == name),
        };
        let root = root.ok_or_else(|| ToolError::invalid("`root` names none of the roots"))?;
        Place::new(root, arguments["path"].as_str().unwrap_or_default())
    }
}

/// The tool `file_read`: `path`, `root` and `max_bytes` to `content`.
#[derive(Debug)]
struct FileRead(Files);

/// The tool `file_list`: `path` and `root` to `entries`.
#[derive(Debug)]
struct FileList(Files);

/// The tool `file_write`: `path`, `root`, `content` and `mode`.
#[derive(Debug)]
struct FileWrite {
    files: Files,
    /// Appends of this node do not meet each other's lock.
    one_at_a_time: Arc<Mutex<()>>,
}

impl Tool for FileRead {
    fn spec(&self) -> &ToolSpec {
        &self.0.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(async {
            let place = self.0.place(call)?;
            let most = self.0.config.max_bytes;
            let asked = call.arguments.0["max_bytes"].as_u64();
            let asked = asked.and_then(|asked| usize::try_from(asked).ok()).unwrap_or(UNASKED);
            blocking(move |_| read::read(&place, asked.min(most))).await
        })
    }
}

impl Tool for FileList {
    fn spec(&self) -> &ToolSpec {
        &self.0.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(async {
            let place = self.0.place(call)?;
            blocking(move |_| read::list(&place)).await
        })
    }
}

impl FileWrite {
    fn writing(&self, call: &Call) -> Result<Writing, ToolError> {
        let arguments = &call.arguments.0;
        let place = self.files.place(call)?;
        if !place.root.write {
            let message = format!("writing {place}: its root may only be read");
            return Err(ToolError::new(ErrorKind::Denied, message));
        }
        let content = arguments["content"].as_str().unwrap_or_default().to_owned();
        let most = self.files.config.max_bytes;
        if content.len() > most {
            let length = content.len();
            let message =
                format!("writing {place}: {length} bytes are more than the {most} allowed");
            return Err(ToolError::invalid(message));
        }
        let how = match arguments["mode"].as_str().unwrap_or("replace") {
            "create" => How::Create,
            "replace" => How::Replace,
            "append" => How::Append,
            other => return Err(ToolError::invalid(format!("`mode` cannot be `{other}`"))),
        };
        let make_folders = arguments["make_folders"].as_bool().unwrap_or_default();
        let (key, attempt) = (short(&call.key), call.attempt);
        let (since, deadline) = (call.since.as_micros(), call.deadline.as_micros());
        Ok(Writing { place, content, how, make_folders, key, attempt, since, deadline })
    }
}

impl Tool for FileWrite {
    fn spec(&self) -> &ToolSpec {
        &self.files.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(async {
            let writing = self.writing(call)?;
            let turn = Arc::clone(&self.one_at_a_time).lock_owned().await;
            blocking(move |cancelled| {
                let _turn = turn;
                writing.write(cancelled)
            })
            .await
        })
    }

    fn reconcile<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Trace> {
        Box::pin(async {
            // What is refused was not done.
            let Ok(writing) = self.writing(call) else { return Trace::NotDone };
            // Whoever writes or looks now would leave this in doubt, and has ended in a moment.
            let turn = Arc::clone(&self.one_at_a_time).lock_owned();
            let turn = timeout(OTHERS, turn).await.ok();
            let looked = blocking(move |_| {
                let _turn = turn;
                Ok(writing.trace())
            })
            .await;
            looked.unwrap_or_else(|error| Trace::Unknown(error.message))
        })
    }

    /// What is replaced by the same once more is not asked for.
    fn tells_apart(&self, call: &Call) -> bool {
        self.writing(call).map_or(true, |writing| writing.how != How::Replace)
    }
}

/// Set when it is dropped: nobody waits any more.
#[derive(Default)]
struct Cancel(Arc<AtomicBool>);

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs `work` where it may block. What a call that was dropped has begun looks at its argument before it
/// changes anything.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    let cancel = Cancel::default();
    let cancelled = Arc::clone(&cancel.0);
    let done = tokio::task::spawn_blocking(move || work(&cancelled)).await;
    drop(cancel);
    done.map_err(|error| ToolError::failed(format!("the work on the file broke off: {error}")))?
}

fn path() -> Parameter {
    Parameter::required("path", ValueType::String, "The path below the root, parts divided by `/`.")
}

fn root(names: &[&str]) -> Parameter {
    let what = "The root below which it is; the first one if it is not given.";
    Parameter::optional("root", ValueType::String, what).of(names)
}

fn read_spec(roots: &[&str]) -> ToolSpec {
    let most = "At most so many bytes from its beginning; 131072 if it is not given.";
    ToolSpec::new("file_read", "Reads a text file.")
        .parameter(path())
        .parameter(root(roots))
        .parameter(Parameter {
            minimum: Some(1.0),
            ..Parameter::optional("max_bytes", ValueType::Integer, most)
        })
}

fn list_spec(roots: &[&str]) -> ToolSpec {
    let what = "The path below the root; empty is the root itself.";
    ToolSpec::new("file_list", "Lists a folder.")
        .parameter(Parameter::optional("path", ValueType::String, what))
        .parameter(root(roots))
}

fn write_spec(roots: &[&str]) -> ToolSpec {
    let mode = "`create` refuses a file that is there; `replace`, the default, does not; `append` adds to it.";
    let folders = "Whether folders that are missing are made.";
    let mut spec =
        ToolSpec::new("file_write", "Writes a text file, wholly or not at all, and durably.")
            .parameter(path())
            .parameter(root(roots))
            .parameter(Parameter::required(
                "content",
                ValueType::String,
                "What is written, byte for byte.",
            ))
            .parameter(
                Parameter::optional("mode", ValueType::String, mode)
                    .of(&["create", "replace", "append"]),
            )
            .parameter(Parameter::optional("make_folders", ValueType::Boolean, folders));
    spec.permission = Some("file_write".to_owned());
    spec.changes_world = true;
    spec
}
