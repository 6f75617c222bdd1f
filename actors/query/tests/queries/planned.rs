//! Plans that a model makes of questions.

use std::time::Duration;

use perennial_query::config::{Changes, Config, Questions};
use perennial_query::orchestrator::{Ordered, QueryOrder};
use perennial_query::plan::Plan;
use perennial_query::record::{ByModel, Event, Exchange, QueryStatus, SUBMISSIONS, Submission};
use perennial_query::tool::Identity;
use serde_json::json;

use crate::model::Act;
use crate::modelled::{Modelled, question, questions, written};
use crate::world::{plan, says};

/// A plan that says `text`.
fn saying(text: &str) -> Act {
    written(&json!([{"id": "speak", "tool": "say", "arguments": {"text": text}}]))
}

fn cancel() -> QueryOrder {
    QueryOrder::Cancel { reason: String::new() }
}

#[tokio::test]
async fn a_plan_that_a_model_made_of_a_question_is_done_step_by_step() {
    let modelled = Modelled::start([saying("hello")], questions()).await;
    let id = modelled.submit(question()).await;
    let ended = modelled.node.ended(&id).await;
    assert_eq!(ended.outcome(), "succeeded", "{ended:?}");
    assert_eq!(modelled.node.outside.said(), ["hello"]);
    assert_eq!(ended.row.name, "by_model");
    let answer = ended.row.answer.unwrap();
    assert_eq!(answer.composed_by, "template");
    assert!(answer.text.contains("hello"), "{answer:?}");
    let events = ["accepted", "started", "planning_started", "planning_ended", "step_started"];
    assert_eq!(modelled.events(&id)[..5], events);
    let calls = modelled.calls(&id);
    assert_eq!((calls.len(), calls[0].model.as_str()), (1, "small"));
    assert_eq!((calls[0].tokens_read, calls[0].tokens_written), (30, 12));
    let asked = modelled.server.asked()[0].body.to_string();
    assert!(asked.contains("What is to be said?") && asked.contains("Says what it is told to."));
}

#[tokio::test]
async fn a_plan_that_is_refused_is_asked_for_again_with_everything_that_is_wrong_with_it() {
    let wrong = written(&json!([{"id": "a", "tool": "sya", "arguments": {}, "if": "1 +"}]));
    let modelled = Modelled::start([Act::say("No."), wrong, saying("hello")], questions()).await;
    let id = modelled.submit(question()).await;
    assert_eq!(modelled.node.ended(&id).await.outcome(), "succeeded");
    let asked = modelled.server.asked();
    assert_eq!(asked.len(), 3);
    let told = |at: usize| asked[at].body["messages"].to_string();
    assert!(told(1).contains("not one JSON value"), "{}", told(1));
    assert!(told(2).contains("no tool `sya`") && told(2).contains("if: "), "{}", told(2));
    let calls = modelled.calls(&id);
    let attempts: Vec<(u32, bool)> =
        calls.iter().map(|call| (call.attempt, call.problems.is_empty())).collect();
    assert_eq!(attempts, [(1, false), (2, false), (3, true)]);
}

#[tokio::test]
async fn a_question_of_which_no_model_makes_a_good_plan_has_failed_and_tells_what_was_wrong() {
    let bad = || written(&json!([{"id": "a", "tool": "nothing", "arguments": {}}]));
    let acts = [bad(), bad(), bad(), saying("hello")];
    let modelled = Modelled::start(acts, questions()).await;
    let id = modelled.submit(question()).await;
    let ended = modelled.node.ended(&id).await;
    assert_eq!((ended.outcome(), modelled.server.asked().len()), ("failed", 3));
    assert!(ended.row.reason.contains("asked 3 times"), "{}", ended.row.reason);
    assert!(ended.row.reason.contains("there is no tool `nothing`"), "{}", ended.row.reason);
    assert_eq!(ended.row.answer.unwrap().text, "No answer to this is known here.");
    assert_eq!(modelled.node.order(&id, QueryOrder::Retry).await, Ordered::Done);
    assert_eq!(modelled.node.ended(&id).await.outcome(), "succeeded");
    assert_eq!(modelled.calls(&id).len(), 4);
}

#[tokio::test]
async fn a_node_that_died_between_a_plan_and_its_first_step_does_not_ask_again() {
    let Act::Say(text) = saying("hello") else { panic!() };
    let modelled = Modelled::start([Act::Hold(text)], questions()).await;
    let id = modelled.submit(question()).await;
    modelled.until_asked(1).await;
    assert_eq!(modelled.node.order(&id, QueryOrder::Pause).await, Ordered::Done);
    modelled.server.release();
    let planned = |submission: Submission| (submission.plan.name == "by_model").then_some(());
    let stored = |modelled: &Modelled| modelled.node.runtime.tables().get(&SUBMISSIONS, &id);
    modelled.node.until("the plan is stored", |_| planned(stored(&modelled).ok()??)).await;
    assert!(modelled.node.outside.said().is_empty());
    let again = modelled.again().await;
    assert_eq!(again.node.order(&id, QueryOrder::Resume).await, Ordered::Done);
    assert_eq!(again.node.ended(&id).await.outcome(), "succeeded");
    assert_eq!((again.server.asked().len(), again.node.outside.said().len()), (1, 1));
}

#[tokio::test]
async fn a_tool_that_the_asker_may_not_use_is_neither_offered_to_a_model_nor_called() {
    let whispering =
        || written(&json!([{"id": "a", "tool": "whisper", "arguments": {"text": "psst"}}]));
    let acts = (0..3).map(|_| whispering());
    let modelled = Modelled::start(acts, questions()).await;
    let ended = modelled.ask(question()).await;
    assert_eq!(ended.outcome(), "failed");
    assert!(ended.row.reason.contains("there is no tool `whisper`"), "{}", ended.row.reason);
    let first = &modelled.server.asked()[0];
    assert!(!first.body.to_string().contains("whisper"), "{first:?}");
    assert!(modelled.node.outside.said().is_empty());
    modelled.server.then(whispering());
    let insider = Identity { role: "insider".to_owned(), ..Identity::default() };
    let ended = modelled.ask(Submission { identity: insider, ..question() }).await;
    assert_eq!(ended.outcome(), "succeeded");
}

#[tokio::test]
async fn what_a_plan_by_a_model_changes_is_approved_before_it_is_done() {
    let writing = || {
        written(&json!([
            {"id": "look", "tool": "say", "arguments": {"text": "found"}},
            {"id": "note", "tool": "write", "arguments": {"text": "{{ steps.look.result.text }}!"}},
        ]))
    };
    let modelled = Modelled::start([writing(), writing()], questions()).await;
    let id = modelled.submit(question()).await;
    modelled.node.until_status(&id, QueryStatus::Approval).await;
    assert_eq!(modelled.node.outside.said(), ["found"]);
    let prompt = modelled.node.events(&id).into_iter().find_map(|row| {
        let Event::ApprovalWanted { prompt, .. } = row.event else { return None };
        Some(prompt)
    });
    let shown = "A plan that a model made calls `write`, with:\ntext: found!";
    assert_eq!(prompt.as_deref(), Some(shown));
    let decide =
        |approved| QueryOrder::Decide { step: "approval_1".into(), approved, note: String::new() };
    assert_eq!(modelled.node.order(&id, decide(true)).await, Ordered::Done);
    assert_eq!(modelled.node.ended(&id).await.outcome(), "succeeded");
    assert_eq!(modelled.node.outside.said(), ["found", "found!"]);
    let id = modelled.submit(question()).await;
    modelled.node.until_status(&id, QueryStatus::Approval).await;
    assert_eq!(modelled.node.order(&id, decide(false)).await, Ordered::Done);
    assert_eq!(modelled.node.ended(&id).await.outcome(), "failed");
    assert_eq!(modelled.node.outside.said(), ["found", "found!", "found"]);
}

#[tokio::test]
async fn changes_are_done_without_a_word_or_refused_if_the_configuration_says_so() {
    let writing = || written(&json!([{"id": "a", "tool": "write", "arguments": {"text": "x"}}]));
    let allow = Questions { changes: Changes::Allow, ..questions() };
    let modelled = Modelled::start([writing()], allow).await;
    assert_eq!(modelled.ask(question()).await.outcome(), "succeeded");
    let refuse = Questions { changes: Changes::Refuse, attempts: 1, ..questions() };
    let modelled = Modelled::start([writing()], refuse).await;
    assert_eq!(modelled.ask(question()).await.outcome(), "failed");
    assert!(modelled.node.outside.said().is_empty());
}

#[tokio::test]
async fn where_no_model_answers_the_plan_of_the_table_stands_in_and_the_query_is_degraded() {
    let modelled = Modelled::dead().await;
    let of_table = Plan {
        answer: Some("It says {{ steps.a.result.text }}.".to_owned()),
        ..plan(vec![says("a", json!({"text": "hello"}))])
    };
    let ended =
        modelled.ask(Submission { plan: of_table, clarification: None, ..question() }).await;
    assert_eq!(ended.outcome(), "degraded", "{ended:?}");
    assert_eq!(ended.row.answer.unwrap().text, "It says hello.");
    assert!(ended.row.reason.starts_with("no model made a plan: "), "{}", ended.row.reason);
    let ended = modelled.ask(question()).await;
    assert_eq!(ended.outcome(), "failed");
    assert!(ended.row.reason.starts_with("no model made a plan: "), "{}", ended.row.reason);
}

#[tokio::test]
async fn a_model_that_is_too_slow_to_plan_is_waited_for_no_longer_than_the_query_may_take() {
    let soon = Config { timeout: Duration::from_millis(300), ..Config::default() };
    let modelled =
        Modelled::with([Act::Sleep], questions(), |config| config.timeout = soon.timeout).await;
    let id = modelled.submit(question()).await;
    assert_eq!(modelled.node.ended(&id).await.outcome(), "failed");
    assert_eq!(modelled.events(&id).last(), Some(&"finished"));
    let brief = Questions { timeout: Duration::from_millis(300), ..questions() };
    let modelled = Modelled::start([Act::Sleep], brief).await;
    let ended = modelled.ask(question()).await;
    assert_eq!(ended.outcome(), "failed");
    assert!(ended.row.reason.starts_with("no model made a plan: "), "{}", ended.row.reason);
}

#[tokio::test]
async fn a_query_that_is_cancelled_while_a_model_plans_ends_at_once_and_can_be_begun_again() {
    let modelled = Modelled::start([Act::Sleep, saying("hello")], questions()).await;
    let id = modelled.submit(question()).await;
    modelled.until_asked(1).await;
    assert_eq!(modelled.node.order(&id, cancel()).await, Ordered::Done);
    let ended = modelled.node.ended(&id).await;
    assert_eq!((ended.outcome(), &ended.row.answer), ("cancelled", &None));
    let calls = modelled.calls(&id);
    assert_eq!(calls[0].error.as_ref().unwrap().message, "the query ended");
    assert_eq!(modelled.node.order(&id, QueryOrder::Retry).await, Ordered::Done);
    assert_eq!(modelled.node.ended(&id).await.outcome(), "succeeded");
    assert_eq!(modelled.server.asked().len(), 2);
}

#[tokio::test]
async fn a_model_that_makes_no_plan_because_it_does_not_understand_asks_back() {
    let unclear = Act::say(json!({"unclear": "Which game do you mean?"}));
    let modelled = Modelled::start([unclear], questions()).await;
    let ended = modelled.ask(question()).await;
    assert_eq!(ended.outcome(), "clarification");
    let answer = ended.row.answer.unwrap();
    assert_eq!(answer.text, "Which game do you mean?");
    assert_eq!(answer.composed_by, "small");
    assert!(ended.steps.is_empty());
}

#[tokio::test]
async fn what_was_said_before_reaches_the_model_as_data() {
    let earlier =
        vec![Exchange { question: "Who won?".to_owned(), answer: "The blues.".to_owned() }];
    let by_model = ByModel { plan: true, answer: false, earlier };
    let modelled = Modelled::start([saying("hello")], questions()).await;
    let ended = modelled.ask(Submission { by_model, ..question() }).await;
    assert_eq!(ended.outcome(), "succeeded");
    let said = modelled.server.asked()[0].body["messages"][1]["content"].to_string();
    let data = said.split("<untrusted-data").nth(1).unwrap_or_default();
    assert!(data.contains("The blues."), "{said}");
}
