//! An incident over time: evidence before action, coming back, and ending with its container.

use std::fs;

use serde_json::Value;

use super::world::{World, end, mortal, steps, time};
use crate::support::engine::ContainerSpec;

const SECRETS: [&str; 4] =
    ["hunter2-of-the-log", "c2VjcmV0LXRva2Vu", "s3cr3t-of-the-url", "k3y-of-the-environment"];

/// Says all secrets but the environment's, then 120 lines, then crashes when told.
const TALKATIVE: &str = "
    echo password=hunter2-of-the-log
    echo 'Authorization: Bearer c2VjcmV0LXRva2Vu'
    echo connecting to postgres://app:s3cr3t-of-the-url@db/shop
    i=0; while [ $i -lt 96 ]; do i=$((i + 1)); echo line $i; done
    mkfifo /tmp/end; read code </tmp/end; echo the last words; exit $code";

#[tokio::test]
async fn evidence_is_taken_before_anything_is_done_and_no_secret_is_kept() {
    let world = World::start().await;
    let spec = ContainerSpec::new("talkative", TALKATIVE).memory_mib(16).mode("auto");
    let spec = spec.option("--env=API_KEY=k3y-of-the-environment");
    let talkative = world.engine.run(spec);
    end(&talkative, 9);
    let incident = world.incident_that_is(&talkative, "resolved").await;

    let evidence = steps(&incident, "evidence")[0];
    let intended = steps(&incident, "action_intended")[0];
    assert!(evidence["n"].as_u64() < intended["n"].as_u64(), "{incident}");
    assert!(time(&evidence["taken_at"]) <= time(&intended["at"]));
    // A run that is over can no longer be measured, and that is all that is missing.
    let missing = evidence["missing"].as_array().expect("a list");
    let of_memory = |gap: &Value| gap.as_str().is_some_and(|gap| gap.starts_with("memory peak"));
    assert!(missing.iter().all(of_memory), "{missing:?}");
    let log = evidence["log"].as_array().expect("lines");
    assert_eq!(log.len(), 100);
    assert_eq!(log[99], "the last words");
    assert_eq!(log[0], "password=[redacted]");
    let inspect = &evidence["inspect"];
    assert_eq!((&inspect["exit_code"], &inspect["oom_killed"]), (&"9".into(), &"false".into()));
    assert_eq!(inspect["memory_limit_bytes"], (16 << 20).to_string());
    assert!(inspect["env_names"].as_str().is_some_and(|names| names.contains("API_KEY")));

    let shown = incident.to_string();
    let kept = stored(&world);
    assert!(contains(&kept, b"the last words"), "what is stored can be searched like this");
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{secret} is shown: {shown}");
        assert!(!world.node.log().contains(secret), "{secret} is in the node's log");
        assert!(!contains(&kept, secret.as_bytes()), "{secret} is on the disk");
    }
}

/// The bytes of every file the node keeps.
fn stored(world: &World) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut folders = vec![world.node.data_dir()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the data directory can be read") {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                bytes.extend(fs::read(path).unwrap_or_default());
            }
        }
    }
    bytes
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[tokio::test]
async fn an_incident_that_comes_back_is_the_same_one_reopened() {
    let world = World::with(&[("RESPONDER__COOLDOWN", "0s")]).await;
    let service = world.engine.run(mortal("service").mode("auto"));
    end(&service, 3);
    let first = world.incident_that_is(&service, "resolved").await;
    assert_eq!(first["reopened"], 0);
    end(&service, 3);
    let again = |incident: &Value| incident["reopened"] == 1 && incident["status"] == "resolved";
    let second = world.incident(&service, "resolved a second time", again).await;
    assert_eq!(second["id"], first["id"]);
    assert_eq!(second["opened_at"], first["opened_at"]);
    assert!(time(&second["episode_at"]) > time(&first["closed_at"]));
    assert_eq!(steps(&second, "reopened").len(), 1);
    assert_eq!(world.incidents(&service).await.len(), 1);
    assert_eq!(world.actions(&service, "finished").await.len(), 2);
}

#[tokio::test]
async fn the_incident_of_a_container_removed_while_the_node_was_down_is_withdrawn() {
    let mut world = World::start().await;
    let doomed = world.engine.run(ContainerSpec::new("doomed", "exit 1").mode("observe"));
    let kept = world.engine.run(ContainerSpec::new("kept", "exit 1").mode("observe"));
    let diagnosed = |incident: &Value| incident["diagnosis"].is_object();
    world.incident(&doomed, "diagnosed", diagnosed).await;
    world.incident(&kept, "diagnosed", diagnosed).await;
    world.node.kill9();
    doomed.remove();
    world.node.restart().await;
    let incident = world.incident_that_is(&doomed, "withdrawn").await;
    let reason = steps(&incident, "withdrawn")[0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("removed"), "{reason}");
    let list = world.node.get_json("/v1/containers").await;
    let rows = list["items"].as_array().expect("items");
    assert!(rows.iter().all(|row| row["id"] != doomed.id()), "{list}");
    assert!(world.incident(&kept, "still open", |_| true).await["closed_at"].is_null());
}
