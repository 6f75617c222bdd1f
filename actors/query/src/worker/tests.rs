//! What a ToolWorker lets through, and what it spares.

use perennial_runtime::{ManualClock, Play, Timestamp};
use serde_json::json;

use super::breaker::{OPEN, PROBES, THRESHOLD};
use super::*;
use crate::roles::{ADMIN, EVERYTHING};
use crate::tool::{Identity, Toolbox};
use crate::tools::http;

/// The worker of the tool `http`, which may ask any host of a domain.
fn worker() -> Play<ToolWorker> {
    worker_of(|_| {})
}

fn worker_of(change: impl FnOnce(&mut ToolSpec)) -> Play<ToolWorker> {
    let host = toml::from_str("hosts = [{ name = \"*.example.com\" }]").unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(0)));
    let toolbox = http::add(Toolbox::default(), &host, clock).unwrap();
    let mut roles = Roles::default();
    roles.0.insert(ADMIN.to_owned(), [EVERYTHING.to_owned()].into());
    let mut catalogue = toolbox.catalogue();
    change(catalogue.0.get_mut(http::NAME).unwrap());
    let (catalogue, roles) = (Arc::new(catalogue), Arc::new(roles));
    Play::new(http::NAME, Settings { catalogue, roles, ..Settings::default() })
}

fn call(step: u32, host: &str, play: &Play<ToolWorker>) -> Order {
    let id =
        CallId { query: "q-1".to_owned(), step, instance: 0, alternative: 0, attempt: 1, run: 0 };
    Order {
        id,
        step: "s".into(),
        tool: http::NAME.to_owned(),
        arguments: json!({"url": format!("https://{host}.example.com/{step}?key=secret")}).into(),
        identity: Identity { role: ADMIN.to_owned(), ..Identity::default() },
        timeout: None,
        deadline: play.now() + Duration::from_secs(600),
    }
}

/// Has a host asked. Returns what it is answered if it is not asked, or else the effect that asks.
fn asked(step: u32, host: &str, play: &mut Play<ToolWorker>) -> Result<Invoke, ToolError> {
    let order = call(step, host, play);
    let recorded = play.handle(WorkerMessage::Call(order)).unwrap();
    if let Some(effect) = recorded.effects::<Invoke>().pop() {
        return Ok(effect);
    }
    match recorded.sent::<Orchestrator>().pop() {
        Some((_, OrchestratorMessage::Answered { result: Err(error), .. })) => Err(error),
        other => panic!("{other:?}"),
    }
}

fn ends(effect: Invoke, result: Result<ToolAnswer, ToolError>, play: &mut Play<ToolWorker>) {
    let key = serde_json::from_value(json!(effect.order.id.key())).unwrap();
    let finished = Finished { effect, key, attempts: 1, result: Ok(result) };
    play.handle(WorkerMessage::Finished(finished)).unwrap();
}

fn down() -> Result<ToolAnswer, ToolError> {
    Err(ToolError::new(ErrorKind::Unavailable, "no answer"))
}

#[test]
fn a_host_that_is_down_shuts_itself_and_no_other() {
    let mut play = worker();
    for step in 0..THRESHOLD {
        let effect = asked(step, "down", &mut play).unwrap();
        ends(effect, down(), &mut play);
    }
    let spared = asked(10, "down", &mut play).unwrap_err();
    assert_eq!((spared.kind, spared.retry_after), (ErrorKind::Unavailable, Some(OPEN)));
    assert!(spared.message.contains("`http` at `down.example.com:443`"), "{spared}");
    assert!(!spared.message.contains("secret"), "{spared}");
    asked(11, "up", &mut play).unwrap();
}

#[test]
fn a_host_is_probed_by_one_call_at_a_time_while_others_are_asked() {
    let mut play = worker();
    for step in 0..THRESHOLD {
        let effect = asked(step, "down", &mut play).unwrap();
        ends(effect, down(), &mut play);
    }
    play.advance(OPEN);
    for step in 0..PROBES {
        let probe = asked(20 + 2 * step, "down", &mut play).unwrap();
        asked(21 + 2 * step, "down", &mut play).unwrap_err();
        ends(probe, Ok(json!(1).into()), &mut play);
    }
    let (first, second) = (asked(30, "down", &mut play), asked(31, "down", &mut play));
    assert!(first.is_ok() && second.is_ok(), "it is in order again");
}

#[test]
fn a_call_from_before_a_host_was_shut_does_not_stand_for_its_probe() {
    let mut play = worker();
    let [late, later] = [98, 99].map(|step| asked(step, "down", &mut play).unwrap());
    for step in 0..THRESHOLD {
        let effect = asked(step, "down", &mut play).unwrap();
        ends(effect, down(), &mut play);
    }
    play.advance(OPEN);
    let probe = asked(20, "down", &mut play).unwrap();
    ends(late, Ok(json!(1).into()), &mut play);
    asked(21, "down", &mut play).unwrap_err();
    ends(later, down(), &mut play);
    ends(probe, Ok(json!(1).into()), &mut play);
    asked(22, "down", &mut play).expect("the probe was answered, and the next one is let through");
}

#[test]
fn nothing_is_spared_where_each_call_fails_by_itself() {
    let mut play = worker_of(|spec| spec.isolated = true);
    for step in 0..2 * THRESHOLD {
        let effect = asked(step, "down", &mut play).unwrap();
        ends(effect, down(), &mut play);
    }
}
