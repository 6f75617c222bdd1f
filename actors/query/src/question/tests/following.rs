//! Questions that follow others.

use super::*;
use crate::record::Outcome;

const NOW: &str = "2025-10-04T12:00:00Z";

/// Has questions understood one after the other; the last one.
fn last(questions: &[&str]) -> FollowUp {
    let planner = planner(CLUB);
    let mut reading = None;
    let mut last = None;
    for question in questions {
        let read = follow_up(&planner, question, reading.as_ref(), &role("coach"), at(NOW));
        let read = read.unwrap_or_else(|error| panic!("{question}: {error}"));
        reading = Some(read.reading.clone());
        last = Some(read);
    }
    last.unwrap()
}

fn plan(read: &FollowUp) -> &PlannedQuestion {
    match &read.planned {
        Planned::Plan(planned) => planned,
        Planned::Clarification(clarification) => panic!("{clarification:?}"),
    }
}

fn input<'r>(read: &'r FollowUp, name: &str) -> &'r str {
    plan(read).inputs.0[name].as_str().unwrap_or("nothing")
}

#[test]
fn what_a_question_leaves_out_is_taken_from_the_one_before_and_told() {
    let read = last(&["How is Suzuki performing last season?", "And his performance in goals?"]);
    assert_eq!(input(&read, "name"), "Suzuki");
    assert_eq!(input(&read, "period"), "2024-2025");
    assert_eq!(input(&read, "from"), "2024-10-01");
    assert_eq!(read.taken, ["name Suzuki", "period 2024-2025"]);
    let told = "Taken from the earlier question: name Suzuki, period 2024-2025.";
    assert_eq!(input(&read, "taken_from_earlier"), told);
    let answer = plan(&read).plan.answer.clone().unwrap();
    assert!(answer.ends_with("\n\n{{ inputs.taken_from_earlier }}"), "{answer}");
}

#[test]
fn what_a_question_says_itself_is_not_taken_from_before() {
    let read = last(&["How is Suzuki performing last season?", "How is Laine doing this season?"]);
    assert_eq!((input(&read, "name"), input(&read, "period")), ("Laine", "2025-2026"));
    assert_eq!(read.taken, [] as [&str; 0]);
    let alone = last(&["How is Laine doing this season?"]);
    assert_eq!(read.planned, alone.planned, "nothing shows that there was another one");
}

#[test]
fn what_no_step_and_no_answer_uses_is_not_taken() {
    let read = last(&["How is Suzuki performing last season?", "Compare them"]);
    assert_eq!(plan(&read).tools(), ["metrics"]);
    assert_eq!(read.taken, [] as [&str; 0]);
    let read = last(&["How is Suzuki performing last season?", "Compare them", "performance?"]);
    assert_eq!(input(&read, "name"), "Suzuki", "it is remembered all the same");
}

#[test]
fn words_for_a_time_alone_ask_the_same_of_another_time() {
    let read = last(&["How is Suzuki performing?", "and last season?"]);
    assert_eq!(plan(&read).intents, last(&["How is Suzuki performing?"]).reading.intents);
    assert_eq!((input(&read, "name"), input(&read, "period")), ("Suzuki", "2024-2025"));
    assert_eq!(read.taken, ["what is asked", "name Suzuki"]);
    let read = last(&["How is Suzuki performing?", "Last season"]);
    assert_eq!(input(&read, "period"), "2024-2025");
}

#[test]
fn a_name_alone_asks_the_same_of_somebody_else() {
    let table = CLUB.replace(r"(?P<name>\w+)", r"(?P<name>\w+(?: [A-Z]\w+)?)");
    let planner = planner(&table);
    let ask = |question: &str, earlier: Option<&Reading>| {
        follow_up(&planner, question, earlier, &role("coach"), at(NOW)).unwrap()
    };
    let first = ask("How is Suzuki performing?", None).reading;
    for question in
        ["What about Patrik Laine?", "and for Patrik Laine", "And Patrik Laine last season?"]
    {
        let read = ask(question, Some(&first));
        assert_eq!(input(&read, "name"), "Patrik Laine", "{question}");
        assert_eq!(plan(&read).plan.name, "player", "{question}");
    }
    let read = last(&["How is Suzuki performing last season?", "What about Laine?"]);
    assert_eq!(input(&read, "period"), "2024-2025");
    assert_eq!(read.taken, ["what is asked", "period 2024-2025"]);
}

#[test]
fn a_name_alone_is_none_that_the_pattern_would_not_let_in() {
    let planner = planner(CLUB);
    let ask = |question: &str, earlier: Option<&Reading>| {
        follow_up(&planner, question, earlier, &role("coach"), at(NOW)).unwrap()
    };
    let first = ask("How is Suzuki performing?", None).reading;
    for name in ["../../etc/passwd", "Patrik Laine", "a;b", "r-f", "x\u{0}y"] {
        let read = ask(&format!("What about {name}?"), Some(&first));
        let Planned::Clarification(asked_back) = read.planned else { panic!("{name}: {read:?}") };
        assert!(asked_back.text.contains("nothing that can be asked for as name"), "{name}");
        let read = ask("and last season?", Some(&read.reading));
        assert_eq!(input(&read, "name"), "Suzuki", "what was asked before is still known");
    }
}

#[test]
fn a_question_of_its_own_is_not_understood_as_more_of_the_one_before() {
    let read = last(&["How is Suzuki performing?", "Tell me a story about a very old goalkeeper"]);
    assert_eq!(plan(&read).plan.name, "knowledge");
    assert_eq!(read.taken, [] as [&str; 0]);
}

#[test]
fn what_was_asked_back_is_answered_by_the_next_question() {
    let table = CLUB.replace("default: knowledge\n", "");
    let planner = planner(&table);
    let ask = |question: &str, earlier: Option<&Reading>| {
        follow_up(&planner, question, earlier, &role("coach"), at(NOW)).unwrap()
    };
    let unclear = ask("Tell me of Suzuki last season", None);
    assert!(matches!(unclear.planned, Planned::Clarification(_)), "{unclear:?}");
    let read = ask("his goals", Some(&unclear.reading));
    assert_eq!(plan(&read).plan.name, "statistics");
    assert_eq!(input(&read, "period"), "2024-2025");
    assert_eq!(read.taken, ["\"Tell me of Suzuki last season\""]);
    let still = ask("or so", Some(&unclear.reading));
    assert!(matches!(still.planned, Planned::Clarification(_)), "{still:?}");
    assert_eq!(still.reading.question, "Tell me of Suzuki last season or so");
    let greeted = ask("hi", None);
    let read = ask("goals?", Some(&greeted.reading));
    assert_eq!(input(&read, "question"), "goals?", "a greeting adds nothing");
}

#[test]
fn names_of_the_question_before_are_no_templates_and_no_marks() {
    let table = CLUB.replace(r"(?P<name>\w+)", r"(?P<name>\S+)");
    let planner = planner(&table);
    let odd = "{{steps}}[[x]]";
    let first = format!("how is {odd} performing");
    let ask = |question: &str, earlier: Option<&Reading>| {
        follow_up(&planner, question, earlier, &role("coach"), at(NOW)).unwrap()
    };
    let read = ask("performance?", Some(&ask(&first, None).reading));
    assert_eq!(input(&read, "name"), odd);
    assert_eq!(
        input(&read, "taken_from_earlier"),
        "Taken from the earlier question: name {{steps}}[ [x]]."
    );
}

#[test]
fn who_says_nothing_goes_on_with_what_was_asked_before() {
    let planner = planner(&CLUB.replace("default: knowledge\n", ""));
    let ask = |question: &str, earlier: Option<&Reading>| {
        follow_up(&planner, question, earlier, &role("coach"), at(NOW)).unwrap()
    };
    let first = ask("How is Suzuki performing?", None);
    for nothing in ["?", "ok", "and?", "what about"] {
        let asked_back = ask(nothing, Some(&first.reading));
        assert!(matches!(asked_back.planned, Planned::Clarification(_)), "{nothing}");
        let read = ask("and last season?", Some(&asked_back.reading));
        assert_eq!((input(&read, "name"), input(&read, "period")), ("Suzuki", "2024-2025"));
    }
}

#[test]
fn a_name_is_only_one_if_nothing_else_is_said() {
    let first = "How is Suzuki performing?";
    let long = "What about the report of the goalkeeper on his knee last season?";
    for question in ["weather last season", long] {
        assert_eq!(plan(&last(&[first, question])).plan.name, "knowledge", "{question}");
    }
}

#[test]
fn what_a_model_has_answered_is_not_added_to_the_next_question() {
    let planner = planner(&CLUB.replace("default: knowledge\n", ""));
    let ask = |question: &str, earlier: Option<&Reading>| {
        follow_up(&planner, question, earlier, &role("coach"), at(NOW)).unwrap()
    };
    let unknown = ask("Tell me of Suzuki", None).reading;
    let asked_back = unknown.clone().ended(Outcome::Clarification);
    assert_eq!(
        input(&ask("his goals", Some(&asked_back)), "question"),
        "Tell me of Suzuki his goals"
    );
    let answered = unknown.ended(Outcome::Succeeded);
    assert_eq!(input(&ask("his goals", Some(&answered)), "question"), "his goals");
}

#[test]
fn the_time_that_is_said_last_is_meant() {
    let planner = planner(&CLUB.replace("default: knowledge\n", ""));
    let ask = |question: &str, earlier: Option<&Reading>| {
        follow_up(&planner, question, earlier, &role("coach"), at(NOW)).unwrap()
    };
    let unclear = ask("Tell me of Suzuki last season", None);
    let read = ask("his goals this season", Some(&unclear.reading));
    assert_eq!(input(&read, "period"), "2025-2026");
}
