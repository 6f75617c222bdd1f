//! The command line without a running node: arguments, exit codes, and what is printed.

use std::fs;
use std::process::Output;

use tempfile::TempDir;

use crate::support::node::{perennial, perennial_with};

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("the command ended by itself")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_good_configuration_file_is_called_valid() {
    let directory = directory();
    fs::write(directory.path().join("node.toml"), "[log]\nlevel = \"debug\"\n").unwrap();
    let output = perennial(directory.path(), &["check-config", "node.toml"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), "node.toml is valid\n");
}

#[test]
fn a_configuration_file_is_checked_together_with_the_environment() {
    let directory = directory();
    fs::write(directory.path().join("node.toml"), "[http]\nlisten = \"0.0.0.0:1\"\n").unwrap();
    let check = |environment: &[(&str, &str)]| {
        perennial_with(directory.path(), &["check-config", "node.toml"], environment)
    };
    assert_eq!(code(&check(&[])), 78);
    let output = check(&[("PERENNIAL__HTTP__TOKEN", "0123456789abcdef")]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let output = check(&[("PERENNIAL__HTTP__TOKN", "0123456789abcdef")]);
    assert_eq!(code(&output), 78);
    let said = stderr(&output);
    assert!(said.contains("did you mean PERENNIAL__HTTP__TOKEN?"), "{said}");
    assert!(said.contains("node.toml:2: http.listen"), "both at once: {said}");
}

#[test]
fn a_bad_configuration_file_exits_with_78_and_names_the_line() {
    let directory = directory();
    fs::write(directory.path().join("node.toml"), "[log]\nlevle = \"debug\"\n").unwrap();
    for arguments in [["check-config", "node.toml"], ["run", "--config=node.toml"]] {
        let output = perennial(directory.path(), &arguments);
        assert_eq!(code(&output), 78);
        let expected = "perennial: node.toml:2: unknown key `levle`; did you mean `level`?\n";
        assert_eq!(stderr(&output), expected);
    }
}

#[test]
fn a_warning_does_not_make_a_file_invalid() {
    let directory = directory();
    fs::write(directory.path().join("node.toml"), "[http]\ntoken = \"short\"\n").unwrap();
    let output = perennial(directory.path(), &["check-config", "node.toml"]);
    assert_eq!(code(&output), 0);
    assert_eq!(stdout(&output), "node.toml is valid, with 1 warning\n");
    assert!(stderr(&output).starts_with("warning: http.token is shorter"), "{}", stderr(&output));
}

#[test]
fn listening_beyond_this_machine_without_a_token_exits_with_78() {
    let directory = directory();
    let output = perennial(directory.path(), &["--listen", "0.0.0.0:0", "--data-dir", "data"]);
    assert_eq!(code(&output), 78, "{}", stderr(&output));
    assert!(!directory.path().join("data").exists(), "nothing is made before the refusal");
}

#[test]
fn the_dumped_configuration_is_a_configuration_file() {
    let directory = directory();
    let dumped = perennial(directory.path(), &["dump-config"]);
    fs::write(directory.path().join("dump.toml"), &dumped.stdout).unwrap();
    let output = perennial(directory.path(), &["check-config", "dump.toml"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn a_wrong_argument_exits_with_2() {
    let output = perennial(directory().path(), &["--listen", "nowhere"]);
    assert_eq!(code(&output), 2);
    let output = perennial(directory().path(), &["health", "--node", "https://x"]);
    assert_eq!(code(&output), 2, "{}", stderr(&output));
}

#[test]
fn a_node_that_does_not_answer_exits_with_69_and_says_where_it_was_looked_for() {
    // Port 1 of the loopback interface is nobody's here.
    for command in [&["health"][..], &["tree"], &["incidents"], &["dead-letters", "list"]] {
        let arguments = [command, &["--node", "http://127.0.0.1:1"]].concat();
        let output = perennial(directory().path(), &arguments);
        assert_eq!(code(&output), 69, "{command:?}");
        assert!(stderr(&output).contains("no node answers at 127.0.0.1:1"), "{}", stderr(&output));
    }
}

#[test]
fn checking_a_directory_without_data_says_so() {
    let directory = directory();
    let output = perennial(directory.path(), &["check-data", "."]);
    assert_eq!(code(&output), 74);
    assert!(stderr(&output).contains("FORMAT"), "{}", stderr(&output));
}

#[test]
fn a_directory_that_is_not_there_is_called_that_by_what_reads_data() {
    let directory = directory();
    for arguments in [&["check-data", "nowhere"][..], &["backup", "x", "--data-dir", "nowhere"]] {
        let output = perennial(directory.path(), arguments);
        assert_eq!(code(&output), 74);
        let expected = "perennial: nowhere holds no data of a node: there is no such directory; name its \
                        store.data_dir\n";
        assert_eq!(stderr(&output), expected);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn data_of_a_newer_format_is_refused_and_not_touched() {
    let directory = directory();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("FORMAT"), "perennial 999\n").unwrap();
    for arguments in
        [&["--data-dir", "data", "--listen", "127.0.0.1:0"][..], &["check-data", "data"]]
    {
        let output = perennial(directory.path(), arguments);
        assert_eq!(code(&output), 65, "{}", stderr(&output));
        assert!(stderr(&output).contains("perennial 999"), "{}", stderr(&output));
    }
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "nothing was added");
}
