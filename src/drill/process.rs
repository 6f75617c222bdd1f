//! The process of the node that is struck, started again by the drill whenever it ends.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use perennial_secret::Secret;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

use crate::client::Client;
use crate::exit::{Exit, Failure};

/// A node that has not started after this is counted as broken.
const START: Duration = Duration::from_secs(60);

/// The node's process.
#[derive(Debug)]
pub(super) struct Process {
    directory: PathBuf,
    running: Running,
    /// Where the node listens now.
    client: watch::Sender<Client>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a node with the configuration in `directory`, and its data there.
    pub(super) async fn start(directory: &Path) -> Result<Self, Failure> {
        let (running, client) = spawn(directory).await?;
        let directory = directory.to_owned();
        Ok(Self { directory, running, client: watch::Sender::new(client) })
    }

    pub(super) fn client(&self) -> watch::Receiver<Client> {
        self.client.subscribe()
    }

    /// Has a part of the node struck; returns what was done.
    pub(super) async fn order(&mut self, order: &str) -> Result<String, Failure> {
        let Running { orders, answers, .. } = &mut self.running;
        let line = format!("{order}\n");
        let asked = async {
            orders.write_all(line.as_bytes()).await?;
            answers.next_line().await
        };
        match tokio::time::timeout(START, asked).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None) | Err(_)) | Err(_) => Err(self.broken(&format!("it did not {order}"))),
        }
    }

    /// Kills the process with SIGKILL.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        let ended = self.running.child.kill().await;
        ended.map_err(|error| self.broken(&error.to_string()))
    }

    /// Waits for the process to end, and returns its exit code.
    pub(super) async fn ends(&mut self) -> Result<i32, Failure> {
        let ended = tokio::time::timeout(START, self.running.child.wait()).await;
        let Ok(Ok(status)) = ended else { return Err(self.broken("it did not end")) };
        Ok(status.code().unwrap_or(-1))
    }

    /// Starts an ended process again.
    pub(super) async fn start_again(&mut self) -> Result<(), Failure> {
        let (running, client) = spawn(&self.directory).await?;
        self.running = running;
        self.client.send_replace(client);
        Ok(())
    }

    fn broken(&self, why: &str) -> Failure {
        broken(&self.directory, why)
    }
}

async fn spawn(directory: &Path) -> Result<(Running, Client), Failure> {
    let failed = |error: std::io::Error| broken(directory, &error.to_string());
    let log = File::options().create(true).append(true).open(log(directory)).map_err(failed)?;
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("drill-node")
        .arg("--config")
        .arg(directory.join("perennial.toml"))
        .arg("--data-dir")
        .arg(directory.join("data"))
        .args(["--listen", "127.0.0.1:0"])
        // The operator's own settings would lead it to the operator's containers.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let pipes = (child.stdin.take(), child.stdout.take());
    let (Some(orders), Some(out)) = pipes else { return Err(broken(directory, "no pipes")) };
    let mut answers = BufReader::new(out).lines();
    let first = tokio::time::timeout(START, answers.next_line()).await;
    let address = match first {
        Ok(Ok(Some(line))) => line.parse::<SocketAddr>().ok(),
        Ok(Ok(None) | Err(_)) | Err(_) => None,
    };
    let address = address.ok_or_else(|| broken(directory, "it did not start"))?;
    let client = Client::of_listener(address, Secret::default());
    Ok((Running { child, orders, answers }, client))
}

fn log(directory: &Path) -> PathBuf {
    directory.join("node.log")
}

fn broken(directory: &Path, why: &str) -> Failure {
    let text = std::fs::read_to_string(log(directory)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(5)..].join("\n");
    let message =
        format!("the node of the drill cannot be used: {why}; the end of its log:\n{last}");
    Failure::new(Exit::Software, message)
}
