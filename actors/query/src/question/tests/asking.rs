//! What follows from a question.

use serde_json::json;

use super::*;
use crate::plan::Work;

fn clarification(question: &str) -> Option<Clarification> {
    match plan_question(&planner(CLUB), question, &role("coach"), Timestamp::default()).unwrap() {
        Planned::Clarification(clarification) => Some(clarification),
        Planned::Plan(_) => None,
    }
}

#[test]
fn who_greets_is_asked_what_they_want_to_know_and_nothing_is_planned() {
    for question in ["hi", "?", "ok", " hello "] {
        let clarification = clarification(question).unwrap();
        assert_eq!(clarification.examples, ["How is Suzuki performing this season?"]);
        assert!(clarification.text.contains("- How is Suzuki"), "{}", clarification.text);
    }
    assert!(clarification("who is suzuki").is_none());
}

#[test]
fn a_question_that_is_empty_or_too_long_is_refused_with_its_length() {
    let refused = |question: &str| {
        plan_question(&planner(CLUB), question, &role("coach"), Timestamp::default()).unwrap_err()
    };
    assert_eq!(refused(""), QuestionError::Length(0));
    assert_eq!(refused(&"é".repeat(1_001)), QuestionError::Length(1_001));
    assert!(clarification(&"é".repeat(1_000)).is_none());
}

#[test]
fn a_question_about_two_things_is_answered_by_the_tools_of_both_in_their_order() {
    let planned = asked("How is Suzuki performing this season?", "staff");
    assert_eq!(planned.intents, ["player", "knowledge"]);
    assert_eq!(planned.plan.name, "player");
    assert_eq!(planned.tools(), ["vectors", "table"]);
    assert_eq!(planned.levels(), [["knowledge", "stats"]]);
    assert_eq!(planned.inputs.0["name"], "Suzuki");
    let answer = planned.plan.answer.unwrap();
    assert!(answer.starts_with("{{ inputs.name }} in") && answer.ends_with("knowledge.result }}"));
}

#[test]
fn tools_that_the_role_may_not_call_are_left_out_and_said_to_be() {
    let question = "How many goals did Montreal score against Toronto?";
    let coach = asked(question, "coach");
    assert_eq!((coach.tools(), coach.denied()), (vec!["table", "matchup"], vec![]));
    let staff = asked(question, "staff");
    assert_eq!(staff.tools(), ["table"]);
    assert_eq!(staff.denied(), ["denied: matchup (needs opponent)"]);
    assert_eq!(staff.plan.answer.as_deref(), Some("In figures: {{ steps.stats.result }}"));
}

#[test]
fn only_who_may_have_figures_compared_has_them_compared() {
    let question = "Compare Caufield's shooting percentage to league average";
    assert_eq!(asked(question, "coach").tools(), ["table", "metrics"]);
    assert_eq!(asked(question, "staff").tools(), ["table"]);
}

#[test]
fn where_nothing_may_be_called_the_default_is_and_what_is_denied_is_said() {
    let planned = asked("Analyze our last game against Toronto", "player");
    assert_eq!(
        (planned.tools(), planned.intents.as_slice()),
        (vec!["vectors"], ["knowledge".to_owned()].as_slice())
    );
    let denied: Vec<String> = planned.denied.iter().map(ToString::to_string).collect();
    assert_eq!(denied, ["denied: metrics (needs advanced)", "denied: matchup (needs opponent)"]);
}

#[test]
fn where_not_even_the_default_may_be_called_the_question_is_refused() {
    let table = CLUB.replace("default: knowledge", "default: metrics");
    let asked =
        plan_question(&planner(&table), "analyze it", &role("player"), at("2025-10-04T12:00:00Z"));
    assert_eq!(
        asked.unwrap_err().to_string(),
        "nothing of the question may be done for the role `player`: denied: metrics (needs advanced)"
    );
}

#[test]
fn a_question_about_one_thing_calls_one_tool() {
    assert_eq!(asked("What is power play effectiveness?", "staff").tools(), ["vectors"]);
    assert_eq!(asked("stats for Suzuki", "staff").tools(), ["table"]);
    assert_eq!(asked("Tell me something", "staff").intents, ["knowledge"]);
}

/// One intent for each of the tools, meant by its own name.
fn tagged(tools: &[(&str, &str)]) -> String {
    let mut table = "tools:\n".to_owned();
    for (name, tags) in tools.iter().filter(|(_, tags)| !tags.is_empty()) {
        table.push_str(&format!("  {name}: {{{tags}}}\n"));
    }
    table.push_str("intents:\n");
    for (name, _) in tools {
        let step = format!("{{id: {name}, tool: {name}, arguments: {{text: x}}}}");
        table.push_str(&format!("  - {{id: {name}, keywords: [{name}], steps: [{step}]}}\n"));
    }
    table
}

/// The same levels come of `tools` in whatever order the table has them.
#[track_caller]
fn batches(tools: &[(&str, &str)], expected: &[&[&str]]) {
    let question: Vec<&str> = tools.iter().map(|(name, _)| *name).collect();
    let mut tools = tools.to_vec();
    for _ in 0..tools.len() {
        tools.rotate_left(1);
        let planner = planner(&tagged(&tools));
        let planned = asked_at(&planner, &question.join(" and "), "coach", "2025-10-04T12:00:00Z");
        let mut levels = planned.levels();
        levels.iter_mut().for_each(|level| level.sort_unstable());
        assert_eq!(levels, expected);
    }
}

#[test]
fn tools_wait_for_those_that_produce_what_they_consume() {
    let metrics = ("metrics", "consumes: [games, dates], produces: [figures]");
    batches(
        &[
            ("chart", "consumes: [figures]"),
            metrics,
            ("games", "produces: [games]"),
            ("schedule", "produces: [dates]"),
        ],
        &[&["games", "schedule"], &["metrics"], &["chart"]],
    );
    batches(
        &[
            ("live", "consumes: [score, plays]"),
            ("boxscore", "produces: [score]"),
            ("plays", "produces: [plays]"),
            ("vectors", ""),
        ],
        &[&["boxscore", "plays", "vectors"], &["live"]],
    );
    batches(
        &[
            ("comparables", "consumes: [deals]"),
            ("contracts", "produces: [deals]"),
            ("trades", "produces: [deals]"),
        ],
        &[&["contracts", "trades"], &["comparables"]],
    );
}

#[test]
fn words_for_a_time_are_days_by_the_time_of_the_question() {
    let planner = planner(CLUB);
    let inputs = |question, now| asked_at(&planner, question, "coach", now).inputs.0;
    let night = inputs("goals of last night", "2025-10-04T12:00:00Z");
    assert_eq!((&night["from"], &night["to"]), (&json!("2025-10-03"), &json!("2025-10-04")));
    let season = |now| inputs("goals this season", now)["period"].clone();
    assert_eq!(season("2025-10-04T12:00:00Z"), "2025-2026");
    assert_eq!(season("2025-09-30T12:00:00Z"), "2024-2025");
    let last = inputs("goals last season", "2025-10-04T12:00:00Z");
    assert_eq!((&last["from"], &last["to"]), (&json!("2024-10-01"), &json!("2025-10-01")));
    let none = inputs("goals", "2025-10-04T12:00:00Z");
    assert_eq!((&none["from"], &none["period"]), (&json!(null), &json!(null)));
}

#[test]
fn an_intent_is_for_its_roles_only() {
    let table = CLUB.replace("  - id: matchup\n", "  - id: matchup\n    roles: [coach, scout]\n");
    let planner = planner(&table);
    let question = "How many goals against Toronto?";
    let now = "2025-10-04T12:00:00Z";
    assert_eq!(asked_at(&planner, question, "coach", now).tools(), ["table", "matchup"]);
    assert_eq!(asked_at(&planner, question, "admin", now).tools(), ["table", "matchup"]);
    let staff = asked_at(&planner, question, "staff", now);
    assert_eq!(staff.denied(), ["denied: matchup (only for coach, scout)"]);
}

/// A table of one intent with these steps and fields.
fn one(steps: &str, fields: &str) -> Planner {
    planner(&format!("intents:\n  - id: it\n    keywords: [it]\n{fields}\n    steps:\n{steps}"))
}

#[test]
fn what_refers_to_a_step_that_is_left_out_is_left_out_and_what_only_follows_it_is_not() {
    let steps = r#"
      - {id: a, tool: metrics, arguments: {text: x}}
      - {id: b, tool: table, arguments: {text: "{{ steps.a.result }}"}}
      - {id: c, tool: table, arguments: {text: x}, needs: a, on_success: b}
      - {id: d, tool: table, arguments: {text: x}, on_failure: {fallback: [{tool: matchup, arguments: {text: x}}]}}
"#;
    let steps = steps.replace(", on_success: b", "");
    let planner = one(&steps, "    answer: \"{{ steps.b.result }}\"");
    let planned = asked_at(&planner, "do it", "staff", "2025-10-04T12:00:00Z");
    assert_eq!(planned.levels(), [["c", "d"]]);
    assert_eq!(planned.plan.steps[1].on_failure, crate::plan::OnFailure::Fail);
    let mut denied = planned.denied();
    denied.sort_unstable();
    let expected = [
        "denied: matchup (needs opponent)",
        "denied: metrics (needs advanced)",
        "left out: step b (refers to a, which is left out)",
    ];
    assert_eq!(denied, expected);
    let answer = planned.plan.answer.unwrap();
    assert!(answer.contains("steps.c.result") && !answer.contains("steps.b"), "{answer}");
}

#[test]
fn the_least_evidence_becomes_steps_that_give_the_query_up() {
    let steps = "      - {id: a, tool: table, arguments: {text: x}}\n      - {id: b, tool: vectors, arguments: {text: x}}\n";
    let planner = one(steps, "    min_evidence: 2\n    min_confidence: 0.7");
    let planned = asked_at(&planner, "do it", "staff", "2025-10-04T12:00:00Z");
    assert_eq!(planned.levels(), [["a", "b"], ["it_evidence", "it_confidence"]]);
    let gates = planned.plan.steps.iter().filter(|step| matches!(step.work, Work::Gate { .. }));
    let holds = |scope: &Value| -> Vec<bool> {
        let gates = gates.clone().filter_map(|step| match &step.work {
            Work::Gate { that, .. } => Some(crate::expression::holds(that, scope).unwrap()),
            Work::Call(_) | Work::Value(_) | Work::Approval { .. } => None,
        });
        gates.collect()
    };
    let found = |ids: &[&str], result: Value| {
        let citations: Vec<Value> = ids.iter().map(|id| json!({"id": id})).collect();
        json!({"citations": citations, "result": result})
    };
    let scope = |a: Value, b: Value| json!({"steps": {"a": a, "b": b}});
    let sure = json!({"confidence": 0.7});
    assert_eq!(
        holds(&scope(found(&["x"], sure.clone()), found(&["y"], json!("text")))),
        [true, true]
    );
    assert_eq!(holds(&scope(found(&["x"], sure), found(&["x"], json!(1)))), [false, true]);
    let unsure = json!({"confidence": 0.69});
    assert_eq!(holds(&scope(found(&["x", "y"], unsure), json!({"citations": []}))), [true, false]);
}

#[test]
fn one_answer_serves_who_asks_the_same_in_the_same_role_and_teams() {
    let planner = planner(CLUB);
    let key = |question: &str, role: &str, teams: &[&str], now: &str, version: u64| {
        let teams = teams.iter().map(|team| (*team).to_owned()).collect();
        let identity = Identity { name: String::new(), role: role.to_owned(), teams, key: None };
        let planned = asked_at(&planner, question, role, now);
        cache_key(question, &identity, (&planned.plan, &planned.inputs), version).unwrap()
    };
    let (question, now) = ("Why did they win this season?", "2025-10-04T12:00:00Z");
    let first = key(question, "coach", &["a", "b"], now, 0);
    assert_eq!(key(" why did THEY win  this season", "coach", &["b", "a"], now, 0), first);
    let others = [
        key(question, "staff", &["a", "b"], now, 0),
        key(question, "coach", &["a"], now, 0),
        key(question, "coach", &["a", "b"], now, 1),
        key(question, "coach", &["a", "b"], "2025-09-30T12:00:00Z", 0),
        key("Why did they lose this season?", "coach", &["a", "b"], now, 0),
    ];
    assert!(others.iter().all(|other| *other != first));
}
