//! The runtime: after any cut, what was accepted is applied or still coming, once; what was done to the
//! world has its intent; and a client that repeats what it is unsure of changes nothing twice.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use perennial_runtime::{
    Attempt, EffectError, Performer, Reconciliation, Runtime, SendOptions, Supervisor, SystemClock,
};
use perennial_store::{DataDir, SledBackend, check_data};

use super::cuts::Cut;
use super::disk::{JOURNAL, Keep};
use super::recording::{DATA, Recording, Said, record};
use super::small_journal;
use crate::world::{Account, Deed, Node, Outside, Told, clock, options};

/// The accounts, of which the first keeps the diary.
const ACCOUNTS: u64 = 4;
const STEPS: u64 = 60;

/// The world, which remembers all that was done to it.
#[derive(Clone)]
struct Ledger {
    outside: Outside,
    said: Option<Arc<Said>>,
}

impl Performer<Deed> for Ledger {
    async fn perform(&self, deed: &Deed, attempt: &Attempt) -> Result<String, EffectError> {
        if let Some(said) = &self.said {
            said.say(&format!("did {} {}", deed.name, attempt.key));
        }
        self.outside.perform(deed, attempt).await
    }

    async fn reconcile(&self, deed: &Deed, attempt: &Attempt) -> Reconciliation<String> {
        self.outside.reconcile(deed, attempt).await
    }
}

fn account(number: u64) -> String {
    format!("account-{}", number % ACCOUNTS)
}

/// What the client sends as its step `number`: one of five things.
fn step(number: u64) -> (String, Told) {
    let to = account(number / 5);
    match number % 5 {
        // A digit each, to the base 4, of the sum of all balances.
        0 => {
            let path = vec![account(number / 5 + 1), account(number / 5 + 2)];
            (to, Told::Transfer { amount: 4_i64.pow(number as u32 / 5), path })
        }
        1 => ("diary".to_owned(), Told::Note(number.to_string())),
        2 => (to, Told::Perform(Deed::named(&number.to_string()))),
        3 => {
            let note = number.to_string();
            (to, Told::Remind { name: note.clone(), after_ms: 3, note })
        }
        _ => (to, Told::Fail(number.to_string())),
    }
}

async fn open(path: &Path, ledger: &Ledger) -> Result<(Node, DataDir), String> {
    let data = DataDir::open(path).map_err(|error| error.to_string())?;
    let backend =
        SledBackend::open(&data.store_dir(), small_journal()).map_err(|error| error.to_string())?;
    let clock = clock();
    let mut options = options(Arc::new(backend), &clock);
    options.clock = Arc::new(SystemClock);
    options.unclean_ends = data.unclean_ends();
    options.inflight = Some(data.inflight_path());
    let settings = Arc::default();
    let tree = Supervisor::new("bank")
        .actors::<Account>(Arc::clone(&settings))
        .performer::<Deed, _>(ledger.clone());
    let runtime = Runtime::start(options, tree).await.map_err(|error| error.to_string())?;
    Ok((Node { runtime, outside: ledger.outside.clone(), clock, settings }, data))
}

async fn send(node: &Node, number: u64) -> Result<(), String> {
    let (key, told) = step(number);
    let options = SendOptions { token: Some(number.to_string()), ..SendOptions::default() };
    let sent = node.runtime.send_with::<Account>(&key, &told, options).await;
    sent.map(drop).map_err(|error| error.to_string())
}

/// The child: two clients send at the same time, one all notes, in order, and one the rest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_that_keeps_accounts() {
    let Some(root) = Said::root() else { return };
    let said = Arc::new(Said::open(&root));
    let ledger = Ledger { outside: Outside::default(), said: Some(Arc::clone(&said)) };
    let (node, data) = open(&root.join(DATA), &ledger).await.unwrap();
    let client = async |notes: bool| {
        for number in (0..STEPS).filter(|number| (number % 5 == 1) == notes) {
            said.say(&format!("begun {number}"));
            send(&node, number).await.unwrap();
            said.say(&format!("accepted {number}"));
        }
    };
    tokio::join!(client(true), client(false));
    let all = (0..STEPS).collect();
    until(&node, |found| found.holds(&all)).await.unwrap();
    node.runtime.shutdown().await.unwrap();
    data.mark_clean().unwrap();
}

/// The steps that can be seen to have been applied, each as often as that.
#[derive(Debug, Default)]
struct Found {
    steps: Vec<u64>,
    diary: Vec<u64>,
}

impl Found {
    async fn read(node: &Node) -> Result<Self, String> {
        let numbers = |texts: &[String]| -> Vec<u64> {
            // What came of a deed is told in words around its number.
            let last = |text: &String| {
                text.split(' ').find_map(|word| word.parse().ok()).ok_or_else(|| text.clone())
            };
            texts.iter().map(last).map(Result::unwrap).collect()
        };
        let (mut steps, mut sum) = (Vec::new(), 0);
        for number in 0..ACCOUNTS {
            let state = node.state(&account(number)).await;
            sum += state.balance;
            steps.extend(numbers(&state.told));
            steps.extend(numbers(&state.outcomes));
        }
        for transfer in 0..STEPS / 5 {
            let times = sum >> (2 * transfer) & 3;
            steps.extend((0..times).map(|_| transfer * 5));
        }
        let letters = node.runtime.dead_letters().list(1000).map_err(|error| error.to_string())?;
        let reasons: Vec<String> = letters.into_iter().map(|letter| letter.last_error).collect();
        steps.extend(numbers(&reasons));
        let diary = numbers(&node.state("diary").await.told);
        steps.extend(&diary);
        steps.sort_unstable();
        Ok(Self { steps, diary })
    }

    /// Whether all of `steps` are there.
    fn holds(&self, steps: &BTreeSet<u64>) -> bool {
        steps.iter().all(|step| self.steps.binary_search(step).is_ok())
    }
}

/// Waits until what is found is as wished; says what was found if that does not happen.
async fn until(node: &Node, wished: impl Fn(&Found) -> bool) -> Result<Found, String> {
    let deadline = perennial_runtime::instant() + Duration::from_secs(30);
    loop {
        let found = Found::read(node).await?;
        if wished(&found) {
            return Ok(found);
        }
        if perennial_runtime::instant() > deadline {
            return Err(format!("found only {found:?}"));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Starts a node on what a cut left, waits for what it owes, and repeats what the client is unsure of.
async fn check(path: &Path, said: &[String]) -> Result<(), String> {
    let steps = |word: &str| -> BTreeSet<u64> {
        let said = said.iter().filter_map(|line| line.strip_prefix(word));
        said.map(|step| step.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    let (begun, accepted, did) = (steps("begun "), steps("accepted "), steps("did "));
    let ledger = Ledger { outside: Outside::default(), said: None };
    for line in said.iter().filter_map(|line| line.strip_prefix("did ")) {
        let (name, key) = line.split_once(' ').unwrap();
        ledger.outside.note((name.to_owned(), key.to_owned())).await;
    }
    let (node, data) = open(path, &ledger).await?;
    let owed = &accepted | &did;
    let found = until(&node, |found| found.holds(&owed)).await;
    found.map_err(|why| format!("lost what was accepted or done, {owed:?}: {why}"))?;
    for number in &begun {
        send(&node, *number).await?;
    }
    let found = until(&node, |found| found.holds(&begun)).await;
    let found = found.map_err(|why| format!("repeating {begun:?}: {why}"))?;
    let once: Vec<u64> = begun.iter().copied().collect();
    if found.steps != once {
        return Err(format!("applied {:?}, which is not {once:?}, once each", found.steps));
    }
    if !found.diary.is_sorted() {
        return Err(format!("the diary is out of order: {:?}", found.diary));
    }
    let mut done = ledger.outside.names().await;
    done.sort_by_key(|name| name.parse::<u64>().unwrap());
    let deeds: Vec<String> =
        begun.iter().filter(|number| *number % 5 == 2).map(u64::to_string).collect();
    if done != deeds {
        return Err(format!("done to the world: {done:?}, intended: {deeds:?}"));
    }
    node.runtime.shutdown().await.map_err(|error| error.to_string())?;
    data.mark_clean().map_err(|error| error.to_string())?;
    let report = check_data(path).map_err(|error| error.to_string())?;
    if report.corrupted.is_empty() { Ok(()) } else { Err(format!("{:?}", report.corrupted)) }
}

fn check_on_a_runtime(path: &Path, said: &[String]) -> Result<(), String> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(check(path, said))
}

fn accounts() -> Recording {
    record("power::accounts::the_process_that_keeps_accounts")
}

#[test]
fn whatever_is_cut_nothing_accepted_is_lost_or_done_twice() {
    let recording = accounts();
    recording.survives(&recording.cuts(3), check_on_a_runtime);
}

/// The negative control, as in `batches.rs`.
#[test]
fn a_runtime_whose_store_does_not_sync_its_journal_is_found_to_lose_what_it_accepted_or_did() {
    let recording = accounts();
    let bare = recording.cuts(1).into_iter().filter(|cut| cut.keep == Keep::Nothing);
    let cuts: Vec<Cut> = bare.collect();
    let middle = &cuts[cuts.len() / 2..cuts.len() / 2 + 10];
    let disk = recording.before.without_syncs_of(JOURNAL);
    let wrong = recording.find_wrong(middle, &disk, 1, check_on_a_runtime);
    assert!(wrong.iter().any(|why| why.contains("lost what was accepted")), "found {wrong:?}");
}
