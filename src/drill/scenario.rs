//! The scenarios: one disaster each, struck under load and measured.

use std::time::Duration;

use hyper::Method;
use serde_json::Value;

use super::ledger::{Balance, Ledger, Work};
use super::load::{self, Load};
use super::process::Process;
use crate::client::{Client, ClientError};
use crate::exit::Failure;

/// How long what is stalled hangs: as a disk does that tries a bad sector again.
const STALL: Duration = Duration::from_millis(500);
/// Work that there must be before a disaster: faults, orders, and queries of which one is under way.
const UNDER_LOAD: Work = Work { faults: 5, orders: 10, queries: 10, under_way: 1 };
/// Recovery is not awaited for longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// Nor is the end of all work, once the load is off: what a kill cut off is asked for, one after the
/// other, each for as long as a container is given to stop.
const SETTLE: Duration = Duration::from_secs(120);
/// Between two looks at the audit and the queries.
const LOOK: Duration = Duration::from_millis(200);

/// A disaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scenario {
    /// What it is called on the command line.
    pub(super) name: &'static str,
    strike: Strike,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strike {
    /// An agent: its live actors and their supervisor are killed.
    Agent,
    /// The orchestrators of the queries under way hang, and go on.
    StallOrchestrators,
    /// The store hangs, and goes on.
    StallStore,
    /// A commit fails, so the node ends and is started again.
    Fail,
    /// The process is killed with SIGKILL and started again.
    Process,
}

/// All of them, in the order in which they strike.
pub(super) const SCENARIOS: [Scenario; 10] = [
    Scenario { name: "monitor", strike: Strike::Agent },
    Scenario { name: "analyzer", strike: Strike::Agent },
    Scenario { name: "responder", strike: Strike::Agent },
    Scenario { name: "alert", strike: Strike::Agent },
    Scenario { name: "query-orchestrator", strike: Strike::Agent },
    Scenario { name: "query-orchestrator-stalled", strike: Strike::StallOrchestrators },
    Scenario { name: "tool-worker", strike: Strike::Agent },
    Scenario { name: "store-stalled", strike: Strike::StallStore },
    Scenario { name: "store-failed", strike: Strike::Fail },
    Scenario { name: "process", strike: Strike::Process },
];

/// What a disaster did.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) name: &'static str,
    /// What was done, for people.
    pub(super) struck: String,
    /// From the disaster until a fault that struck right after it had been seen, judged, repaired and
    /// told, and an order given after it was accepted, and a query asked after it was answered; none if
    /// that did not come in time.
    pub(super) rto: Option<Duration>,
    /// From the acceptance of the oldest work that was lost until recovery; nothing if none was.
    pub(super) rpo: Duration,
    pub(super) balance: Balance,
    /// What of the work was lost or done twice, for people.
    pub(super) flaws: Vec<String>,
}

/// Runs one scenario.
pub(super) async fn run(
    scenario: Scenario,
    process: &mut Process,
    load: &Load,
    ledger: &Ledger,
) -> Result<Outcome, Failure> {
    ledger.clear();
    load.set(true);
    let busy = |ledger: &Ledger| ledger.work().is_at_least(&UNDER_LOAD).then_some(());
    if tokio::time::timeout(PATIENCE, ledger.until(busy)).await.is_err() {
        let why = format!("no load came up within {} s", PATIENCE.as_secs());
        return Err(Failure::new(crate::exit::Exit::Software, why));
    }
    let begin = perennial_runtime::instant();
    let mut struck = strike(scenario, process).await?;
    let probe = load.one_more();
    match scenario.strike {
        Strike::Agent | Strike::StallOrchestrators | Strike::StallStore => {}
        Strike::Process => process.start_again().await?,
        Strike::Fail => {
            let code = process.ends().await?;
            struck = format!("{struck}, ended with {code}");
            process.start_again().await?;
        }
    }
    let recovered = ledger.until(|ledger| ledger.recovered(&probe, begin));
    let recovered = tokio::time::timeout_at(begin + PATIENCE, recovered).await.ok();
    load.set(false);
    let balance = settle(process, ledger).await;
    let end = recovered.unwrap_or(begin + PATIENCE);
    Ok(Outcome {
        name: scenario.name,
        struck,
        rto: recovered.map(|at| at - begin),
        rpo: balance.oldest_lost.map_or(Duration::ZERO, |at| end.saturating_duration_since(at)),
        balance,
        flaws: ledger.flaws(),
    })
}

async fn strike(scenario: Scenario, process: &mut Process) -> Result<String, Failure> {
    match scenario.strike {
        Strike::Agent => process.order(&format!("kill {}", scenario.name)).await,
        Strike::StallOrchestrators => {
            process.order(&format!("stall-orchestrators {}", STALL.as_millis())).await
        }
        Strike::StallStore => process.order(&format!("stall-store {}", STALL.as_millis())).await,
        Strike::Fail => process.order("fail").await,
        Strike::Process => {
            process.kill().await?;
            Ok("SIGKILL".to_owned())
        }
    }
}

/// Waits until all work is done, or for as long as that is worth it.
async fn settle(process: &Process, ledger: &Ledger) -> Balance {
    let client = process.client().borrow().clone();
    let over = perennial_runtime::instant() + SETTLE;
    loop {
        if let Ok(audit) = audit(&client).await {
            ledger.audited(&audit);
        }
        for query in ledger.unanswered() {
            load::look(&client, &query, ledger).await;
        }
        let lost = ledger.balance().lost;
        if lost == 0 || perennial_runtime::instant() >= over {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    // Once more for all: what has ended could end again.
    for query in ledger.queries() {
        load::look(&client, &query, ledger).await;
    }
    ledger.balance()
}

/// All pages of the audit. It has more than one where the machine is slow: work goes on until recovery.
async fn audit(client: &Client) -> Result<Vec<Value>, ClientError> {
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/actions?limit=1000{after}");
        let page = client.call(Method::GET, &path, None).await?;
        let next = page["next"].as_str().map(|next| format!("&after={next}"));
        pages.push(page);
        match next {
            Some(next) => after = next,
            None => return Ok(pages),
        }
    }
}
