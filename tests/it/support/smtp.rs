//! A real SMTP server: aiosmtpd, which is no code of ours, behind STARTTLS.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use super::process;
use super::wait::eventually;

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/smtp_server.py");

/// A certificate for localhost that is its own authority.
const CERTIFICATE: &str = "
[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = localhost
[extensions]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1
";

/// A running, or for the moment stopped, SMTP server on 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Smtp {
    directory: TempDir,
    port: u16,
    child: Option<Child>,
}

/// One accepted message, decoded by the server.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mail {
    /// The sender of the envelope.
    pub(crate) from: String,
    /// The recipients of the envelope.
    pub(crate) to: Vec<String>,
    headers: Vec<(String, String)>,
    /// The text/plain part.
    pub(crate) text: Option<String>,
    /// The text/html part.
    pub(crate) html: Option<String>,
    /// Whether it came over TLS.
    pub(crate) tls: bool,
    /// Who the client said it was, if it logged in.
    pub(crate) login: Option<String>,
}

impl Mail {
    /// The value of a header, unfolded and decoded.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Smtp {
    /// The only login the server accepts; logging in is optional.
    pub(crate) const LOGIN: (&str, &str) = ("perennial", "correct horse");

    /// Starts a server on a free port. It takes mail only after STARTTLS.
    pub(crate) fn start() -> Smtp {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        certify(directory.path());
        let mut smtp = Smtp { directory, port: 0, child: None };
        smtp.resume();
        smtp
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The PEM file a client has to trust; the certificate is for localhost and 127.0.0.1.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    /// Refuses every recipient with `reply`, as in "550 5.1.1 no such user".
    pub(crate) fn refuse_recipients(&self, reply: &str) {
        self.refuse(&format!("RCPT {reply}"));
    }

    /// Refuses every message after its last byte with `reply`, as in "451 4.3.2 busy".
    pub(crate) fn refuse_messages(&self, reply: &str) {
        self.refuse(&format!("DATA {reply}"));
    }

    /// Accepts everything again.
    pub(crate) fn accept(&self) {
        fs::remove_file(self.directory.path().join("refuse")).expect("the server was refusing");
    }

    /// Renames into place, so that the server never reads half a line.
    fn refuse(&self, line: &str) {
        let draft = self.directory.path().join("refuse.draft");
        fs::write(&draft, line).expect("the server's directory can be written");
        fs::rename(draft, self.directory.path().join("refuse")).expect("a file can be renamed");
    }

    /// Every accepted message so far, in order.
    pub(crate) fn received(&self) -> Vec<Mail> {
        let file = self.directory.path().join("messages.jsonl");
        let text = fs::read_to_string(file).unwrap_or_default();
        // The last line may still be on its way.
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).expect("the server writes JSON")).collect()
    }

    /// Waits until at least `count` messages have been accepted, and returns all of them.
    pub(crate) async fn wait_for(&self, count: usize, within: Duration) -> Vec<Mail> {
        let awaited = format!("{count} messages at the SMTP server");
        eventually(&awaited, within, async || {
            let received = self.received();
            if received.len() >= count { Ok(received) } else { Err(received) }
        })
        .await
    }

    /// Kills the server: connections break and new ones are refused.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("the SMTP server is running");
        child.kill().expect("a running child can be killed");
        child.wait().expect("a killed child can be waited for");
    }

    /// Starts it again on the same port, with what it received before.
    pub(crate) fn resume(&mut self) {
        assert!(self.child.is_none(), "the SMTP server is running already");
        let log = self.directory.path().join("log");
        let errors = File::options().append(true).create(true).open(&log);
        // Not `python3` from PATH: aiosmtpd is a Debian package of the system's Python.
        let mut child = Command::new("/usr/bin/python3")
            .arg(SERVER)
            .arg(self.directory.path())
            .arg(self.port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors.expect("the server's log can be opened"))
            .spawn()
            .expect("python3 is installed by tests/run");
        let mut line = String::new();
        let output = child.stdout.take().expect("the server's output is piped");
        BufReader::new(output).read_line(&mut line).expect("the server's output can be read");
        self.child = Some(child);
        self.port = line.trim().parse().unwrap_or_else(|_| {
            let log = fs::read_to_string(&log).unwrap_or_default();
            panic!("the SMTP server did not start (tests/run installs it): {log}")
        });
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
    }
}

fn certify(directory: &Path) {
    let config = directory.join("openssl.cnf");
    fs::write(&config, CERTIFICATE).expect("a temporary file can be written");
    process::run(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-config"])
            .arg(config)
            .arg("-keyout")
            .arg(directory.join("key.pem"))
            .arg("-out")
            .arg(directory.join("cert.pem")),
    );
}
