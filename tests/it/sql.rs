//! SQL over files asked of a real node over HTTP, by those who hold keys of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::node::{Node, sent};
use crate::support::wait::eventually;

const TOKEN: &str = "0123456789abcdef";

/// The engine starts and works slowly without optimisation, beside other tests.
const PATIENCE: Duration = Duration::from_secs(150);
const TIMES: &str = "[query]\ntimeout = \"150s\"\n[query.sql]\ntimeout = \"120s\"\n";

/// Players see rows of their own and no pay, coaches everything, nobody else anything.
const TABLES: &str = r#"
[[query.sql.tables]]
name = "players"
path = "players.csv"
access = [
  { roles = ["coach"] },
  { roles = ["player"], hidden = ["pay"], rows = "player = identity.name" },
]
[[query.sql.tables]]
name = "games"
path = "games.csv"
access = [{ roles = ["*"] }]
"#;

/// The same without a condition on rows.
const GAMES: &str = r#"
[[query.sql.tables]]
name = "games"
path = "games.csv"
access = [{ roles = ["*"] }]
"#;

struct World {
    node: Node,
    files: TempDir,
}

/// The program beside the node's own, where a build of the whole workspace puts it.
fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_perennial")).with_file_name("perennial-sql");
    assert!(program.is_file(), "{} is not there: run `tests/run`", program.display());
    program
}

impl World {
    async fn start(tables: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let place = |(key, path): (&str, &Path)| format!("{key} = {:?}\n", path.display());
        let places = [("directory", files.path()), ("program", &program())].map(place).concat();
        let docker = "[docker]\nhost = \"unix:///nowhere/docker.sock\"\n";
        let builder = Node::builder().toml(&format!("{docker}{TIMES}{places}{tables}"));
        let node = builder.env("PERENNIAL__HTTP__TOKEN", TOKEN).start_listening().await;
        let world = Self { node, files };
        world.write("players.csv", "player,goals,pay\nann,10,111111\nbob,20,222222\n");
        world.write("games.csv", "day,goals\n2024-10-05,3\n");
        world
    }

    /// Writes a file as another one of the same name.
    fn write(&self, name: &str, text: &str) {
        let new = self.files.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.files.path().join(name)).unwrap();
    }

    async fn key(&self, name: &str, role: &str, teams: &[&str]) -> String {
        let wanted = json!({"name": name, "role": role, "teams": teams});
        let request = self.node.http().post(self.node.url("/v1/keys")).json(&wanted);
        let (status, given) = sent(request.bearer_auth(TOKEN)).await;
        assert_eq!(status, 201, "{given}");
        given["key"].as_str().expect("a key").to_owned()
    }

    /// Asks in SQL for what may be given again, and waits for what comes of it.
    async fn ask(&self, bearer: &str, sql: &str) -> Value {
        let plan = json!({
            "name": "look",
            "steps": [{"id": "a", "tool": "sql", "arguments": {"query": sql}}],
            "outputs": {"rows": "{{ steps.a.result.rows }}"},
        });
        let begun = self.node.http().post(self.node.url("/v1/queries")).bearer_auth(bearer);
        let (_, begun) = sent(begun.json(&json!({"plan": plan, "cache": true}))).await;
        let path = format!("/v1/queries/{}", begun["id"].as_str().expect("an id"));
        eventually("the query to end", PATIENCE, async || {
            let request = self.node.http().get(self.node.url(&path)).bearer_auth(bearer);
            let (status, query) = sent(request).await;
            assert_eq!(status, 200, "{query}");
            if query["status"] == "finished" { Ok(query) } else { Err(query) }
        })
        .await
    }
}

#[tokio::test]
async fn two_of_one_role_are_given_rows_of_their_own_and_each_the_same_again() {
    let world = World::start(TABLES).await;
    let mut keys = Vec::new();
    for name in ["ann", "bob"] {
        keys.push((name, world.key(name, "player", &["reds"]).await));
    }
    let sql = "SELECT * FROM players";
    let mut first = Vec::new();
    for (name, key) in &keys {
        let query = world.ask(key, sql).await;
        let goals = if *name == "ann" { 10 } else { 20 };
        assert_eq!(query["outputs"]["rows"], json!([[name, goals]]), "{query}");
        first.push(query["id"].clone());
    }
    assert_ne!(first[0], first[1]);
    for (at, (_, key)) in keys.iter().enumerate() {
        assert_eq!(world.ask(key, sql).await["id"], first[at], "given again");
    }
    // Whoever may see all is given all, and what none of them may see stays unknown to them.
    let coach = world.key("kim", "coach", &["reds"]).await;
    let all = world.ask(&coach, "SELECT sum(pay) FROM players").await;
    assert_eq!(all["outputs"]["rows"], json!([[333_333]]), "{all}");
    let none = world.ask(&keys[0].1, "SELECT sum(pay) FROM players").await;
    assert_eq!(none["outcome"], "failed", "{none}");
    assert!(!none.to_string().contains("333333"), "{none}");
}

#[tokio::test]
async fn a_result_is_given_again_to_the_same_role_and_teams_until_a_file_changes() {
    let world = World::start(GAMES).await;
    let ann = world.key("ann", "player", &["blues", "reds"]).await;
    let bob = world.key("bob", "player", &["reds", "blues"]).await;
    let kim = world.key("kim", "coach", &["blues", "reds"]).await;
    let sql = "SELECT sum(goals) FROM games";
    let first = world.ask(&ann, sql).await;
    assert_eq!(first["outputs"]["rows"], json!([[3]]), "{first}");
    assert_eq!(world.ask(&bob, sql).await["id"], first["id"], "done once");
    let other = world.ask(&kim, sql).await;
    assert_ne!(other["id"], first["id"], "another role");
    assert_eq!(other["outputs"]["rows"], json!([[3]]), "{other}");
    world.write("games.csv", "day,goals\n2024-10-05,4\n");
    let again = world.ask(&ann, sql).await;
    assert_ne!(again["id"], first["id"], "the data are others");
    assert_eq!(again["outputs"]["rows"], json!([[4]]), "{again}");
}
