//! PostgreSQL as a queue: a row for a message, taken with `FOR UPDATE SKIP LOCKED`.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

use crate::load::{self, Pushed};
use crate::process::{Server, Wire, connect_unix, find};

/// A backend is a process: more senders than this share connections.
const CONNECTIONS: usize = 64;

/// Where Debian keeps the programs.
const DEBIAN: [&str; 2] = ["/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/17/bin"];

/// A cluster of its own.
#[derive(Debug)]
pub struct Postgres {
    socket: PathBuf,
    _server: Server,
}

impl Postgres {
    /// Makes and starts a cluster in `dir`; none if it is not installed.
    pub async fn start(dir: &Path) -> Option<Self> {
        let initdb = find("initdb", &DEBIAN)?;
        let postgres = find("postgres", &DEBIAN)?;
        // It refuses to run as root.
        let owner = ids_of("postgres");
        if let Some((user, group)) = owner {
            std::os::unix::fs::chown(dir, Some(user), Some(group)).unwrap();
        }
        let data = dir.join("data");
        let mut command = with_owner(Command::new(initdb), owner);
        command.args(["--auth=trust", "--username=postgres", "--no-sync", "-D"]).arg(&data);
        let made = command.current_dir(dir).stdout(Stdio::null()).status().unwrap();
        assert!(made.success(), "initdb failed");
        let mut command = with_owner(Command::new(postgres), owner);
        command.arg("-D").arg(&data).arg("-k").arg(dir).current_dir(dir);
        command.args(["-c", "listen_addresses=", "-c", "synchronous_commit=on"]);
        command.args(["-c", "fsync=on", "-c", "max_connections=100"]);
        command.args(["-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB"]);
        let server = Server::start(&mut command);
        let made = Self { socket: dir.join(".s.PGSQL.5432"), _server: server };
        let mut wire = made.connect().await;
        query(&mut wire, "CREATE TABLE queue (id bigserial PRIMARY KEY, body bytea)").await;
        query(&mut wire, "CREATE TABLE state (id bigint PRIMARY KEY, body bytea)").await;
        Some(made)
    }

    /// The URL of one of its databases, for clients written in Python.
    pub fn url(&self, database: &str) -> String {
        let dir = self.socket.parent().unwrap();
        format!("postgresql+psycopg://postgres@/{database}?host={}", dir.display())
    }

    async fn connect(&self) -> Wire {
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            let mut wire = connect_unix(&self.socket).await;
            let mut body = 196_608_u32.to_be_bytes().to_vec();
            body.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
            wire.write_all(&(body.len() as u32 + 4).to_be_bytes()).await.unwrap();
            wire.write_all(&body).await.unwrap();
            wire.flush().await.unwrap();
            match until_ready(&mut wire).await {
                Ok(_) => return wire,
                // It is still starting.
                Err(error) => assert!(Instant::now() < give_up, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Inserts messages from `senders` tasks.
    pub async fn push(&self, senders: usize, time: Duration) -> Pushed {
        let mut wires = Vec::new();
        for _ in 0..senders.min(CONNECTIONS) {
            let mut wire = self.connect().await;
            prepare(&mut wire, "INSERT INTO queue (body) VALUES ($1)").await;
            wires.push(Arc::new(Mutex::new(wire)));
        }
        let of = |at: usize| wires[at % wires.len()].clone();
        let senders = (0..senders).map(of).collect();
        let body = Arc::new(load::message());
        load::drive(senders, time, move |wire, _| {
            let body = body.clone();
            async move {
                execute(&mut *wire.lock().await, body.as_bytes()).await;
                wire
            }
        })
        .await
    }

    /// Takes all messages out in batches of 64, with a state of 128 bytes for each of 100 actors of a
    /// worker written in the same transactions. Returns the messages per second.
    pub async fn handle(&self, workers: usize, count: usize) -> f64 {
        let mut tasks = tokio::task::JoinSet::new();
        let began = Instant::now();
        for worker in 0..workers.min(CONNECTIONS) {
            let mut wire = self.connect().await;
            let own = worker * 100;
            let take = format!(
                "WITH taken AS (DELETE FROM queue WHERE id IN (SELECT id FROM queue ORDER BY id \
                 FOR UPDATE SKIP LOCKED LIMIT 64) RETURNING id), put AS (INSERT INTO state \
                 SELECT DISTINCT {own} + id % 100, $1::bytea FROM taken \
                 ON CONFLICT (id) DO UPDATE SET body = EXCLUDED.body) SELECT count(*) FROM taken"
            );
            prepare(&mut wire, &take).await;
            tasks.spawn(async move {
                let mut handled = 0;
                loop {
                    match execute(&mut wire, &[b's'; 128]).await.unwrap() {
                        0 => return handled,
                        some => handled += some,
                    }
                }
            });
        }
        let handled: usize = tasks.join_all().await.into_iter().sum();
        assert_eq!(handled, count, "PostgreSQL handled what was pushed");
        count as f64 / began.elapsed().as_secs_f64()
    }
}

/// User and group of a name, from the list of users; none if this process is not root's.
fn ids_of(name: &str) -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let user = fields.into_iter().find(|fields| fields.first() == Some(&name))?;
    let own = std::fs::metadata("/proc/self").unwrap();
    let root = std::os::unix::fs::MetadataExt::uid(&own) == 0;
    root.then(|| (user[2].parse().unwrap(), user[3].parse().unwrap()))
}

fn with_owner(mut command: Command, owner: Option<(u32, u32)>) -> Command {
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command
}

async fn send(wire: &mut Wire, kind: u8, body: &[u8]) {
    wire.write_all(&[kind]).await.unwrap();
    wire.write_all(&(body.len() as u32 + 4).to_be_bytes()).await.unwrap();
    wire.write_all(body).await.unwrap();
}

async fn query(wire: &mut Wire, text: &str) {
    send(wire, b'Q', format!("{text}\0").as_bytes()).await;
    wire.flush().await.unwrap();
    until_ready(wire).await.unwrap();
}

/// Prepares the connection's one statement.
async fn prepare(wire: &mut Wire, text: &str) {
    send(wire, b'P', format!("\0{text}\0\0\0").as_bytes()).await;
    send(wire, b'S', b"").await;
    wire.flush().await.unwrap();
    until_ready(wire).await.unwrap();
}

/// Runs it with one value; returns the number in its row, if it gives one.
async fn execute(wire: &mut Wire, value: &[u8]) -> Option<usize> {
    // Unnamed portal and statement, one value in binary, the answer as text.
    let mut bind = vec![0, 0, 0, 1, 0, 1, 0, 1];
    bind.extend_from_slice(&(value.len() as u32).to_be_bytes());
    bind.extend_from_slice(value);
    bind.extend_from_slice(&[0, 0]);
    send(wire, b'B', &bind).await;
    send(wire, b'E', &[0; 5]).await;
    send(wire, b'S', b"").await;
    wire.flush().await.unwrap();
    until_ready(wire).await.unwrap()
}

/// Reads up to the end of an answer.
async fn until_ready(wire: &mut Wire) -> Result<Option<usize>, String> {
    let mut number = None;
    loop {
        let kind = wire.read_u8().await.map_err(|error| error.to_string())?;
        let length = wire.read_u32().await.map_err(|error| error.to_string())?;
        let mut body = vec![0; length as usize - 4];
        wire.read_exact(&mut body).await.map_err(|error| error.to_string())?;
        match kind {
            b'Z' => return Ok(number),
            b'E' => return Err(String::from_utf8_lossy(&body).into_owned()),
            // One column: a count of two bytes, its length of four, its text.
            b'D' => number = Some(String::from_utf8_lossy(&body[6..]).parse().unwrap()),
            _ => {}
        }
    }
}
