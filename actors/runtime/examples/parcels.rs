//! A dispatch desk that ships each parcel once, whatever dies.
//!
//! `cargo run -p perennial-runtime --example parcels -- DIRECTORY COUNT` orders so many parcels, waits until
//! they are shipped, and tells what stands in the carrier's book. Kill it with SIGKILL as often as you like
//! and run it again: the book ends with each parcel once.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use perennial_runtime::{
    Attempt, Durable, Effect, EffectError, Failure, Finished, IdempotencyKey, Kind, Options,
    Performer, Reconciliation, Runtime, SendOptions, Supervisor, SystemClock, Table, Turn,
};
use perennial_store::{DataDir, SledBackend, SledOptions};
use serde::{Deserialize, Serialize};

/// A parcel, from its order until it is shipped: an actor each, whose key is the parcel's number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Parcel {
    to: String,
    reminders: u32,
    shipped: bool,
}

/// All that a parcel can be told.
#[derive(Debug, Serialize, Deserialize)]
enum Told {
    Order {
        to: String,
    },
    /// A timer's: it has waited long.
    Late,
    Shipped(Finished<Ship>),
    Status,
}

impl From<Finished<Ship>> for Told {
    fn from(finished: Finished<Ship>) -> Self {
        Self::Shipped(finished)
    }
}

/// Rows beside the state: what was shipped, by the parcel's key.
const SHIPPED: Table<String> = Table::new("shipped", 1);

impl Durable for Parcel {
    const KIND: Kind = Kind::new("parcel");
    type Message = Told;
    type Settings = ();

    fn handle(&mut self, message: Told, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match message {
            Told::Order { to } if to.is_empty() => {
                return Err(Failure::Reject("a parcel needs an address".to_owned()));
            }
            Told::Order { to } => {
                self.to = to;
                turn.send_after(Duration::from_secs(5), "late", &Told::Late);
                turn.perform(&Ship { parcel: turn.key().to_owned(), to: self.to.clone() });
            }
            Told::Late => self.reminders += 1,
            Told::Shipped(Finished { result: Ok(line), .. }) => {
                self.shipped = true;
                turn.cancel("late");
                let number = turn.key().to_owned();
                turn.put(&SHIPPED, &number, &line);
            }
            Told::Shipped(Finished { result: Err(why), .. }) => {
                return Err(Failure::Reject(format!("not shipped: {why}")));
            }
            Told::Status => turn.reply(&self.shipped),
        }
        Ok(())
    }
}

/// What is asked of the carrier, as data: it is stored with the turn that wants it, and performed after.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ship {
    parcel: String,
    to: String,
}

impl Effect for Ship {
    const NAME: &'static str = "ship";
    type Owner = Parcel;
    type Outcome = String;
}

impl Ship {
    fn line(&self, key: &IdempotencyKey) -> String {
        format!("{key} {} to {}", self.parcel, self.to)
    }
}

/// The carrier: a book with a line for each parcel.
struct Carrier {
    book: PathBuf,
}

impl Carrier {
    fn write(&self, line: &str) -> io::Result<()> {
        let mut book = OpenOptions::new().create(true).append(true).open(&self.book)?;
        // On a line of its own, should a loss of power have cut the last one short.
        book.write_all(format!("\n{line}\n").as_bytes())?;
        book.sync_data()
    }
}

/// What stands in the book.
pub(crate) fn lines_of(book: &Path) -> io::Result<Vec<String>> {
    let text = match std::fs::read_to_string(book) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

impl Performer<Ship> for Carrier {
    async fn perform(&self, ship: &Ship, attempt: &Attempt) -> Result<String, EffectError> {
        let line = ship.line(&attempt.key);
        // Whether it stands there all the same is not known: the book is asked before another attempt.
        self.write(&line).map_err(|error| EffectError::Unknown(error.to_string()))?;
        Ok(line)
    }

    /// Asked when an attempt has no answer, as after a crash.
    async fn reconcile(&self, ship: &Ship, attempt: &Attempt) -> Reconciliation<String> {
        let line = ship.line(&attempt.key);
        match lines_of(&self.book) {
            Ok(lines) if lines.contains(&line) => Reconciliation::Done(line),
            Ok(_) => Reconciliation::NotDone,
            Err(error) => Reconciliation::Unreachable(error.to_string()),
        }
    }
}

/// Starts a node of parcels on a directory that nobody else uses.
async fn start(data: &DataDir, book: PathBuf) -> Result<Runtime, Box<dyn std::error::Error>> {
    let store = SledBackend::open(&data.store_dir(), SledOptions::default())?;
    let mut options = Options::new(Arc::new(store), Arc::new(SystemClock));
    // With these two a message that kills the process is found out, and put aside after some attempts.
    options.unclean_ends = data.unclean_ends();
    options.inflight = Some(data.inflight_path());
    let desk = Supervisor::new("desk").actors::<Parcel>(()).performer::<Ship, _>(Carrier { book });
    Ok(Runtime::start(options, desk).await?)
}

/// Orders `count` parcels, waits until they are shipped, and returns the lines of the carrier's book.
///
/// # Errors
/// The directory is in use or cannot be read, or a parcel was refused.
pub(crate) async fn run(
    directory: &Path,
    count: u32,
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let data = DataDir::open(directory)?;
    let book = directory.join("book.txt");
    let runtime = start(&data, book.clone()).await?;
    for number in 0..count {
        let to = format!("street {number}");
        // Under a token an order that was accepted before the last crash is the same order now.
        let options =
            SendOptions { token: Some(format!("order-{number}")), ..SendOptions::default() };
        let order = Told::Order { to };
        runtime.send_with::<Parcel>(number.to_string(), &order, options).await?;
    }
    while runtime.tables().scan(&SHIPPED, b"", usize::MAX)?.len() < count as usize {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let patience = Duration::from_secs(60);
    for number in 0..count {
        let shipped: bool =
            runtime.ask::<Parcel, _>(number.to_string(), &Told::Status, patience).await?;
        assert!(shipped, "its row is written in the turn that says so");
    }
    runtime.shutdown().await?;
    data.mark_clean()?;
    Ok(lines_of(&book)?)
}

#[tokio::main]
#[cfg_attr(test, expect(dead_code, reason = "a test calls what it calls"))]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(count)) = (arguments.next(), arguments.next()) else {
        return Err("usage: parcels DIRECTORY COUNT".into());
    };
    let lines = run(Path::new(&directory), count.parse()?).await?;
    writeln!(io::stdout(), "{} lines in the book, of {count} parcels", lines.len())?;
    Ok(())
}
