//! Bounds that hold: how much is done at a time, how long it may take, how much may wait.

use serde_json::{Value, json};

use super::{World, gone, own_seconds, runs, step, text};

/// The most commands that were under way at a time, as they wrote it down themselves.
fn peak(marks: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in marks.lines() {
        match line {
            "start" => now += 1,
            "stop" => now -= 1,
            _ => {}
        }
        most = most.max(now);
    }
    most
}

#[tokio::test]
async fn d2_sixty_steps_that_could_be_done_at_once_keep_to_the_limit() {
    let world = World::with("max_parallel_tools = 6").await;
    let steps =
        (0..60).map(|at| format!("  - {{id: s{at}, tool: shell, arguments: {{command: mark}}}}\n"));
    let ran = world.run(&format!("name: sixty\nsteps:\n{}", steps.collect::<String>()), &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let document = ran.json();
    assert_eq!(document["parallel_peak"], 6, "{document}");
    let marks = world.read("marks");
    assert_eq!(marks.lines().count(), 120);
    assert!((2..=6).contains(&peak(&marks)), "{} at a time", peak(&marks));
}

#[tokio::test]
async fn d2_a_plan_may_ask_for_less_at_a_time_than_the_node_allows_and_not_for_more() {
    let world = World::with("max_parallel_tools = 3").await;
    for (asked, most) in [(2, 2), (50, 3)] {
        let steps = (0..8)
            .map(|at| format!("  - {{id: s{at}, tool: shell, arguments: {{command: mark}}}}\n"));
        let steps: String = steps.collect();
        let ran = world.run(&format!("name: few\nmax_parallel: {asked}\nsteps:\n{steps}"), &[]);
        assert_eq!((ran.code, &ran.json()["parallel_peak"]), (0, &json!(most)), "{ran:?}");
    }
}

#[tokio::test]
async fn d3_elements_keep_to_their_own_limit_and_what_needs_them_comes_last() {
    let world = World::with("max_parallel_tools = 6").await;
    let ran = world.run(
        r#"
name: six
steps:
  - {id: work, each: [1, 2, 3, 4, 5, 6], max_parallel: 2, tool: shell, arguments: {command: mark}}
  - {id: done, needs: work, tool: file_write, arguments: {path: marks, mode: append, content: "done\n"}}
"#,
        &[],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let document = ran.json();
    assert_eq!(document["parallel_peak"], 2, "{document}");
    let instances = step(&document, "work")["instances"].as_array().expect("a list").clone();
    assert_eq!(instances.len(), 6);
    let marks = world.read("marks");
    assert_eq!(marks.lines().last(), Some("done"));
    assert!(peak(&marks) <= 2, "{marks}");
    assert_eq!(marks.lines().filter(|line| *line == "stop").count(), 6);
}

#[tokio::test]
async fn d5_a_command_whose_time_is_over_is_killed_with_its_children_and_tried_again_later() {
    let world = World::start().await;
    let seconds = own_seconds(60, 50);
    let id = world
        .submit(&format!(
            r#"
name: family
steps:
  - id: family
    tool: shell
    arguments: {{command: family, arguments: {{seconds: "{seconds}"}}}}
    timeout: 1s
    retry: {{attempts: 2, base: 300ms}}
"#
        ))
        .await;
    runs(&seconds).await;
    let ended = world.ended(&id).await;
    gone(&seconds).await;
    assert_eq!(ended["outcome"], "failed", "{ended}");
    assert_eq!(step(&ended, "family")["timed_out"], true, "{ended}");
    // Twice a minute if its time were not kept.
    let took = ended["duration_seconds"].as_f64().expect("it has ended");
    assert!(took < 40.0, "it took {took} s");

    let events = world.events(&id).await;
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    let (started, failed) = (of("step_started"), of("attempt_failed"));
    assert_eq!((started.len(), failed.len()), (2, 1), "{events:?}");
    assert_eq!(failed[0]["error"]["kind"], "timeout");
    assert!(moment(&failed[0]["at"]) < moment(&failed[0]["again_at"]), "{events:?}");
    assert!(moment(&failed[0]["again_at"]) <= moment(&started[1]["at"]), "{events:?}");
}

/// A time as text that is in the order of times.
fn moment(time: &Value) -> &str {
    // Zeros at the end of a fraction are left out, so what stands behind it must be too.
    text(time).trim_end_matches('Z')
}

#[tokio::test]
async fn a_query_whose_time_is_over_has_failed_and_its_command_is_killed() {
    let world = World::start().await;
    let seconds = own_seconds(60, 51);
    let nap = format!("{{command: nap, arguments: {{seconds: \"{seconds}\"}}}}");
    let id = world
        .submit(&format!(
            "name: late\ntimeout: 1s\nsteps:\n  - {{id: a, tool: shell, arguments: {nap}}}\n"
        ))
        .await;
    let ended = world.ended(&id).await;
    assert_eq!(ended["outcome"], "failed", "{ended}");
    gone(&seconds).await;
}

#[tokio::test]
async fn when_the_queue_is_full_more_are_turned_away_until_there_is_room() {
    let world = World::with("max_concurrent = 1\nqueue = 1").await;
    let seconds = own_seconds(60, 52);
    let nap = format!("{{command: nap, arguments: {{seconds: \"{seconds}\"}}}}");
    let plan = format!("name: nap\nsteps:\n  - {{id: a, tool: shell, arguments: {nap}}}\n");
    let first = world.submit(&plan).await;
    let second = world.submit(&plan).await;
    assert_eq!(world.document(&second).await["status"], "waiting");

    let third = || {
        let request = world.node.http().post(world.node.url("/v1/queries"));
        request
            .header("idempotency-key", "third")
            .json(&json!({"yaml": "name: t\nsteps:\n  - {id: a, value: 1}\n"}))
    };
    let refused = third().send().await.expect("the node answers");
    assert_eq!(refused.status(), 429);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    let problem: Value = refused.json().await.expect("a problem document is JSON");
    assert_eq!(problem["type"], "urn:perennial:problem:busy");
    let figures = world.node.get("/metrics").await.1;
    assert!(figures.contains("perennial_queries_refused_total 1"), "{figures}");

    for id in [&first, &second] {
        let (status, body) = world.order(id, "cancel", json!({})).await;
        assert_eq!(status, 204, "{body}");
    }
    let taken = third().send().await.expect("the node answers");
    assert_eq!(taken.status(), 202, "who was turned away under a name can come again under it");
    let taken: Value = taken.json().await.expect("an answer is JSON");
    assert_eq!(world.ended(text(&taken["id"])).await["outcome"], "succeeded");
    gone(&seconds).await;
}
