//! What is refused, and in which words.

use super::*;

fn refused(text: &str) -> Vec<Finding> {
    let findings = read(text, &catalogue()).expect_err(text);
    assert!(findings.iter().any(Finding::is_error), "{text}");
    findings
}

/// Asserts that the document is refused for this alone.
#[track_caller]
fn assert_refused(text: &str, code: &str, told: &str) {
    let findings = refused(text);
    assert_eq!(lines(&findings).trim_end(), told);
    assert_eq!(findings[0].code, code);
}

/// The same of a document with one step, which says `step` beside its id, in line 3.
#[track_caller]
fn assert_step_refused(step: &str, code: &str, told: &str) {
    let text = format!("name: a\nsteps:\n  - {{id: a, {step}}}\n  - {{id: b, value: 1}}");
    assert_refused(&text, code, &format!("line 3: step `a`: {told}"));
}

#[test]
fn steps_that_wait_for_each_other_are_refused_by_name_and_line() {
    let text = "
name: cycle
steps:
  - id: alone
    value: 1
  - id: a
    value: \"{{ steps.b.result }}\"
  - id: b
    needs: [a]
    value: 2
";
    assert_refused(text, "cycle", "line 6: step `a`: steps wait for each other: a, b");
}

#[test]
fn a_tool_that_is_not_there_is_refused_with_the_one_that_is_meant() {
    let text = "
name: unknown
steps:
  - id: write
    tool: gernate
    arguments: {prompt: x}
";
    let told = "line 5: step `write`: tool: there is no tool `gernate`; did you mean `generate`?";
    assert_refused(text, "unknown_tool", told);
}

#[test]
fn a_step_that_is_not_there_is_refused_by_name_and_line() {
    let text = "
name: unknown
steps:
  - id: report
    needs:
      - fetch
    value: 1
";
    let told = "line 6: step `report`: needs[0]: there is no step `fetch`";
    assert_refused(text, "unknown_step", told);
}

#[test]
fn a_second_step_of_one_name_is_refused_in_its_line() {
    let text = "
name: twice
steps:
  - id: a
    value: 1
  - value: 2
    id: a
";
    assert_refused(text, "duplicate_id", "line 7: step `a`: id: there are two steps `a`");
}

#[test]
fn everything_wrong_with_a_document_is_told_at_once_in_the_order_of_its_lines() {
    let text = "
nme: all
timeout: 60
inputs:
  limit: {type: integr, default: 3}
  bad-name: 1
steps:
  - id: read
    tool: read_fil
    arguments: {path: \"{{ inputs.lmit }}\"}
    timeout: soon
  - id: last
    needs: [raed, 7]
    retry: {attempts: 0}
    tool: generate
    arguments: {prompt: \"{{ steps.read.txt }}\"}
    on_failure: retry
  - 17
outputs: [1]
";
    assert_eq!(
        lines(&refused(text)),
        "line 2: name: `name` is missing
line 2: nme: there is no field `nme`; did you mean `name`?
line 3: timeout: must be a duration with its unit, such as 500ms, 15s, 2m; did you mean `60s`?
line 5: inputs.limit.type: must be one of string, integer, number, boolean, array, object, any, not `integr`; did you mean `integer`?
line 6: inputs.bad-name: `bad-name` is no name: it must be a letter, then letters, digits and underscores, 64 at most; did you mean `bad_name`?
line 9: step `read`: tool: there is no tool `read_fil`; did you mean `read_file`?
line 10: step `read`: arguments.path: there is no input `lmit`; did you mean `limit`?
line 11: step `read`: timeout: `soon` is no duration such as 500ms, 15s, 2m: expected number at 0
line 13: step `last`: needs[1]: must be text, not a number; did you mean `\"7\"`?
line 13: step `last`: needs[0]: there is no step `raed`; did you mean `read`?
line 14: step `last`: retry.attempts: must be 1 to 100, not 0
line 16: step `last`: arguments.prompt: `steps.read` has no `txt`; it has result, success, status, error, skipped, attempts, citations; did you mean `steps.read.result.txt`?
line 17: step `last`: on_failure: must be one of fail, continue, skip, not `retry`; did you mean `{route: retry}`?
line 18: steps[2]: must be a mapping, not a number
line 19: outputs: must be a mapping, not a list
"
    );
}

#[test]
fn fields_that_are_not_known_are_refused_with_the_one_that_is_meant() {
    for (field, meant) in [
        ("parameters: {}", "arguments"),
        ("depends_on: [b]", "needs"),
        ("condition: true", "if"),
        ("for_each: [1]", "each"),
        ("max_retries: 2", "retry"),
        ("on_sucess: b", "on_success"),
        ("on_failur: skip", "on_failure"),
    ] {
        let name = field.split(':').next().unwrap();
        let told = format!("{name}: there is no field `{name}`; did you mean `{meant}`?");
        assert_step_refused(&format!("{field}, value: 1"), "unknown_field", &told);
    }
    assert_step_refused("value: 1, zebra: 2", "unknown_field", "zebra: there is no field `zebra`");
    let told = "retry.attempt: there is no field `attempt`; did you mean `attempts`?";
    assert_step_refused(
        "tool: generate, arguments: {prompt: x}, retry: {attempt: 2}",
        "unknown_field",
        told,
    );
    let text = "name: a\nparameters: {}\nsteps: [{id: a, value: 1}]";
    let told = "line 2: parameters: there is no field `parameters`; did you mean `inputs`?";
    assert_refused(text, "unknown_field", told);
}

#[test]
fn a_key_that_stands_twice_is_refused_with_both_lines() {
    let text = "name: a\nsteps:\n  - id: a\n    value: 1\n    id: a";
    let told = "line 5: `id` stands twice, here and in line 3";
    assert_refused(text, "duplicate_key", told);
}

#[test]
fn a_step_does_exactly_one_thing() {
    let told = "tool: the step does nothing; it needs one of tool, value, gate, approval";
    assert_step_refused("needs: b, arguments: {}, timeout: 1s", "missing_field", told);
    let told = "value: a step does one thing, not tool and value";
    let step = "tool: read_file, arguments: {path: x}, value: 1";
    assert_step_refused(step, "conflicting_fields", told);
    let told = "while: a step is done for each element or while something holds, not both";
    assert_step_refused("value: 1, each: [1], while: true", "conflicting_fields", told);
}

#[test]
fn fields_that_would_have_no_effect_are_refused() {
    for (field, needed) in [
        ("arguments: {}", "`tool`"),
        ("retry: {attempts: 2}", "`tool`"),
        ("timeout: 2s", "`tool`"),
        ("max_items: 3", "`each`"),
        ("max_parallel: 3", "`each`"),
        ("max_iterations: 3", "`while`"),
        ("on_false: b", "`if`"),
    ] {
        let name = field.split(':').next().unwrap();
        let told = format!("{name}: `{name}` means nothing without {needed}");
        assert_step_refused(&format!("{field}, value: 1"), "misplaced_field", &told);
    }
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    for (step, told) in [
        ("value: 1, needs: 5", "needs: must be the id of a step or a list of ids, not a number"),
        ("value: 1, if: [1]", "if: must be text, not a list"),
        ("value: 1, each: {a: 1}", "each: must be a list or an expression, not a mapping"),
        (
            "tool: generate, arguments: {prompt: x}, retry: 3",
            "retry: must be a mapping, not a number",
        ),
        (
            "tool: generate, arguments: {prompt: x}, retry: {attempts: -1}",
            "retry.attempts: must be a whole number that is not negative, not a number",
        ),
        (
            "tool: generate, arguments: {prompt: x}, retry: {jitter: high}",
            "retry.jitter: must be a number, not text",
        ),
        (
            "tool: generate, arguments: {prompt: x}, retry: {kinds: timeout}",
            "retry.kinds: must be a list, not text",
        ),
        (
            "tool: generate, arguments: {prompt: x}, timeout: [1]",
            "timeout: must be a duration such as 500ms, 15s, 2m, not a list",
        ),
        ("value: 1, on_success:", "on_success: must be text, not nothing"),
        ("gate: x > 1", "gate: must be a mapping, not text"),
        ("tool: generate, arguments: [1]", "arguments: must be a mapping, not a list"),
        (
            "tool: generate, arguments: {prompt: x}, on_failure: {fallback: {}}",
            "on_failure.fallback: must be a list, not a mapping",
        ),
    ] {
        let text = format!("name: a\nsteps:\n  - {{id: a, {step}}}\n  - {{id: b, value: 1}}");
        let first = &refused(&text)[0];
        assert_eq!(first.code, "wrong_type", "{step}");
        assert_eq!(first.to_string(), format!("line 3: step `a`: {told}"));
    }
    let told = "line 1: name: must be text, not a number; did you mean `\"1.5\"`?";
    assert_refused("name: 1.5\nsteps: [{id: a, value: 1}]", "wrong_type", told);
    let text = "name: a\ninputs: {b: }\nsteps: [{id: a, value: \"{{ inputs.b }}\"}]";
    let told = "line 2: inputs.b: must be a default, or a mapping of type, default and description, \
                not nothing";
    assert_refused(text, "wrong_type", told);
    assert_refused("- 1", "wrong_type", "line 1: must be a mapping, not a list");
}

#[test]
fn words_that_mean_nothing_are_refused_with_those_that_do() {
    let told = "on_failure: must be one of fail, continue, skip, not `contine`; \
                did you mean `continue`?";
    assert_step_refused("value: 1, on_failure: contine", "invalid_value", told);
    let told =
        "on_failure: must be one of fail, continue, skip, not `b`; did you mean `{route: b}`?";
    assert_step_refused("value: 1, on_failure: b", "invalid_value", told);
    let told = "retry.kinds[1]: must be one of timeout, unavailable, overloaded, failed, invalid, \
                denied, not_found, cancelled, unknown, not `notfound`; did you mean `not_found`?";
    assert_step_refused(
        "tool: generate, arguments: {prompt: x}, retry: {kinds: [failed, notfound]}",
        "invalid_value",
        told,
    );
    let told = "on_failure: needs one of `route` and `fallback`, or is fail, continue or skip";
    assert_step_refused("value: 1, on_failure: {}", "conflicting_fields", told);
}

#[test]
fn what_a_part_needs_is_asked_for() {
    assert_step_refused("gate: {that: true}", "missing_field", "gate.reason: `reason` is missing");
    assert_step_refused("gate: {reason: x}", "missing_field", "gate.that: `that` is missing");
    assert_step_refused("approval: {}", "missing_field", "approval.prompt: `prompt` is missing");
    let told = "on_failure.fallback[0].tool: `tool` is missing";
    assert_step_refused(
        "tool: generate, arguments: {prompt: x}, on_failure: {fallback: [{}]}",
        "missing_field",
        told,
    );
    let text = "name: a\nsteps:\n  - value: 1";
    assert_refused(text, "missing_field", "line 3: steps[0].id: `id` is missing");
    assert_refused("name: a", "missing_field", "line 1: steps: `steps` is missing");
    assert_refused("name: a\nsteps: []", "no_steps", "line 2: steps: a plan has at least one step");
}

#[test]
fn what_is_not_yaml_is_refused_in_its_line() {
    let findings = refused("name: a\nsteps: [}");
    assert_eq!((findings.len(), findings[0].code, findings[0].line), (1, "malformed", Some(2)));
    assert_refused("", "malformed", "line 1: there is nothing in it");
    let told = "line 2: a second document begins; a file holds one";
    assert_refused("name: a\n---\nname: b", "malformed", told);
}

#[test]
fn what_has_no_meaning_in_a_pipeline_is_refused() {
    for (value, told) in [
        ("!secret x", "the tag `!secret` has no meaning here; quote what is text"),
        (
            "{{ inputs.x }}",
            "a key must be text; a template must stand in quotes, as in \"{{ … }}\"",
        ),
        ("{<<: {a: 1}}", "mappings are not merged; write the keys out"),
        (".nan", "`.nan` is beyond what a number holds; in quotes it is text"),
        ("&a [*a]", "an alias stands within what it stands for"),
    ] {
        let text = format!("name: a\nsteps:\n  - id: a\n    value: {value}\n");
        assert_refused(&text, "malformed", &format!("line 4: {told}"));
    }
}

#[test]
fn a_document_is_bounded_in_length_depth_and_in_what_its_aliases_come_to() {
    let long = format!("name: {}", "x".repeat(1 << 20));
    assert_refused(&long, "too_large", "has 1048582 bytes, more than 1048576");
    let deep = format!("name: {}", "[".repeat(100));
    assert_refused(&deep, "too_large", "line 1: is more than 32 levels deep");
    assert_eq!(refused(&"[".repeat(500_000))[0].code, "malformed");
    assert_refused(&"- ".repeat(500_000), "too_large", "line 1: is more than 32 levels deep");
    let mut laughs = "name: a\na0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n".to_owned();
    for n in 1..10 {
        let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
        laughs += &format!("a{n}: &a{n} [{aliases}]\n");
    }
    let told = "line 6: comes to more than 4194304 bytes, 64 for each value beside its text";
    assert_refused(&laughs, "too_large", told);
}

#[test]
fn a_json_value_is_bounded_as_well() {
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let found = |value: &Value| read_json(value, &catalogue()).unwrap_err()[0].to_string();
    assert_eq!(found(&deep), "is more than 32 levels deep");
    let large = json!({"name": vec![1; 100_000]});
    assert!(found(&large).starts_with("comes to more than 4194304 bytes"));
}

#[test]
fn findings_about_json_name_the_place_without_a_line() {
    let document = json!({"name": "a", "steps": [{"id": "a", "tool": "gernate"}]});
    let findings = read_json(&document, &catalogue()).unwrap_err();
    let told = "step `a`: tool: there is no tool `gernate`; did you mean `generate`?\n";
    assert_eq!(lines(&findings), told);
}
