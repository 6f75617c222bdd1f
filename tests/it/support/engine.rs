//! A real Docker engine, driven by its command-line client.

mod container;
mod daemon;
mod image;

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

pub(crate) use self::container::{Container, ContainerSpec, Health};
use self::daemon::Daemon;
use super::process;

/// The label every container of a test carries; its value is the test's own run id.
const LABEL: &str = "perennial.test";

/// A Docker engine, and the containers one test started on it.
///
/// The shared engine also runs other tests' containers, so a node under test must be told to look
/// at [`Engine::names`] only. What this test started is removed on drop.
#[derive(Debug)]
pub(crate) struct Engine {
    docker: Docker,
    run: String,
    /// Only for an engine of the test's own.
    daemon: Option<Daemon>,
    /// Its unique name is the run id; a private engine lives in it.
    _directory: TempDir,
}

impl Engine {
    /// Uses the engine `tests/run` started for all tests.
    pub(crate) fn connect() -> Engine {
        let host = std::env::var_os("PERENNIAL_TEST_DOCKER")
            .and_then(|host| host.into_string().ok())
            .expect("PERENNIAL_TEST_DOCKER names no engine: run this test by `tests/run NAME`");
        Engine::new(Docker { host }, None, directory())
    }

    /// Starts an engine of the test's own, which [`Engine::stop`] and [`Engine::kill9`] may end.
    ///
    /// It starts in about a second and needs root.
    pub(crate) async fn start_private() -> Engine {
        let directory = directory();
        let docker = Docker { host: Daemon::host(directory.path()) };
        let daemon = Daemon::start(directory.path(), &docker).await;
        Engine::new(docker, Some(daemon), directory)
    }

    fn new(docker: Docker, daemon: Option<Daemon>, directory: TempDir) -> Engine {
        let name = directory.path().file_name().expect("a temporary directory has a name");
        let run = name.to_string_lossy().to_lowercase();
        image::provide(&docker);
        Engine { docker, run, daemon, _directory: directory }
    }

    /// The engine's address, `unix:///path/to/docker.sock`.
    pub(crate) fn host(&self) -> &str {
        &self.docker.host
    }

    /// A glob that matches this test's containers and no others.
    pub(crate) fn names(&self) -> String {
        format!("{}-*", self.run)
    }

    /// Starts a container and returns once the engine has started it.
    pub(crate) fn run(&self, spec: ContainerSpec) -> Container {
        Container::start(self.docker.clone(), &self.run, spec)
    }

    /// Runs `docker` with `arguments` and returns what it printed; panics when it fails.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        self.docker.call(arguments)
    }

    /// Stops a private engine in good order, and its containers with it.
    pub(crate) fn stop(&mut self) {
        self.private().stop();
    }

    /// Kills a private engine with SIGKILL; its containers run on until it starts again.
    pub(crate) async fn kill9(&mut self) {
        self.private().kill9().await;
    }

    /// Starts a private engine again on the same socket and data, and waits until it answers.
    pub(crate) async fn start(&mut self) {
        let docker = self.docker.clone();
        self.private().resume(&docker).await;
    }

    fn private(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("only an engine made by Engine::start_private may be ended")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let filter = format!("label={LABEL}={}", self.run);
        let found = self.docker.try_call(&["ps", "--all", "--quiet", "--filter", &filter]);
        let ids = found.unwrap_or_default();
        if !ids.is_empty() {
            let mut arguments = vec!["rm", "--force", "--volumes"];
            arguments.extend(ids.lines());
            // A container that went away meanwhile is what was wanted, so no answer is asked for.
            drop(self.docker.try_call(&arguments));
        }
    }
}

/// The command-line client, bound to one engine.
#[derive(Clone, Debug)]
struct Docker {
    host: String,
}

impl Docker {
    /// Bounds every call, so a hung engine fails the test by name.
    const DEADLINE: Duration = Duration::from_secs(60);

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.arg(Docker::DEADLINE.as_secs().to_string());
        command.args(["docker", "--host", &self.host]).args(arguments);
        command
    }

    fn call(&self, arguments: &[&str]) -> String {
        process::run(&mut self.command(arguments)).trim_end().to_owned()
    }

    /// Like `call`, for questions that an absent engine or container may not answer.
    fn try_call(&self, arguments: &[&str]) -> Option<String> {
        let output = self.command(arguments).output().expect("the docker client runs");
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        output.status.success().then_some(text)
    }
}

fn directory() -> TempDir {
    let made = tempfile::Builder::new().prefix("t-").rand_bytes(8).tempdir();
    made.expect("a temporary directory can be made")
}
