//! What came out of a run, held against what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use perennial_runtime::{
    AskError, DeadLetter, Limits, Runtime, SendError, SimulatedStore, TreeNode, instant,
};
use perennial_store::{Key, Room};

use super::cell::{APPLIED, Act, Cell, End, INTENDED, OUTCOMES, Told, Trouble, cell};
use super::client::{CELLS, Client, Entry, Fate};
use super::feed;
use super::outside::Outside;

/// Virtual time until everything must have come to rest: more than any clock was set back.
const PATIENCE: Duration = Duration::from_secs(1_800);

fn waits(node: &TreeNode) -> bool {
    node.mailbox_depth > 0 || node.children.iter().any(waits)
}

async fn state(runtime: &Runtime, key: &str) -> Result<Cell, String> {
    let deadline = instant() + PATIENCE;
    loop {
        let asked = runtime.ask::<Cell, Cell>(key, &Told::State, Duration::from_secs(60)).await;
        match asked {
            Err(AskError::Send(SendError::NoSpace)) if instant() < deadline => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            answer => return answer.map_err(|error| format!("{key} does not answer: {error}")),
        }
    }
}

/// Waits until nothing waits of what was accepted before there was no room: it goes on without.
pub(crate) async fn until_what_was_accepted_is_done(
    runtime: &Runtime,
    store: &SimulatedStore,
) -> Result<(), String> {
    if store.last_look().0 == Room::Ample {
        return Ok(());
    }
    while waits(&runtime.tree()) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if store.last_look().0 == Room::Ample {
            return Err(format!("accepted work waited for room: {:?}", runtime.tree()));
        }
    }
    Ok(())
}

/// Waits until all clients are done, no mailbox holds anything, and no cell expects anything.
pub(crate) async fn until_rest(runtime: &Runtime, clients: &[Client]) -> Result<(), String> {
    let deadline = instant() + PATIENCE;
    let last = feed::keys().last().unwrap_or_default();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut restless = Vec::new();
        let fed = runtime.tables().get(&APPLIED, &last).map_err(|error| error.to_string())?;
        if clients.iter().all(Client::is_done) && fed.is_some() && !waits(&runtime.tree()) {
            for number in 0..CELLS {
                let state = state(runtime, &cell(number)).await?;
                restless.extend((!state.rests()).then_some(state));
            }
            if restless.is_empty() && !waits(&runtime.tree()) {
                return Ok(());
            }
        }
        if instant() > deadline {
            return Err(format!("no rest: {restless:?} in {:?}", runtime.tree()));
        }
    }
}

struct Facts {
    applied: BTreeSet<String>,
    /// Of messages: to whom, the reason, and the last error.
    aside: Vec<(String, String, String)>,
    /// Deeds put aside because they ended the process.
    blamed: usize,
    cells: BTreeMap<String, Cell>,
    outcomes: BTreeMap<String, End>,
    intended: BTreeSet<String>,
}

pub(crate) async fn judge(
    runtime: &Runtime,
    clients: &[Client],
    outside: &Outside,
    limits: &Limits,
) -> Result<(), String> {
    let facts = read(runtime, outside).await?;
    let entries: Vec<Entry> = clients.iter().flat_map(Client::entries).collect();
    let mut wrong = outside.wrong();
    wrong.extend(facts.cells.values().flat_map(|cell| cell.wrong.clone()));
    wrong.extend(fates(&facts, &entries, limits));
    wrong.extend(killers(&facts, &entries, outside));
    wrong.extend(balances(&facts, &entries));
    let unheard = feed::keys().filter(|key| !facts.applied.contains(key));
    wrong.extend(unheard.map(|key| format!("{key} of the feed is lost")));
    wrong.extend(deeds(&facts, outside));
    wrong.extend(leaks(runtime, limits).await);
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n  ")) }
}

/// The root and its three children, the sensor's run with its watchdog and its pulse, the timers, the
/// housekeeping, the committer, and who watches the root.
const TASKS: usize = 11;

/// Idle actors leave memory, and no task stays that is not there for good.
async fn leaks(runtime: &Runtime, limits: &Limits) -> Option<String> {
    // Until then it runs carefully at most.
    let deadline = instant() + Duration::from_secs(700);
    tokio::time::sleep(limits.idle * 2).await;
    loop {
        let tree = runtime.tree();
        let held: usize = tree.children.iter().map(|child| child.children.len()).sum();
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        if held == 0 && tasks == TASKS {
            return None;
        }
        if instant() > deadline {
            return Some(format!("{held} idle actors and {tasks} tasks are left: {tree:?}"));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn names(outside: &Outside, table: &str) -> Result<BTreeSet<String>, String> {
    let rows = outside.store.rows().map_err(|error| error.to_string())?;
    let of_table = rows.iter().filter_map(|(key, _)| key.parse_row()).filter(|row| row.0 == table);
    Ok(of_table.map(|(_, row)| String::from_utf8_lossy(&row).into_owned()).collect())
}

async fn read(runtime: &Runtime, outside: &Outside) -> Result<Facts, String> {
    let letters = runtime.dead_letters().list(100_000).map_err(|error| error.to_string())?;
    let blames = |letter: &&DeadLetter| {
        letter.effect.is_some() && letter.reason.contains("the process ended each time")
    };
    let blamed = letters.iter().filter(blames).count();
    let aside = letters
        .into_iter()
        .filter(|letter| letter.effect.is_none())
        .map(|letter| (letter.to.key().to_owned(), letter.reason, letter.last_error))
        .collect();
    let mut cells = BTreeMap::new();
    for number in 0..CELLS {
        cells.insert(cell(number), state(runtime, &cell(number)).await?);
    }
    let mut outcomes = BTreeMap::new();
    for id in names(outside, OUTCOMES.name())? {
        let end = runtime.tables().get(&OUTCOMES, &id).map_err(|error| error.to_string())?;
        outcomes.extend(end.map(|end| (id, end)));
    }
    let applied = names(outside, APPLIED.name())?;
    Ok(Facts {
        applied,
        aside,
        blamed,
        cells,
        outcomes,
        intended: names(outside, INTENDED.name())?,
    })
}

/// Accepted: applied, or in the dead letters, and never both. Anything else: at most once.
fn fates(facts: &Facts, entries: &[Entry], limits: &Limits) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut expired, mut may_expire) = (0, 0);
    for entry in entries {
        let key = entry.key();
        let said =
            |(_, _, error): &&(String, String, String)| error.split(' ').any(|word| word == key);
        let aside = facts.aside.iter().filter(said).count();
        let applied = usize::from(facts.applied.contains(&key));
        let is_final = entry.order.trouble.is_final(limits.attempts);
        if applied + aside > 1 || (applied == 1 && is_final) {
            wrong.push(format!("{key} was applied {applied} and put aside {aside} times"));
        }
        if aside == 1 && !is_final {
            wrong.push(format!("{key} was put aside and {:?} goes well", entry.order.trouble));
        }
        may_expire += usize::from(entry.expires.is_some() && applied + aside == 0);
        if entry.fate == Fate::Accepted && applied + aside == 0 {
            match entry.expires {
                Some(_) => expired += 1,
                None if matches!(entry.order.trouble, Trouble::Kill(_)) => {}
                None => wrong.push(format!("{key} was accepted and is lost: {entry:?}")),
            }
        }
    }
    let letters = facts.aside.iter().filter(|(_, _, error)| error == "expired").count();
    if letters < expired || letters > may_expire {
        wrong.push(format!("{letters} expired, and {expired} to {may_expire} should have"));
    }
    let to_nobody =
        |entry: &&Entry| entry.order.act == Act::Nobody && facts.applied.contains(&entry.key());
    let told = entries.iter().filter(to_nobody).count();
    let letters =
        facts.aside.iter().filter(|(_, reason, _)| reason.starts_with("no actor")).count();
    if told != letters {
        wrong.push(format!("nobody was told {told} times, and {letters} letters say so"));
    }
    wrong
}

/// Who ended the process is applied in the end or put aside for it, and nobody else is.
fn killers(facts: &Facts, entries: &[Entry], outside: &Outside) -> Vec<String> {
    let mut wrong = Vec::new();
    for number in 0..CELLS {
        let to = cell(number);
        let blamed = |(name, _, error): &&(String, String, String)| {
            *name == to && error.starts_with("the process ended each time")
        };
        let letters = facts.aside.iter().filter(blamed).count();
        let kills = |entry: &&Entry| {
            let missing = !facts.applied.contains(&entry.key());
            missing && entry.to == to && matches!(entry.order.trouble, Trouble::Kill(_))
        };
        let missing: Vec<&Entry> = entries.iter().filter(kills).collect();
        let promised = missing.iter().filter(|entry| entry.fate == Fate::Accepted).count();
        let guilty = missing.iter().filter(|entry| outside.has_killed(&entry.key())).count();
        outside.are_blamed(letters);
        if letters < promised || guilty < letters {
            wrong.push(format!("{to} blames {letters}, of {guilty}, and {promised} are missing"));
        }
    }
    wrong
}

/// What was applied, applied to a plain map, gives what the cells hold.
fn balances(facts: &Facts, entries: &[Entry]) -> Vec<String> {
    let mut model: BTreeMap<String, i64> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| facts.applied.contains(&entry.key())) {
        if let Act::Transfer { to, amount } = entry.order.act {
            *model.entry(entry.to.clone()).or_default() -= amount;
            *model.entry(cell(to)).or_default() += amount;
        }
    }
    let differs = |(key, state): (&String, &Cell)| {
        let should = model.get(key).copied().unwrap_or_default();
        (state.balance != should)
            .then(|| format!("{key} holds {} and should hold {should}", state.balance))
    };
    facts.cells.iter().filter_map(differs).collect()
}

/// Every intended deed came to one end, and the end tells the truth.
fn deeds(facts: &Facts, outside: &Outside) -> Vec<String> {
    let done = outside.done();
    let mut wrong = Vec::new();
    for id in &facts.intended {
        let times = done.get(id).copied().unwrap_or_default();
        let fits = match facts.outcomes.get(id) {
            Some(End::Done) => times == 1,
            Some(End::Failed | End::Expired) => times == 0,
            Some(End::Unknown) => times <= 1,
            None => false,
        };
        if !fits {
            wrong.push(format!("{id} ended as {:?}, done {times} times", facts.outcomes.get(id)));
        }
    }
    let guilty = facts.intended.iter().filter(|id| outside.has_killed(id)).count();
    if guilty < facts.blamed {
        wrong.push(format!("{} deeds are blamed, of {guilty}", facts.blamed));
    }
    let unasked = done.keys().filter(|id| !facts.intended.contains(*id));
    wrong.extend(unasked.map(|id| format!("{id} was done and never intended")));
    wrong
}

/// Of all that was under way no row is left.
pub(crate) fn nothing_is_left(store: &SimulatedStore) -> Result<(), String> {
    let rows = store.rows().map_err(|error| error.to_string())?;
    let under_way = |key: &Key| {
        key.parse_inbox().is_some()
            || key.parse_effect().is_some()
            || key.parse_timer().is_some()
            || key.parse_timer_due().is_some()
            || key.parse_attempt().is_some()
    };
    let left: Vec<String> =
        rows.iter().filter(|(key, _)| under_way(key)).map(|(key, _)| key.to_string()).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("rows are left over: {left:?}")) }
}
