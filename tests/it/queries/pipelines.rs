//! The cases that pipelines are accepted by: files and commands by `perennial query run`, and its exit codes.

use serde_json::{Value, json};

use super::{World, own_seconds, statuses, step, text};

#[tokio::test]
async fn a1_a_greeting_is_written_read_back_and_put_out() {
    let world = World::start().await;
    let ran = world.run(
        r#"
name: greeting
inputs: {greeting: hello}
steps:
  - id: write
    tool: file_write
    arguments: {path: greeting.txt, content: "{{ inputs.greeting }}, world"}
  - id: read
    needs: write
    tool: file_read
    arguments: {path: greeting.txt}
outputs: {greeting_text: "{{ steps.read.result.content }}"}
"#,
        &[],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let document = ran.json();
    assert_eq!(world.read("greeting.txt"), "hello, world");
    assert_eq!(document["outputs"], json!({"greeting_text": "hello, world"}));
    assert_eq!(document["levels"], json!([["write"], ["read"]]));
    assert_eq!((&document["outcome"], &document["success"]), (&json!("succeeded"), &json!(true)));
}

#[tokio::test]
async fn a2_two_independent_ways_are_joined() {
    let world = World::start().await;
    let ran = world.run(
        r#"
name: join
steps:
  - {id: alpha, tool: file_write, arguments: {path: alpha.txt, content: alpha-value}}
  - {id: beta, tool: file_write, arguments: {path: beta.txt, content: beta-value}}
  - {id: read_alpha, needs: alpha, tool: file_read, arguments: {path: alpha.txt}}
  - {id: read_beta, needs: beta, tool: file_read, arguments: {path: beta.txt}}
  - id: join
    tool: file_write
    arguments: {path: joined.txt, content: "{{ steps.read_alpha.result.content }}+{{ steps.read_beta.result.content }}"}
"#,
        &[],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(world.read("joined.txt"), "alpha-value+beta-value");
    let levels = json!([["alpha", "beta"], ["read_alpha", "read_beta"], ["join"]]);
    assert_eq!(ran.json()["levels"], levels);
}

const BRANCHES: &str = r#"
name: branches
inputs: {text: this text is long enough}
steps:
  - {id: save, tool: file_write, arguments: {path: content.txt, content: "{{ inputs.text }}"}}
  - {id: load, needs: save, tool: file_read, arguments: {path: content.txt}}
  - {id: check_size, if: len(steps.load.result.content) > 10, value: true, on_false: handle_short}
  - {id: handle_long, tool: file_write, arguments: {path: long.txt, content: long}, on_success: summarise}
  - {id: handle_short, tool: file_write, arguments: {path: short.txt, content: short}}
  - id: summarise
    tool: file_write
    arguments: {path: branch.txt, content: "{{ 'long' if steps.handle_long.success else 'short' }}"}
"#;

#[tokio::test]
async fn a3_a_condition_decides_which_way_is_gone_and_the_other_is_skipped() {
    let world = World::start().await;
    let ran = world.run(BRANCHES, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let done = "succeeded";
    assert_eq!(statuses(&ran.json()), [done, done, done, done, "skipped", done]);
    assert_eq!((&*world.read("long.txt"), &*world.read("branch.txt")), ("long", "long"));
    assert!(!world.path("short.txt").exists());

    let world = World::start().await;
    let ran = world.run(BRANCHES, &["text=hi"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(statuses(&ran.json()), [done, done, "skipped", "skipped", done, done]);
    assert_eq!((&*world.read("short.txt"), &*world.read("branch.txt")), ("short", "short"));
    assert!(!world.path("long.txt").exists());
}

#[tokio::test]
async fn a4_after_a_failed_read_the_others_go_on_and_the_query_has_failed() {
    let world = World::start().await;
    let ran = world.run(
        r#"
name: going_on
steps:
  - {id: read, tool: file_read, arguments: {path: nowhere.txt}, on_failure: continue}
  - {id: later, needs: read, tool: file_write, arguments: {path: later.txt, content: written}}
"#,
        &[],
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    let document = ran.json();
    assert_eq!((&document["outcome"], &document["success"]), (&json!("failed"), &json!(false)));
    let read = step(&document, "read");
    assert_eq!((&read["status"], &read["success"]), (&json!("failed"), &json!(false)));
    assert_eq!(read["error"]["kind"], "not_found");
    assert!(text(&read["error"]["message"]).contains("nowhere.txt"), "{read}");
    assert_eq!(world.read("later.txt"), "written");
}

#[tokio::test]
async fn a5_a_command_that_takes_too_long_is_tried_again_and_given_up_in_time() {
    let world = World::start().await;
    let seconds = own_seconds(60, 5);
    let ran = world.run(
        &format!(
            r#"
name: slow
steps:
  - id: slow
    tool: shell
    arguments: {{command: nap, arguments: {{seconds: "{seconds}"}}}}
    timeout: 1s
    retry: {{attempts: 2, base: 100ms}}
    on_failure: continue
  - {{id: later, needs: slow, tool: file_write, arguments: {{path: later.txt, content: written}}}}
"#
        ),
        &[],
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    let document = ran.json();
    let slow = step(&document, "slow");
    assert_eq!(slow["error"]["kind"], "timeout", "{slow}");
    assert_eq!((&slow["timed_out"], &slow["retries"]), (&json!(true), &json!(1)), "{slow}");
    assert_eq!(world.read("later.txt"), "written");
    // Twice a minute if its time were not kept, and two seconds if it is.
    let took = document["duration_seconds"].as_f64().expect("a query that has ended took a time");
    assert!(took < 40.0, "it took {took} s");
}

#[tokio::test]
async fn a6_text_is_put_into_other_text_byte_for_byte() {
    let world = World::start().await;
    world.write("header.txt", "# Häder\t \n");
    let ran = world.run(
        r#"
name: report
steps:
  - {id: header, tool: file_read, arguments: {path: header.txt}}
  - {id: report, tool: file_write, arguments: {path: report.txt, content: "{{ steps.header.result.content }}body\n\n"}}
  - {id: copy, tool: file_write, arguments: {path: copy.txt, content: "{{ steps.header.result.content }}"}}
"#,
        &[],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(world.read("report.txt"), "# Häder\t \nbody\n\n");
    assert_eq!(world.read("copy.txt"), "# Häder\t \n");
}

#[tokio::test]
async fn a8_what_cannot_be_done_is_refused_before_anything_is_and_named() {
    let world = World::start().await;
    let cases = [
        ("- {id: aa, needs: bb, value: 1}\n  - {id: bb, needs: aa, value: 1}", &["aa", "bb"][..]),
        ("- {id: aa, tool: file_raed, arguments: {path: x}}", &["aa", "file_raed", "file_read"]),
        ("- {id: aa, value: 1}\n  - {id: bb, needs: nobody, value: 1}", &["bb", "nobody"]),
        ("- {id: aa, value: 1}\n  - {id: aa, value: 2}", &["aa"]),
    ];
    for (steps, named) in cases {
        let write = "{id: first, tool: file_write, arguments: {path: first.txt, content: x}}";
        let pipeline = format!("name: refused\nsteps:\n  - {write}\n  {steps}\n");
        let checked = world.validate(&pipeline);
        let ran = world.run(&pipeline, &[]);
        assert_eq!((checked.code, ran.code), (2, 2), "{pipeline}{checked:?}{ran:?}");
        assert_eq!(checked.json()["valid"], false);
        let findings = checked.json()["findings"].to_string();
        for name in named {
            assert!(findings.contains(name), "{name} is not in {findings}");
            assert!(ran.stderr.contains(name), "{name} is not in {}", ran.stderr);
        }
    }
    assert!(!world.path("first.txt").exists(), "nothing of a plan that is refused is done");
    let listed = world.node.get_json("/v1/queries").await;
    assert_eq!(listed["items"], json!([]), "nothing of it is stored");
}

#[tokio::test]
async fn a9_what_needs_a_failed_step_is_skipped_and_the_rest_is_done() {
    let world = World::start().await;
    let seconds = own_seconds(60, 9);
    let ran = world.run(
        &format!(
            r#"
name: skipping
steps:
  - id: a
    tool: shell
    arguments: {{command: nap, arguments: {{seconds: "{seconds}"}}}}
    timeout: 500ms
    retry: {{attempts: 1}}
    on_failure: skip
  - {{id: b, needs: a, tool: file_write, arguments: {{path: b.txt, content: b}}}}
  - {{id: c, tool: file_write, arguments: {{path: c.txt, content: c}}}}
"#
        ),
        &[],
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(statuses(&ran.json()), ["failed", "skipped", "succeeded"]);
    assert!(!world.path("b.txt").exists());
    assert_eq!(world.read("c.txt"), "c");
}

#[tokio::test]
async fn a10_a_failure_leads_to_the_step_that_looks_after_it() {
    let world = World::start().await;
    let ran = world.run(
        r#"
name: recovering
steps:
  - {id: load, tool: file_read, arguments: {path: nowhere.txt}, on_failure: {route: recover}}
  - {id: main, tool: file_write, arguments: {path: main.txt, content: main}}
  - {id: recover, tool: file_write, arguments: {path: recovered.txt, content: recovered}}
"#,
        &[],
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    let document = ran.json();
    assert_eq!(statuses(&document), ["failed", "skipped", "succeeded"]);
    assert_eq!((&document["outcome"], &document["success"]), (&json!("failed"), &json!(false)));
    assert_eq!(world.read("recovered.txt"), "recovered");
    assert!(!world.path("main.txt").exists());
}

#[tokio::test]
async fn a11_each_element_knows_where_it_stands() {
    let world = World::start().await;
    let ran = world.run(
        r#"
name: elements
inputs: {names: [x, y, z]}
steps:
  - id: write
    each: inputs.names
    tool: file_write
    arguments:
      path: "{{ item }}.txt"
      content: "{{ loop.position }}/{{ loop.length }} {{ loop.first }} {{ loop.last }}"
"#,
        &[],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let written = ["x.txt", "y.txt", "z.txt"].map(|name| world.read(name));
    assert_eq!(written, ["1/3 True False", "2/3 False False", "3/3 False True"]);
    assert_eq!(step(&ran.json(), "write")["instances"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a12_a_loop_has_ended_before_what_needs_it_begins() {
    let world = World::start().await;
    let ran = world.run(
        r#"
name: counting
steps:
  - id: count
    while: loop.index < 3
    tool: file_write
    arguments: {path: "{{ loop.index }}.txt", content: "{{ loop.index }}"}
  - {id: look, needs: count, tool: file_list}
  - {id: done, needs: look, tool: file_write, arguments: {path: done.txt, content: done}}
outputs:
  seen: "{{ steps.look.result.entries | map(attribute='name') | list }}"
"#,
        &[],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["outputs"]["seen"], json!(["0.txt", "1.txt", "2.txt"]));
    assert_eq!(world.read("done.txt"), "done");
    assert_eq!(world.read("2.txt"), "2");
}

const PROJECTS: &str = "\
name,status,value
atlas,active,1500
borealis,completed,2200
cygnus,active,3100
draco,pending,1800
eridanus,active,2700
fornax,cancelled,900
gemini,completed,3500
hydra,active,4200
indus,pending,1600
lyra,active,2900
";

#[tokio::test]
async fn a13_rows_are_filtered_and_grouped_with_their_figures() {
    let world = World::start().await;
    world.write("projects.csv", PROJECTS);
    let ran = world.run(
        r#"
name: projects
steps:
  - {id: load, tool: file_read, arguments: {path: projects.csv}}
  - id: active
    tool: data
    arguments:
      action: filter
      csv: "{{ steps.load.result.content }}"
      where: [{field: status, operator: eq, value: active}]
  - id: groups
    tool: data
    arguments:
      action: aggregate
      csv: "{{ steps.load.result.content }}"
      group_by: [status]
      aggregates:
        - {function: sum, field: value, as: total}
        - {function: count, as: projects}
        - {function: mean, field: value, as: mean}
outputs:
  active: "{{ steps.active.result.rows | map(attribute='value') | list }}"
  groups: "{{ steps.groups.result.rows }}"
"#,
        &[],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let outputs = &ran.json()["outputs"];
    assert_eq!(outputs["active"], json!([1500, 3100, 2700, 4200, 2900]));
    let expected = [
        ("active", 14400.0, 5.0, 2880.0),
        ("completed", 5700.0, 2.0, 2850.0),
        ("pending", 3400.0, 2.0, 1700.0),
        ("cancelled", 900.0, 1.0, 900.0),
    ];
    let groups = outputs["groups"].as_array().expect("a list of groups");
    let of = |group: &Value, name: &str| group[name].as_f64().expect("a figure is a number");
    let figures: Vec<_> = groups
        .iter()
        .map(|group| {
            (text(&group["status"]), of(group, "total"), of(group, "projects"), of(group, "mean"))
        })
        .collect();
    assert_eq!(figures, expected);
}

#[tokio::test]
async fn a14_a_condition_on_a_name_without_a_value_is_an_error_and_not_a_no() {
    let world = World::start().await;
    let pipeline = |condition: &str| {
        format!(
            r#"
name: undefined
steps:
  - {{id: look, tool: file_list}}
  - {{id: write, needs: look, if: "{condition}", tool: file_write, arguments: {{path: written.txt, content: x}}}}
"#
        )
    };
    let refused = world.validate(&pipeline("nothing > 3"));
    assert_eq!(refused.code, 2, "a name that nothing can have is found before: {refused:?}");
    assert!(refused.stdout.contains("nothing"), "{refused:?}");

    let ran = world.run(&pipeline("steps.look.result.nothing > 3"), &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let document = ran.json();
    let write = step(&document, "write");
    assert_eq!((&write["status"], &write["error"]["kind"]), (&json!("failed"), &json!("invalid")));
    let why = text(&write["error"]["message"]);
    assert!(why.contains("condition") && why.contains("steps.look.result.nothing"), "{why}");
    assert!(!world.path("written.txt").exists());
}

#[tokio::test]
async fn a15_by_default_a_failure_ends_the_query_which_is_told_as_a_whole() {
    let world = World::start().await;
    let seconds = own_seconds(60, 15);
    let ran = world.run(
        &format!(
            r#"
name: failing
steps:
  - id: a
    tool: shell
    arguments: {{command: nap, arguments: {{seconds: "{seconds}"}}}}
    timeout: 500ms
    retry: {{attempts: 1}}
  - {{id: b, needs: a, tool: file_write, arguments: {{path: b.txt, content: b}}}}
"#
        ),
        &[],
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    let document = ran.json();
    assert_eq!(statuses(&document), ["failed", "not_run"]);
    assert_eq!((&document["status"], &document["outcome"]), (&json!("finished"), &json!("failed")));
    assert!(text(&document["reason"]).contains("step `a`"), "{document}");
    assert!(!world.path("b.txt").exists());
}

/// The document without what differs between two queries that do the same: the query's id, and times.
fn blanked(document: &Value) -> Value {
    match document {
        Value::Object(fields) => {
            let query = fields.contains_key("steps");
            let own = |name: &str| {
                name.ends_with("_at") || name == "duration_seconds" || query && name == "id"
            };
            let blank = |(name, value): (&String, &Value)| {
                (name.clone(), if own(name) { Value::Null } else { blanked(value) })
            };
            Value::Object(fields.iter().map(blank).collect())
        }
        Value::Array(all) => all.iter().map(blanked).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => document.clone(),
    }
}

#[tokio::test]
async fn a16_the_command_line_and_http_give_the_same_document() {
    let world = World::start().await;
    let by_command = world.run(BRANCHES, &["text=hi"]);
    assert_eq!(by_command.code, 0, "{by_command:?}");
    let body = json!({"yaml": BRANCHES, "inputs": {"text": "hi"}});
    let (status, by_http) = world.node.post("/v1/queries?wait=60", &body).await;
    assert_eq!(status, 200, "{by_http}");
    let by_http: Value = serde_json::from_str(&by_http).expect("an answer is JSON");
    assert_eq!(blanked(&by_command.json()), blanked(&by_http));
    assert_ne!(by_command.json()["id"], by_http["id"], "two queries, not one");
    assert_eq!(step(&blanked(&by_http), "load")["result"]["content"], "hi", "blanked too much");
}
