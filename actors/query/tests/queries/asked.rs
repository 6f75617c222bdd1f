//! Questions in words.

use std::sync::Arc;

use futures::future::BoxFuture;
use perennial_query::admission::Admitted;
use perennial_query::check::Finding;
use perennial_query::config::Config;
use perennial_query::json::Json;
use perennial_query::orchestrator::{Ordered, QueryOrder};
use perennial_query::plan::{Plan, Step, ValueType, Work};
use perennial_query::question::{self, Planned, Planner, cache_key, plan_question};
use perennial_query::record::{Origin, Submission};
use perennial_query::roles::Roles;
use perennial_query::tool::{
    Call, Catalogue, Citation, Identity, Parameter, Tool, ToolAnswer, ToolError, ToolSpec,
};
use perennial_runtime::Timestamp;
use serde_json::json;

use crate::world::{Ended, Node, calls, plan, says, value};

const TABLE: &str = r#"
intents:
  - id: talk
    keywords: [say]
    patterns: ['say (?P<words>\w+)']
    steps:
      - {id: talk, tool: say, arguments: {text: "{{ inputs.words }}"}}
    answer: "It says {{ steps.talk.result.text }}."
"#;

/// What a node that can talk makes of `question`, asked by `role` for `teams`.
fn submission(question: &str, role: &str, teams: &[&str]) -> Submission {
    let text = Parameter::required("text", ValueType::String, "");
    let spec = ToolSpec::new("say", "").parameter(text);
    let catalogue = Catalogue([("say".to_owned(), spec)].into());
    let read = question::read(TABLE, &catalogue);
    let table = read.map_err(|findings: Vec<Finding>| findings[0].to_string()).unwrap().table;
    let planner =
        Planner { table, roles: Arc::new(Roles::default()), catalogue: Arc::new(catalogue) };
    let teams = teams.iter().map(|team| (*team).to_owned()).collect();
    let identity =
        Identity { name: "ann".to_owned(), role: role.to_owned(), teams, ..Identity::default() };
    let origin = Origin::Question(question.to_owned());
    let mut submission = Submission { origin, identity, ..Submission::default() };
    match plan_question(&planner, question, &submission.identity, Timestamp::default()).unwrap() {
        Planned::Clarification(asked) => submission.clarification = Some(asked.text),
        Planned::Plan(planned) => {
            let whole = (&planned.plan, &planned.inputs);
            assert!(planned.shareable);
            let key = cache_key(question, &submission.identity, whole, 0);
            submission.cache_key = Some(key.unwrap());
            (submission.plan, submission.inputs) = (planned.plan, planned.inputs);
        }
    }
    submission
}

#[tokio::test]
async fn a_question_is_answered_in_words() {
    let node = Node::start().await;
    let admitted = node.admit(submission("Please say hello to me", "staff", &[])).await;
    let Admitted::Accepted { id, .. } = admitted else { panic!("{admitted:?}") };
    let ended = node.ended(&id).await;
    assert_eq!(ended.outcome(), "succeeded");
    assert_eq!(ended.row.answer.unwrap().text, "It says hello.");
}

#[tokio::test]
async fn who_asks_nothing_is_asked_back_at_once_and_no_tool_is_called() {
    let node = Node::start().await;
    let asked = submission(" hello ", "staff", &[]);
    let admitted = node.admit(asked.clone()).await;
    let Admitted::Accepted { id, .. } = admitted else { panic!("{admitted:?}") };
    let ended = node.ended(&id).await;
    assert_eq!(ended.outcome(), "clarification");
    assert_eq!(ended.row.answer.map(|answer| answer.text), asked.clarification);
    assert!(node.outside.said().is_empty() && ended.steps.is_empty());
    let names: Vec<&str> = node.events(&id).iter().map(|row| row.event.as_str()).collect();
    assert_eq!(names, ["accepted", "finished"]);
}

#[tokio::test]
async fn a_question_that_is_asked_back_keeps_no_place_among_those_that_run() {
    let config = Config { max_concurrent: 1, ..Config::default() };
    let node = Node::with(config).await;
    for _ in 0..3 {
        let admitted = node.admit(submission("hi", "staff", &[])).await;
        let Admitted::Accepted { id, .. } = admitted else { panic!("{admitted:?}") };
        node.ended(&id).await;
    }
    let ended = node.run(plan(vec![says("a", json!({"text": "a"}))])).await;
    assert_eq!(ended.outcome(), "succeeded");
}

#[tokio::test]
async fn the_same_question_in_the_same_role_and_teams_is_done_once() {
    let node = Node::start().await;
    let first = node.admit(submission("say hello", "staff", &["a", "b"])).await;
    let Admitted::Accepted { id, .. } = first else { panic!("{first:?}") };
    node.ended(&id).await;
    let again = node.admit(submission(" Say  hello!", "staff", &["b", "a"])).await;
    assert_eq!(again, Admitted::Shared { id });
    let other = node.admit(submission("say hello", "coach", &["a", "b"])).await;
    let Admitted::Accepted { id, .. } = other else { panic!("{other:?}") };
    node.ended(&id).await;
    assert_eq!(node.outside.said(), ["hello", "hello"]);
}

/// Finds something, and says what.
pub(crate) struct Find(pub(crate) ToolSpec);

impl Tool for Find {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn call<'a>(&'a self, _: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        let cited = |id: &str| Citation { id: id.to_owned(), ..Citation::default() };
        let citations = vec![cited("a"), cited("b")];
        Box::pin(async { Ok(ToolAnswer { citations, ..ToolAnswer::from(json!("found")) }) })
    }
}

/// What comes of a search for two pieces of evidence, and of an answer by this template.
async fn answered(template: &str) -> Ended {
    let node = Node::start_with(|tools| tools.with(Find(ToolSpec::new("find", "")))).await;
    let find = calls("find", "find", json!({}));
    let answer = Some(template.to_owned());
    node.run(Plan { answer, ..plan(vec![find, value("claim", json!("Not so [[c]]."))]) }).await
}

#[tokio::test]
async fn a_claim_on_evidence_that_was_not_found_is_taken_out_of_the_answer_with_a_warning() {
    let ended = answered("So it is [[a]]. {{ steps.claim.result }} It ends.").await;
    assert_eq!(ended.outcome(), "succeeded");
    let answer = ended.row.answer.unwrap();
    assert_eq!(answer.text, "So it is [[a]]. It ends.");
    let cited: Vec<&str> = answer.citations.iter().map(|citation| citation.id.as_str()).collect();
    assert_eq!(cited, ["a", "b"], "what is not referred to is evidence all the same");
    let warning = "removed from the answer: claims on c, which no step has found";
    assert_eq!(ended.row.warnings, [warning]);
}

#[tokio::test]
async fn an_answer_of_which_nothing_was_found_is_none() {
    let ended = answered("{{ steps.claim.result }}").await;
    assert_eq!(ended.outcome(), "abstained");
    assert_eq!(ended.row.reason, "all of the answer rests on c, which no step has found");
    assert_eq!(ended.row.answer, None);
}

#[tokio::test]
async fn who_is_told_that_the_evidence_carries_no_answer_is_given_none() {
    let node = Node::start().await;
    let gate = Work::Gate { that: "false".to_owned(), reason: "none".to_owned() };
    let steps = vec![Step::new("gate", gate)];
    let plan = Plan { answer: Some("An answer.".to_owned()), ..plan(steps) };
    let submission = Submission { plan, inputs: Json(json!({})), ..Submission::default() };
    let Admitted::Accepted { id, .. } = node.admit(submission).await else { panic!() };
    let ended = node.ended(&id).await;
    assert_eq!((ended.outcome(), ended.row.answer.is_none()), ("abstained", true));
}

#[tokio::test]
async fn a_query_that_failed_or_was_cancelled_does_not_answer_as_if_it_had_been_done() {
    let node = Node::start().await;
    let promising = |arguments| {
        let answer = Some("It is written down.".to_owned());
        Plan { answer, ..plan(vec![says("a", arguments)]) }
    };
    let failed = node.run(promising(json!({"text": "a", "fails": 1}))).await;
    assert_eq!((failed.outcome(), failed.row.answer.as_ref()), ("failed", None));
    let id = node.submit(promising(json!({"text": "a", "waits": true}))).await;
    node.until_said(1).await;
    let cancel = QueryOrder::Cancel { reason: String::new() };
    assert_eq!(node.order(&id, cancel).await, Ordered::Done);
    let cancelled = node.ended(&id).await;
    assert_eq!((cancelled.outcome(), cancelled.row.answer.as_ref()), ("cancelled", None));
}
