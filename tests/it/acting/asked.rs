//! Actions that a person asks for: `POST /v1/actions`.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    EngineLog, LONG, Scene, audited, curable, ended, healthy, held, ill, incident_is, known,
    known_healthy, node, order, stages, text,
};
use crate::support::answers::restart_once;
use crate::support::engine::{Container, ContainerSpec, Engine};
use crate::support::node::{Node, perennial};

const EXEC: &str = "[responder.exec]\nenabled = true\nallow = [[\"env\"], [\"touch\", \"/tmp/a\"]]";

async fn run(node: &Node, container: &Container, argv: &[&str]) -> Vec<Value> {
    ended(node, &order(node, container, "exec", Some(argv)).await).await
}

fn files(container: &Container) -> String {
    container.exec("ls /tmp")
}

/// X15.
#[tokio::test]
async fn a_command_runs_only_when_its_whole_argument_vector_is_on_the_allow_list() {
    let engine = Engine::connect();
    let container = engine.run(ContainerSpec::idle("web"));
    let node = node(&engine, &[("cooldown", "\"0s\"")]).toml(EXEC).start().await;
    known(&node, &container, |row| row["state"] == "running").await;

    let refusals: [&[&str]; 4] = [
        &["env", "sh", "-c", "touch /tmp/pwned"],
        &["touch", "/tmp/a", "/tmp/pwned"],
        &["/bin/touch", "/tmp/a"],
        &["touch /tmp/a"],
    ];
    for argv in refusals {
        let audit = run(&node, &container, argv).await;
        assert_eq!(stages(&audit), ["refused"], "{argv:?}");
        assert_eq!(held(&audit[0])["gate"], "allow_list", "{argv:?}");
        assert_eq!(audit[0]["arguments"], json!(argv), "the audit has the command as asked for");
    }
    assert_eq!(files(&container), "");

    let audit = run(&node, &container, &["touch", "/tmp/a"]).await;
    assert_eq!(stages(&audit), ["intended", "finished", "resolved"]);
    assert_eq!(audit[1]["outcome"], "done");
    assert_eq!(files(&container), "a");
}

/// X15: the default.
#[tokio::test]
async fn running_commands_is_off_unless_it_is_switched_on() {
    let engine = Engine::connect();
    let container = engine.run(ContainerSpec::idle("web"));
    let node = node(&engine, &[]).start().await;
    known(&node, &container, |row| row["state"] == "running").await;
    let audit = run(&node, &container, &["touch", "/tmp/a"]).await;
    assert_eq!(stages(&audit), ["refused"]);
    assert!(text(&held(&audit[0])["reason"]).contains("running commands is off"), "{audit:?}");
    assert_eq!(files(&container), "");
}

/// X5: the same order twice.
#[tokio::test]
async fn the_same_order_given_twice_is_carried_out_once() {
    let Scene { node, container, log, .. } =
        &healthy(curable("web"), &[("cooldown", "\"0s\"")]).await;
    let give = async |name: &str| {
        let answer = restart_once(node, container, name).send().await.expect("an answer");
        assert_eq!(answer.status(), 202);
        let answer: Value = answer.json().await.expect("JSON");
        text(&answer["incident"]).to_owned()
    };
    let (first, beside) = tokio::join!(give("deploy-7"), give("deploy-7"));
    assert_eq!(first, beside);
    assert_eq!(stages(&ended(node, &first).await), ["intended", "finished", "resolved"]);
    assert_eq!(give("deploy-7").await, first, "also when it is over");
    let another = give("deploy-8").await;
    assert_ne!(another, first);
    ended(node, &another).await;
    log.restarts(container, 2).await;
}

#[tokio::test]
async fn the_command_act_orders_an_action_and_names_its_incident() {
    let engine = Engine::connect();
    let container = engine.run(ContainerSpec::idle("web"));
    let node = node(&engine, &[("cooldown", "\"0s\"")]).toml(EXEC).start().await;
    known(&node, &container, |row| row["state"] == "running").await;
    let act = |arguments: &[&str]| {
        let url = node.url("");
        let asked = ["act", "--node", &url, "--reason", "a test", "--json"];
        let output = perennial(Path::new("/"), &[&asked, arguments].concat());
        assert!(output.status.success(), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        text(&answer["incident"]).to_owned()
    };
    let command = ["exec", container.name(), "--once", "a", "--", "touch", "/tmp/a"];
    let first = act(&command);
    assert_eq!(stages(&ended(&node, &first).await), ["intended", "finished", "resolved"]);
    assert_eq!(files(&container), "a");
    assert_eq!(act(&command), first, "the same order");
    ended(&node, &act(&["stop", container.name()])).await;
    assert_eq!(container.status(), "exited");
}

/// X6, as far as one node goes.
#[tokio::test]
async fn two_orders_and_a_fault_of_one_container_at_the_same_time_are_one_restart() {
    let Scene { node, container, log, .. } = &ill(curable("web"), &[("cooldown", "\"1h\"")]).await;
    let (one, two) = tokio::join!(
        order(node, container, "restart", None),
        order(node, container, "restart", None)
    );
    let audits = [ended(node, &one).await, ended(node, &two).await];
    // The fault's own request is decided on in any case, or its incident ended with its symptom.
    let audit = audited(node, container, "resolved", 1).await;
    let intents = stages(&audit).iter().filter(|stage| **stage == "intended").count();
    assert_eq!(intents, 1, "{audit:?}");
    let refused = audits.iter().filter(|audit| stages(audit) == ["refused"]);
    for audit in refused.clone() {
        let gate = text(&held(&audit[0])["gate"]);
        assert!(["one_at_a_time", "cooldown", "identity"].contains(&gate), "{gate}");
    }
    assert!(refused.count() >= 1, "{audits:?}");
    known_healthy(node, container).await;
    log.restarts(container, 1).await;
}

#[tokio::test]
async fn a_container_is_stopped_and_started_as_ordered() {
    let engine = Engine::connect();
    let container = engine.run(ContainerSpec::idle("web"));
    let node = node(&engine, &[("cooldown", "\"0s\"")]).start().await;
    known(&node, &container, |row| row["state"] == "running").await;
    let audit = ended(&node, &order(&node, &container, "stop", None).await).await;
    assert_eq!(stages(&audit), ["intended", "finished", "resolved"]);
    assert_eq!(container.status(), "exited");
    let ended_by_itself = engine.run(ContainerSpec::new("job", "exit 0").mode("auto"));
    known(&node, &ended_by_itself, |row| row["state"] == "exited").await;
    let log = EngineLog::of(&engine, &ended_by_itself);
    log.reaches("start", 1).await;
    order(&node, &ended_by_itself, "start", None).await;
    log.reaches("start", 2).await;
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused_with_what_was_expected() {
    let engine = Engine::connect();
    let container = engine.run(ContainerSpec::idle("web"));
    let node = node(&engine, &[]).start().await;
    known(&node, &container, |row| row["state"] == "running").await;
    let name = container.name();
    let cases = [
        (json!({ "container": "nobody", "action": "restart", "reason": "r" }), 404, "nobody"),
        (json!({ "container": name, "action": "explode", "reason": "r" }), 400, "explode"),
        (json!({ "container": name, "action": "restart", "reason": "" }), 400, "reason"),
        (json!({ "container": name, "action": "exec", "reason": "r" }), 400, "argv"),
        (json!({ "container": name, "action": "stop", "reason": "r", "argv": ["a"] }), 400, "argv"),
        (
            json!({ "container": name, "action": "stop", "reason": "r", "force": true }),
            400,
            "force",
        ),
    ];
    for (body, status, part) in cases {
        let (answered, problem) = node.post("/v1/actions", &body).await;
        assert_eq!(answered, status, "{body}: {problem}");
        assert!(problem.contains(part), "{problem}");
    }
    let actions = node.get_json("/v1/actions").await;
    assert_eq!(actions["items"], json!([]));
}

#[tokio::test]
async fn an_order_without_the_nodes_token_is_not_taken() {
    let engine = Engine::connect();
    let container = engine.run(ContainerSpec::idle("web"));
    let token = "0123456789abcdef";
    let node = node(&engine, &[]).env("PERENNIAL__HTTP__TOKEN", token).start().await;
    let body = json!({ "container": container.id(), "action": "stop", "reason": "a test" });
    let (status, problem) = node.post("/v1/actions", &body).await;
    assert_eq!(status, 401, "{problem}");
    let audit = node.http().get(node.url("/v1/actions")).bearer_auth(token).send().await;
    let audit: Value = audit.expect("an answer").json().await.expect("JSON");
    assert_eq!(audit["items"], json!([]));
    assert_eq!(container.status(), "running");
}

/// D3, made right.
#[tokio::test]
async fn cleanup_removes_exited_containers_of_the_same_service_only_and_never_volumes_nor_evidence()
{
    let engine = Engine::connect();
    let prefix = engine.names().replace('*', "");
    let (project, other) = (format!("{prefix}shop"), format!("{prefix}blog"));
    let run = |name: &str, script: &str, project: &str, service: &str| {
        let spec = ContainerSpec::new(name, script).label("com.docker.compose.project", project);
        let spec = spec.label("com.docker.compose.service", service).option("--volume=/data");
        engine.run(spec)
    };
    let target = run("target", "exit 0", &project, "web");
    let old = run("old", "echo kept > /data/file; exit 0", &project, "web");
    let running = run("running", "sleep 3600", &project, "web");
    let evidence = run("evidence", "exit 3", &project, "web");
    let other_service = run("worker", "exit 0", &project, "worker");
    let other_project = run("blog", "exit 0", &other, "web");
    let volume = text(&old.inspect()["Mounts"][0]["Name"]).to_owned();
    let node = node(&engine, &[]).start().await;
    for container in [&target, &old, &evidence, &other_service, &other_project] {
        container.wait_for("exited", LONG, |state| state["Status"] == "exited").await;
        known(&node, container, |row| row["state"] == "exited").await;
    }
    incident_is(&node, &evidence, "open").await;

    let audit = ended(&node, &order(&node, &target, "cleanup", None).await).await;
    assert_eq!(stages(&audit), ["intended", "finished", "resolved"]);
    let said = text(&audit[1]["outcome_detail"]);
    assert!(said.contains(&format!("removed: {}", old.name())), "{said}");
    let left = engine.docker(&["ps", "--all", "--quiet", "--no-trunc"]);
    assert!(!left.contains(old.id()), "{said}");
    for kept in [&target, &running, &evidence, &other_service, &other_project] {
        assert!(left.contains(kept.id()), "{} was removed: {said}", kept.name());
    }
    assert!(engine.docker(&["volume", "ls", "--quiet"]).contains(&volume), "{said}");
    engine.docker(&["volume", "rm", &volume]);
}
