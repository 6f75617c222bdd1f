//! `perennial drill`: disasters on a node made for it.

use std::fs;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::support::node::perennial_within;

/// A drill takes about a minute on a machine that is idle, and up to a minute for each disaster on one that is
/// not.
const LIMIT: Duration = Duration::from_secs(600);

/// Every disaster, in the order in which they strike.
const DISASTERS: [&str; 10] = [
    "monitor",
    "analyzer",
    "responder",
    "alert",
    "query-orchestrator",
    "query-orchestrator-stalled",
    "tool-worker",
    "store-stalled",
    "store-failed",
    "process",
];

/// Runs a drill; returns it, its table and its report.
fn drill(arguments: &[&str]) -> (Output, String, Value) {
    let directory = tempfile::tempdir().unwrap();
    // Not shorter than a socket's path may be.
    let inside = directory.path().to_str().unwrap();
    let fixed = ["drill", "--report", "report.json", "--in", inside];
    let output = perennial_within(LIMIT, directory.path(), &[&fixed[..], arguments].concat());
    let table = String::from_utf8(output.stdout.clone()).unwrap();
    let report = fs::read_to_string(directory.path().join("report.json")).unwrap_or_default();
    let report = serde_json::from_str(&report)
        .unwrap_or_else(|error| panic!("{error}: {table}{}", errors(&output)));
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "the drill left more than its report: {left:?}");
    (output, table, report)
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_drill_strikes_every_part_and_shows_that_nothing_is_lost_or_done_twice() {
    // How soon is for an idle machine to show; here it only has to recover.
    let (output, table, report) = drill(&["--rto", "1min"]);
    assert_eq!(output.status.code(), Some(0), "{table}{}", errors(&output));
    assert_eq!(report["met"], true);
    assert_eq!(report["goals"]["stated"]["rto_seconds"], 300.0);
    let rows = report["disasters"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["disaster"].as_str().unwrap()).collect();
    assert_eq!(names, DISASTERS);
    for row in rows {
        assert_eq!((&row["lost"], &row["twice"]), (&0.into(), &0.into()), "{row}");
        assert!(row["accepted"].as_u64() >= Some(25), "under load: {row}");
        assert!(row["rto_seconds"].as_f64() > Some(0.0), "{row}");
        assert_eq!(row["rpo_seconds"], 0.0, "{row}");
        let struck = row["struck"].as_str().unwrap();
        assert!(!struck.contains(", 0 alive"), "there was nothing to kill: {row}");
        let progress = errors(&output);
        for shown in [&table, &progress] {
            assert!(shown.contains(struck), "{struck} is missing in {shown}");
        }
    }
    assert_eq!(table.lines().count(), 1 + DISASTERS.len(), "{table}");
    assert!(table.contains("STATED (RTO < 5 min, RPO 1 min)"), "{table}");
}

#[test]
fn a_drill_that_misses_a_goal_says_so_and_exits_with_1() {
    let (output, table, report) = drill(&["--only", "process", "--rto", "1ns"]);
    assert_eq!(output.status.code(), Some(1), "{table}{}", errors(&output));
    assert_eq!(report["met"], false);
    let rows = report["disasters"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["met"]["stated"], true, "{report}");
    assert_eq!(rows[0]["met"]["ours"], false, "{report}");
    assert!(table.contains("MISSED") && table.contains("met"), "{table}");
}
