//! What is refused of schedules, and what is submitted for them.

use super::*;
use crate::tool::{Catalogue, ToolSpec};

const PIPELINE: &str = "
name: report
inputs: {due: {type: string}, limit: 3}
steps:
  - {id: s, value: \"{{ inputs.due }}/{{ inputs.limit }}\"}
";

fn planner() -> Arc<Planner> {
    let secret =
        ToolSpec { permission: Some("secrets".to_owned()), ..ToolSpec::new("whisper", "") };
    let catalogue = Arc::new(Catalogue([("whisper".to_owned(), secret)].into()));
    Arc::new(Planner { roles: Arc::new(Roles::usual()), catalogue, ..Planner::default() })
}

fn pipelines(name: &str) -> Result<String, String> {
    match name {
        "report" => Ok(PIPELINE.to_owned()),
        "secret" => Ok("name: secret\nsteps: [{id: s, tool: whisper}]\n".to_owned()),
        "broken" => Ok("name: broken\nsteps: [{id: s, tool: nothing}]\n".to_owned()),
        _ => Err(format!("there is no `{name}`")),
    }
}

fn written(name: &str) -> Written {
    Written {
        name: name.to_owned(),
        cron: "0 2 * * *".to_owned(),
        pipeline: "report".to_owned(),
        role: "staff".to_owned(),
        catch_up: Some(CatchUp::Skip),
        ..Written::default()
    }
}

fn refused(written: &[Written]) -> Vec<String> {
    let problems = define(written, planner(), pipelines).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn everything_that_is_wrong_with_schedules_is_told_at_once_with_its_name() {
    let bad = Written {
        cron: "0 25 * * *".to_owned(),
        zone: "Nowhere".to_owned(),
        role: "staf".to_owned(),
        question: "why".to_owned(),
        catch_up: None,
        at_most: 0,
        ..written("a")
    };
    let unnamed = Written { name: String::new(), ..written("") };
    let unknown = Written { pipeline: "reprot".to_owned(), ..written("b") };
    let told = refused(&[bad, written("a"), unnamed, unknown]);
    let expected = [
        "`a`: cron: ",
        "`a`: zone: ",
        "`a`: say what to do with exactly one of",
        "`a`: role: there is no role `staf`; did you mean `staff`?",
        "`a`: catch_up: ",
        "`a`: at_most: ",
        "`a`: name: there is another schedule",
        "[2]: name: ",
        "`b`: pipeline: there is no `reprot`",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} for {expected}");
    }
}

#[test]
fn a_schedule_may_do_what_its_role_may_and_takes_what_its_plan_takes() {
    let secret = Written { pipeline: "secret".to_owned(), ..written("a") };
    let told = refused(&[secret]);
    assert!(told[0].contains("no permission `secrets`"), "{told:?}");
    let inputs = [("limti".to_owned(), json!(1))].into();
    let told = refused(&[Written { inputs, ..written("a") }]);
    assert!(told[0].contains("did you mean `limit`?"), "{told:?}");
}

#[test]
fn a_question_that_nobody_understands_is_refused_before_it_is_due() {
    let question = Written {
        pipeline: String::new(),
        question: "What is the meaning of it all?".to_owned(),
        ..written("a")
    };
    let told = refused(&[question]);
    assert_eq!(told, ["`a`: question: No answer to this is known here."]);
}

#[test]
fn what_is_submitted_knows_its_time_and_is_named_after_it() {
    let inputs = [("limit".to_owned(), json!(5))].into();
    let one = Written { inputs, teams: vec!["b".into(), "a".into()], ..written("nightly") };
    let definitions = define(&[one], planner(), pipelines).unwrap();
    let due = Timestamp::from_micros(1_767_232_800_000_000);
    let submission = definitions.submission(&definitions.by_name["nightly"], due).unwrap();
    assert_eq!(submission.inputs.0, json!({"due": "2026-01-01T02:00:00Z", "limit": 5}));
    assert_eq!(submission.origin, Origin::Schedule("nightly".to_owned()));
    assert_eq!(submission.name.as_deref(), Some("schedule/nightly/1767232800000000"));
    assert_eq!((submission.identity.role.as_str(), submission.identity.key), ("staff", None));
    assert_eq!(submission.identity.teams, ["a", "b"]);
    assert_eq!(submission.cache_key, None, "what is due is done");
}

#[test]
fn what_is_wrong_with_a_pipeline_itself_is_told_apart_from_what_is_wrong_with_a_schedule() {
    let of_pipeline = |pipeline: &str| -> Vec<bool> {
        let one = Written { pipeline: pipeline.to_owned(), ..written("a") };
        let problems = define(&[one], planner(), pipelines).unwrap_err();
        problems.iter().map(|problem| problem.of_pipeline).collect()
    };
    assert_eq!(of_pipeline("broken"), [true]);
    assert_eq!(of_pipeline("nowhere"), [false]);
    assert_eq!(of_pipeline("secret"), [false]);
}
