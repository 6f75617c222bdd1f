//! What is held against what the world saw, once everything has ended.

use std::time::Duration;

use perennial_query::admission::{ADMISSION, Admission, AdmissionMessage, Admitted};
use perennial_query::json::Json;
use perennial_query::orchestrator::QueryOrder;
use perennial_query::plan::{ErrorKind, Plan, Repeat, Step, ToolCall, Work};
use perennial_query::record::{
    Outcome, QUERIES, QueryRow, QueryStatus, STEPS, StepRow, StepStatus, Submission, step_number,
};
use perennial_runtime::{Runtime, TableReader, owner_prefix};
use serde_json::json;

use super::client::Client;
use super::sink::{Done, Sink};

/// Longer than any query can take that nobody holds up.
const PATIENCE: u32 = 2_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Has everything end: who is asked approves, and what is paused goes on.
pub(super) async fn until_all_ended(
    runtime: &Runtime,
    clients: &[Client],
    sink: &Sink,
) -> Result<(), String> {
    let tables = runtime.tables();
    for _ in 0..PATIENCE {
        let mut open = Vec::new();
        for client in clients {
            let row = client.id().and_then(|id| tables.get(&QUERIES, &id).unwrap());
            let Some(row) = row else {
                open.push("one that was not accepted".to_owned());
                continue;
            };
            match row.status {
                QueryStatus::Finished => continue,
                QueryStatus::Paused => {
                    client.order(&row.id, QueryOrder::Resume, runtime, sink).await
                }
                QueryStatus::Approval => approve(client, &row.id, runtime, sink).await,
                QueryStatus::Waiting | QueryStatus::Running => {}
            }
            open.push(format!("{} {:?}", row.id, row.status));
        }
        if open.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err("not every query ended".to_owned())
}

async fn approve(client: &Client, id: &str, runtime: &Runtime, sink: &Sink) {
    let asks = client.plan.steps.iter().filter(|step| matches!(step.work, Work::Approval { .. }));
    for step in asks {
        let (step, note) = (step.id.clone(), String::new());
        let order = QueryOrder::Decide { step, approved: true, note };
        client.order(id, order, runtime, sink).await;
    }
}

/// Whether the rows tell what the world saw.
pub(super) fn judge(tables: &TableReader, clients: &[Client], sink: &Sink) -> Result<(), String> {
    let mut wrong = sink.wrong();
    let done = sink.done();
    for client in clients {
        let id = client.id().ok_or("a query was not accepted")?;
        let row = tables.get(&QUERIES, &id).unwrap().ok_or("a query is lost")?;
        let of_query: Vec<&Done> = done.iter().filter(|done| done.place.0 == id).collect();
        for done in &of_query {
            wrong.extend(told(tables, client, &row, done));
        }
        if !client.wanted_it_anyway() {
            let twice =
                |one: &&&Done| of_query.iter().filter(|other| other.place == one.place).count() > 1;
            let fallback = |one: &&&Done| {
                let step = &client.plan.steps[one.place.1 as usize];
                step.call(1).is_some()
            };
            let twice = of_query.iter().find(|one| twice(one) && !fallback(one));
            wrong.extend(twice.map(|one| format!("{:?} was done twice over its runs", one.place)));
        }
        let steps = tables.scan(&STEPS, &owner_prefix(&id), 1_000).unwrap();
        wrong.extend(steps.iter().filter_map(|step| undone(client, &of_query, step)));
        let open = steps.iter().filter(|step| {
            matches!(step.status, StepStatus::Running | StepStatus::Waiting | StepStatus::Halting)
        });
        wrong.extend(open.map(|step| format!("{id} has ended, and {step:?} has not")));
        let fine =
            |step: &StepRow| matches!(step.status, StepStatus::Succeeded | StepStatus::Skipped);
        if row.outcome == Some(Outcome::Succeeded) && !steps.iter().all(fine) {
            wrong.push(format!("{id} is told to have succeeded"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// What was done is told as done, or as unknown.
fn told(tables: &TableReader, client: &Client, row: &QueryRow, done: &Done) -> Option<String> {
    // What is known to be in doubt was wanted again.
    if client.wanted_it_anyway() && done.run < row.retries {
        return None;
    }
    let (id, step, time) = &done.place;
    let repeated = client.plan.steps[*step as usize].repeat != Repeat::Once;
    let number = step_number(*step as usize, repeated.then_some(*time));
    let step = tables.get(&STEPS, &(id.as_str(), number)).unwrap();
    let honest = step.as_ref().is_some_and(|step| {
        let unknown = step.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Unknown);
        step.status == StepStatus::Succeeded || unknown
    });
    (!honest).then(|| format!("{done:?} was done, and is told as {step:?}"))
}

/// What is told as done was done.
fn undone(client: &Client, done: &[&Done], row: &StepRow) -> Option<String> {
    let step = &client.plan.steps[row.place as usize];
    let leaf = (step.repeat == Repeat::Once) == row.instance.is_none();
    let changes = ["shown", "blind"].contains(&row.tool.as_str());
    if !leaf || !changes || row.status != StepStatus::Succeeded {
        return None;
    }
    let place = (row.place, row.instance.unwrap_or_default());
    let was = done.iter().any(|done| (done.place.1, done.place.2) == place);
    (!was).then(|| format!("it was not done, and is told as {row:?}"))
}

/// Whether as many queries run at a time as may, and as many calls: none holds a place that has ended.
pub(super) async fn places_are_free(
    runtime: &Runtime,
    places: usize,
    calls: usize,
) -> Result<(), String> {
    let look = |number: usize| {
        let arguments = Json(json!({"before": 1_000}));
        let call = ToolCall { tool: "look".to_owned(), arguments };
        Step::new(format!("look{number}").as_str(), Work::Call(call))
    };
    // A breaker that is open closes after a minute and two calls that succeed.
    tokio::time::sleep(MINUTE).await;
    for _ in 0..2 {
        submit(runtime, vec![look(0)]).await?;
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let mut ids = Vec::new();
    for _ in 0..places {
        ids.push(submit(runtime, (0..calls).map(look).collect()).await?);
    }
    let tables = runtime.tables();
    let rows = || ids.iter().filter_map(|id| tables.get(&QUERIES, id).unwrap());
    let all = |status| rows().filter(|row| row.status == status).count() == places;
    for status in [QueryStatus::Running, QueryStatus::Finished] {
        let waited = tokio::time::timeout(MINUTE, async {
            while !all(status) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        waited.await.map_err(|_| format!("places are taken: the probes are not all {status:?}"))?;
    }
    let first = rows().filter_map(|row| Some(row.ended_at?.since(row.started_at?))).min();
    match first {
        Some(took) if took < Duration::from_millis(1_900 * places as u64) => Ok(()),
        took => Err(format!("places of calls are taken: the first probe took {took:?}")),
    }
}

async fn submit(runtime: &Runtime, steps: Vec<Step>) -> Result<String, String> {
    let plan = Plan { name: "probe".to_owned(), steps, ..Plan::default() };
    let submission = Submission { plan, inputs: Json(json!({})), ..Submission::default() };
    let message = AdmissionMessage::Submit(Box::new(submission));
    match runtime.ask::<Admission, Admitted>(ADMISSION, &message, MINUTE).await {
        Ok(Admitted::Accepted { id, .. }) => Ok(id),
        other => Err(format!("a probe was not accepted: {other:?}")),
    }
}
