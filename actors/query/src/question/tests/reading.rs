//! What is wrong with a table.

use super::*;

fn refused(table: &str) -> String {
    lines(&read(table, &catalogue()).unwrap_err())
}

#[test]
fn everything_that_cannot_be_read_is_told_with_its_line() {
    let table = r#"default: nothing
time:
  zone: Nowhere/There
  words:
    - {say: [now], unit: hour}
    - {say: [then], unit: day, begins: 10-01}
    - {say: [once], unit: year, begins: 02-30, back: 9999}
  default: some day
intents:
  - id: a b
    keywords: ["?"]
    patterns: ["("]
    min_confidence: 2
    steps:
      - {id: x, tol: table}
    anwser: x
"#;
    let told = refused(table);
    let expected = [
        "line 1: default: there is no intent `nothing`",
        "line 3: time.zone: `Nowhere/There` is no time zone of the IANA database, such as UTC",
        "line 5: time.words[0].unit: must be one of day, week, month, year, not `hour`",
        "line 6: time.words[1].begins: `begins` means nothing without `unit: year`",
        "line 7: time.words[2].back: must be at most 1000, not 9999",
        "line 7: time.words[2].begins: `02-30` is no month and day that every year has, such as 10-01",
        "line 8: time.default: `some day` is none of the words for a time",
        "line 10: intents[0].id: must be a letter, then letters, digits and underscores",
        "line 11: intents[0].keywords[0]: `?` has no word in it",
        "line 12: intents[0].patterns[0]: `(` is not a regular expression: unclosed group",
        "line 13: intents[0].min_confidence: must be from 0 to 1, not 2",
        "line 15: step `x`: tool: the step does nothing; it needs one of tool, value, gate, approval",
        "line 15: step `x`: tol: there is no field `tol`; did you mean `tool`?",
        "line 16: intents[0].anwser: there is no field `anwser`; did you mean `answer`?",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn what_could_not_be_done_is_told_with_its_line() {
    let table = r#"
tools:
  tabel: {consumes: [x]}
intents:
  - id: a
    keywords: [a]
    patterns: ['(?P<from>x)(?P<_y>y)']
    min_evidence: 1
    steps:
      - {id: x, value: 1}
      - {id: a_evidence, value: 1}
    answer: "{{ steps.z.result }}"
  - id: a
    keywords: [b]
    steps:
      - {id: x, tool: tabel, arguments: {text: "{{ inputs.who }}"}}
"#;
    let told = refused(table);
    let expected = [
        "line 3: tools.tabel: there is no tool `tabel`; did you mean `table`?",
        "line 7: intents[0].patterns[0]: every question has an input `from` already",
        "line 7: intents[0].patterns[0]: `_y` is no name of an input: a letter, then letters, digits and underscores",
        "line 8: intents[0].min_evidence: no step of the intent calls a tool, so that there is never any evidence",
        "line 11: step `a_evidence`: id: `a_evidence` is the name of a step that the intent itself makes",
        "line 12: intents[0].answer: there is no step `z`",
        "line 13: intents[1].id: there are two intents `a`",
        "line 16: step `x`: tool: there is no tool `tabel`; did you mean `table`?",
        "line 16: step `x`: arguments.text: there is no input `who`",
    ];
    let mut told: Vec<&str> = told.lines().collect();
    told.sort_by_key(|line| line[5..].split(':').next().unwrap().parse::<u32>().unwrap());
    for line in expected {
        assert!(told.iter().any(|told| told.starts_with(line)), "{line} is not in {told:#?}");
    }
}

#[test]
fn steps_of_one_name_are_one_step() {
    let table = |second: &str| {
        format!(
            "intents:\n  - {{id: a, keywords: [a], steps: [{{id: x, value: 1}}]}}\n  \
             - {{id: b, keywords: [b], steps: [{{id: x, value: {second}}}]}}\n"
        )
    };
    assert_eq!(refused(&table("2")), "line 3: step `x`: id: intent `a` has another step `x`\n");
    let planned = asked_at(&planner(&table("1")), "a or b", "coach", "2025-10-04T12:00:00Z");
    assert_eq!((planned.plan.steps.len(), planned.intents.len()), (1, 2));
}

#[test]
fn tools_that_consume_what_they_produce_for_each_other_are_refused() {
    let table = "tools:\n  live: {consumes: [x], produces: [y]}\n  plays: {consumes: [y], produces: [x]}\n\
                 intents:\n  - {id: a, keywords: [a], steps: [{id: x, value: 1}]}\n";
    assert_eq!(refused(table), "line 1: tools: tools come after each other: live, plays\n");
    let table = "tools:\n  live: {consumes: [x]}\n  plays: {produces: [x]}\nintents:\n  \
                 - id: a\n    keywords: [a]\n    steps:\n      \
                 - {id: live, tool: live, arguments: {text: x}}\n      \
                 - {id: plays, tool: plays, arguments: {text: \"{{ steps.live.result }}\"}}\n";
    let told = refused(table);
    assert!(
        told.contains("could not be answered: steps wait for each other: live, plays"),
        "{told}"
    );
}

#[test]
fn an_intent_that_nothing_can_mean_is_doubtful() {
    let table = "intents:\n  - {id: a, steps: [{id: x, value: 1}]}\n";
    let warnings = read(table, &catalogue()).unwrap().warnings;
    assert!(lines(&warnings).starts_with("line 2: warning: intents[0]: has neither keywords"));
}

#[test]
fn a_table_without_intents_is_refused() {
    assert!(refused("examples: [x]").contains("`intents` is missing"));
    assert!(refused("intents: []").contains("there is no intent in it"));
    assert!(refused("").contains("there is nothing in it"));
}
