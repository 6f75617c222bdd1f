use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::*;
use crate::json::Json;
use crate::plan::ErrorKind;
use crate::tool::Identity;

/// Far above what anything here takes, for machines that run many tests at once.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(access: &str) -> Config {
    let text = format!(
        "directory = \"/data\"\n[[tables]]\nname = \"games\"\npath = \"games.csv\"\naccess = {access}\n"
    );
    toml::from_str(&text).unwrap()
}

fn problems(access: &str) -> Vec<String> {
    config(access).problems(&Roles::usual())
}

fn call() -> Call {
    Call {
        tool: NAME.to_owned(),
        arguments: Json(json!({"query": "SELECT 1"})),
        identity: Identity::default(),
        key: "k".into(),
        label: "l".into(),
        attempt: 1,
        since: perennial_runtime::Timestamp::default(),
        deadline: perennial_runtime::Timestamp::from_micros(u64::MAX),
        timeout: Duration::from_secs(60),
    }
}

#[test]
fn nothing_is_wrong_with_a_table_for_roles_that_there_are() {
    let access =
        "[{ roles = [\"coach\"] }, { roles = [\"player\"], rows = \"player = identity.name\" }]";
    assert_eq!(problems(access), Vec::<String>::new());
}

#[test]
fn a_condition_that_cannot_be_read_is_refused_before_the_node_starts() {
    let problems = problems("[{ roles = [\"player\"], rows = \"player = identity.nam\" }]");
    assert_eq!(
        problems,
        ["tables[0].access[0].rows: `player = identity.nam` is no condition: identity.name, \
          identity.role, or identity.teams within ANY( ) is expected, not `nam` at character 19"]
    );
}

#[test]
fn a_role_that_there_is_not_is_refused_as_a_slip_would_lock_somebody_out() {
    let problems = problems("[{ roles = [\"coach\", \"plaer\"] }]");
    assert_eq!(problems, ["tables[0].access[0].roles: there is no role `plaer`"]);
}

#[test]
fn paths_that_are_not_absolute_and_bounds_that_are_none_are_refused() {
    let config = Config {
        directory: "data".into(),
        program: "perennial-sql".into(),
        memory_bytes: 1,
        timeout: Duration::ZERO,
        ..config("[{ roles = [\"*\"] }]")
    };
    let problems = config.problems(&Roles::usual());
    for key in ["directory", "program", "memory_bytes", "timeout"] {
        assert!(problems.iter().any(|problem| problem.starts_with(key)), "{key}: {problems:?}");
    }
}

#[test]
fn results_are_shared_with_nobody_where_rows_depend_on_who_asks() {
    let personal = |access: &str| Sql::new(&config(access), Path::new("/bin")).spec.personal;
    assert!(!personal("[{ roles = [\"coach\"] }]"));
    assert!(personal(
        "[{ roles = [\"coach\"] }, { roles = [\"*\"], rows = \"a = identity.name\" }]"
    ));
}

#[test]
fn what_was_answered_is_told_from_what_is_answered_once_somebody_may_read_something_else() {
    let access = |access: &str| Sql::new(&config(access), Path::new("/bin")).spec.access;
    let open = access("[{ roles = [\"coach\"] }]");
    assert_eq!(open, access("[{ roles = [\"coach\"] }]"), "the same after a restart");
    for other in [
        "[{ roles = [\"*\"] }]",
        "[{ roles = [\"coach\"], hidden = [\"pay\"] }]",
        "[{ roles = [\"coach\"], rows = \"a = identity.name\" }]",
    ] {
        assert_ne!(access(other), open, "{other}");
    }
}

#[tokio::test]
async fn a_call_says_how_the_program_is_built_where_it_is_absent_and_is_not_tried_again() {
    let tool = Sql::new(&config("[{ roles = [\"*\"] }]"), Path::new("/nowhere"));
    assert!(tool.spec.description.contains("cargo build --release -p perennial-sql"));
    let error = tool.call(&call()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(!error.kind.passes());
    let what = "/nowhere/perennial-sql is not there; build it with `cargo build --release -p perennial-sql`";
    assert!(error.message.starts_with(what), "{}", error.message);
}

/// A program that takes what is said to it, writes it to `heard`, and answers nothing once it is ready.
fn mute(folder: &Path) -> PathBuf {
    let (program, heard) = (folder.join("mute"), folder.join("heard"));
    let heard = heard.display();
    // It keeps its standard output open, as a program does that is still there.
    let script = format!(
        "#!/bin/sh\nprintf '\\000\\000\\000\\007\"ready\"'\nexec 3>&1\nexec /bin/cat > '{heard}'\n"
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    program
}

/// Waits until the program in `folder` has heard so many queries.
async fn heard(folder: &Path, queries: usize) {
    let asked = || {
        let heard = std::fs::read(folder.join("heard")).unwrap_or_default();
        String::from_utf8_lossy(&heard).matches("SELECT 1").count()
    };
    let waited = timeout(PATIENCE, async {
        while asked() < queries {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it hears what it is asked");
}

#[tokio::test]
async fn a_process_that_does_not_let_go_of_a_query_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let program = mute(folder.path());
    let config = Config { program, ..config("[{ roles = [\"*\"] }]") };
    let (tool, call) = (Sql::new(&config, Path::new("/bin")), call());
    let second = {
        let (mut first, mut second) = (tool.call(&call), tool.call(&call));
        tokio::select! {
            answered = &mut first => panic!("{answered:?}"),
            answered = &mut second => panic!("{answered:?}"),
            () = heard(folder.path(), 2) => {}
        }
        // The first one is given up here.
        second
    };
    let error = timeout(PATIENCE, second).await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("it did not let go of a query"), "{}", error.message);
}

#[test]
fn the_version_of_the_data_is_another_when_a_file_was_written_and_the_same_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("games.csv"), text).unwrap();
    let config = Config { directory: folder.path().to_owned(), ..config("[{ roles = [\"*\"] }]") };
    let version = || Sql::new(&config, Path::new("/bin")).data_version();
    let absent = version();
    write("a\n1\n");
    let first = version();
    assert_ne!(first, absent);
    assert_eq!(version(), first);
    write("a\n1\n2\n");
    assert_ne!(version(), first);
}

#[test]
fn an_answer_that_was_cut_says_so_and_names_the_tables_that_it_rests_on() {
    let tool = Sql::new(&config("[{ roles = [\"*\"] }]"), Path::new("/bin"));
    let answer = Answer {
        rows: vec![vec![Value::from(1)], vec![Value::from(2)]],
        cut: Some(Cut::Rows),
        tables: vec!["games".into()],
        ..Answer::default()
    };
    let told = tool.told(answer, 2);
    assert_eq!(told.value.0["truncated"], json!(true));
    assert_eq!(told.value.0["row_count"], json!(2));
    assert_eq!(told.warnings, ["there are more than 2 rows; these are the first ones"]);
    assert_eq!(told.citations[0].id, "table:games");
}
