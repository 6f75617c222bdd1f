use std::time::Duration;

use serde_json::json;

use super::*;
use crate::pipeline::read;
use crate::plan::ValueType;
use crate::tool::Parameter;

fn catalogue() -> Catalogue {
    let path = || Parameter::required("path", ValueType::String, "");
    let mut write = ToolSpec::new("write", "Writes.").parameter(path());
    write.permission = Some("files.write".to_owned());
    write.changes_world = true;
    write.group = "disk".to_owned();
    let mut fetch = ToolSpec::new("fetch", "Fetches.").parameter(path());
    fetch.permission = Some("web".to_owned());
    fetch.timeout = Duration::from_secs(4);
    Catalogue([("write".to_owned(), write), ("fetch".to_owned(), fetch)].into())
}

/// Bounds that no plan here meets.
fn wide() -> NodeBounds {
    let groups = ["fetch", "disk"].map(|name| (name.to_owned(), bears(10_000)));
    NodeBounds { timeout: Duration::from_secs(86_400), max_parallel: 10_000, groups: groups.into() }
}

fn bears(concurrency: usize) -> Bounds {
    Bounds { concurrency, ..Bounds::default() }
}

fn explained(text: &str) -> Explanation {
    within(text, &wide())
}

fn within(text: &str, bounds: &NodeBounds) -> Explanation {
    explain(&read(text, &catalogue()).unwrap(), &catalogue(), bounds)
}

const REPORT: &str = r#"
name: report
description: Fetches and writes.
timeout: 1h
inputs: {urls: [a, b]}
steps:
  - id: pages
    each: inputs.urls
    max_items: 25
    max_parallel: 10
    tool: fetch
    arguments: {path: "{{ item }}"}
    timeout: 2s
    retry: {attempts: 2, base: 1s, jitter: 0}
    on_failure: {fallback: [{tool: write, arguments: {path: x}}]}
  - id: ask
    if: len(steps.pages.result) > 3
    approval: {prompt: "Write?", wait: 10m}
    on_false: end
  - id: save
    tool: write
    arguments: {path: "{{ steps.ask.result }}"}
    retry: {attempts: 1}
    on_failure: {route: end}
  - id: end
    value: 1
"#;

#[test]
fn steps_are_explained_with_what_they_wait_for_and_call() {
    let Explanation { levels, steps, permissions, .. } = explained(REPORT);
    let levels: Vec<Vec<&str>> =
        levels.iter().map(|level| level.iter().map(StepId::as_str).collect()).collect();
    assert_eq!(levels, [["pages"], ["ask"], ["save"], ["end"]]);
    assert_eq!(permissions, ["files.write", "web"]);
    assert_eq!(steps[2].waits_for, ["ask".into()]);
    assert_eq!(steps[2].results_of, ["ask".into()]);
    assert_eq!(steps[3].waits_for, ["ask".into(), "save".into()]);
    assert!(steps[3].results_of.is_empty());
    let [fetch, write] = steps[0].calls.as_slice() else { panic!("{:?}", steps[0].calls) };
    assert_eq!((fetch.tool.as_str(), fetch.timeout), ("fetch", Duration::from_secs(2)));
    assert_eq!((write.group.as_str(), write.changes_world), ("disk", true));
}

#[test]
fn the_longest_counts_attempts_waits_fallbacks_and_elements() {
    let Explanation { steps, longest, .. } = explained(REPORT);
    // Three rounds of two calls, each of two attempts of two seconds and a second between them.
    assert_eq!(steps[0].longest, Duration::from_secs(3 * 2 * 5));
    assert_eq!(steps[2].longest, Duration::from_secs(15));
    assert_eq!(longest, Duration::from_secs(30 + 600 + 15));
}

#[test]
fn a_plan_takes_no_longer_than_it_may() {
    let text = REPORT.replace("timeout: 1h", "timeout: 1s");
    let waits = explained(&text).longest;
    assert_eq!(waits, Duration::from_secs(1 + 600), "its time does not go on while it waits");
    let text = REPORT.replace("timeout: 1h", "timeout: 1m");
    let text = text.replace("approval: {prompt: \"Write?\", wait: 10m}", "value: 1");
    let text = text.replace("max_items: 25", "max_items: 100");
    assert_eq!(explained(&text).longest, Duration::from_secs(60));
}

#[test]
fn fewer_tools_at_a_time_take_longer() {
    let steps = "steps:
  - {id: a, tool: fetch, arguments: {path: x}, retry: {attempts: 1}}
  - {id: b, tool: fetch, arguments: {path: x}, retry: {attempts: 1}}
  - {id: c, tool: fetch, arguments: {path: x}, retry: {attempts: 1}}
  - {id: d, needs: a, tool: fetch, arguments: {path: x}, retry: {attempts: 1}}
";
    let longest = |bound: &str| explained(&format!("name: a\n{bound}\n{steps}")).longest.as_secs();
    assert_eq!(longest(""), 8);
    assert_eq!(longest("max_parallel: 1"), 16);
    assert_eq!(longest("max_parallel: 2"), 12);
}

#[test]
fn an_explanation_is_text_for_people() {
    let text = explained(REPORT).to_string();
    let expected = "\
report: 4 steps on 4 levels
Fetches and writes.
takes at the longest 10m 45s
is broken off after 1h
calls at most 10000 tools at a time, the node's bound
needs the permissions files.write, web

level 1
  pages: calls fetch
    at most 25 times, 10 at a time
    fetch: group fetch (10000 at a time), 2s an attempt, needs the permission web
    write: group disk (10000 at a time), 2s an attempt, needs the permission files.write, changes the world
    at most 2 attempts; at the longest 30s
    on failure: write is tried instead

level 2
  ask: waits up to 10m for a person to approve: Write?
    waits for pages
    only if len(steps.pages.result) > 3
    on failure: the query fails and nothing more is started
    on false: goes on at end; what stands between is skipped

level 3
  save: calls write
    waits for ask
    write: group disk (10000 at a time), 15s an attempt, needs the permission files.write, changes the world
    at most 1 attempts; at the longest 15s
    on failure: goes on at end, and the query has failed

level 4
  end: gives a value
    waits for ask, save
    on failure: the query fails and nothing more is started
";
    assert_eq!(text, expected);
}

#[test]
fn an_explanation_is_data_with_durations_in_seconds() {
    let data = serde_json::to_value(explained(REPORT)).unwrap();
    assert_eq!(data["longest_seconds"], json!(645.0));
    assert_eq!(data["timeout_seconds"], json!(3600.0));
    assert_eq!(data["levels"][0], json!(["pages"]));
    assert_eq!(data["steps"][0]["calls"][0]["timeout_seconds"], json!(2.0));
}

#[test]
fn the_bounds_of_the_node_are_those_that_are_told() {
    let groups = [("fetch".to_owned(), bears(2))].into();
    let bounds = NodeBounds { timeout: Duration::from_secs(20), max_parallel: 3, groups };
    let text = "name: a
timeout: 1h
max_parallel: 50
steps:
  - {id: a, each: [1, 2, 3, 4, 5, 6], max_parallel: 6, tool: fetch, arguments: {path: x}, timeout: 1m, retry: {attempts: 1}}
";
    let told = within(text, &bounds);
    assert_eq!((told.timeout, told.timeout_of_node), (bounds.timeout, true));
    assert_eq!((told.max_parallel, told.max_parallel_of_node), (3, true));
    let step = &told.steps[0];
    assert_eq!((step.max_parallel, step.calls[0].group_concurrency), (3, 2));
    assert_eq!(step.calls[0].shortened_from, Some(Duration::from_secs(60)));
    let shown = told.to_string();
    for line in [
        "is broken off after 20s, the node's bound",
        "calls at most 3 tools at a time, the node's bound",
        "fetch: group fetch (2 at a time), 4s an attempt (the tool's bound: the step asks for 1m)",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let own = "name: a\ntimeout: 5s\nmax_parallel: 2\nsteps: [{id: a, value: 1}]\n";
    let own = within(own, &bounds);
    assert_eq!((own.timeout, own.timeout_of_node), (Duration::from_secs(5), false));
    assert_eq!((own.max_parallel, own.max_parallel_of_node), (2, false));
}

#[test]
fn a_group_that_bears_few_calls_takes_longer() {
    let steps = (0..4).map(|at| {
        format!("  - {{id: s{at}, tool: fetch, arguments: {{path: x}}, retry: {{attempts: 1}}}}\n")
    });
    let text = format!("name: a\nsteps:\n{}", steps.collect::<String>());
    let longest = |concurrency| {
        let groups = [("fetch".to_owned(), bears(concurrency))].into();
        within(&text, &NodeBounds { groups, ..wide() }).longest.as_secs()
    };
    assert_eq!((longest(1), longest(2)), (16, 10));
}
