//! What the documents say about the code is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::node::{Node, perennial};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every `module::name` and `module::{name, name}` between backticks on a line of the contract.
fn named_tests(line: &str) -> Vec<(String, String)> {
    let mut tests = Vec::new();
    for quoted in line.split('`').skip(1).step_by(2) {
        let Some((module, names)) = quoted.split_once("::") else { continue };
        let names = names.trim_start_matches('{').trim_end_matches('}');
        for name in names.split(',').map(str::trim) {
            tests.push((module.to_owned(), name.to_owned()));
        }
    }
    tests
}

#[test]
fn every_promise_of_the_contract_names_tests_that_exist() {
    let contract = read("docs/contract.md");
    let promises: Vec<&str> =
        contract.lines().filter(|line| line.starts_with("| ") && line.contains("**")).collect();
    assert_eq!(promises.len(), 11, "the contract has eleven promises");
    for promise in promises {
        let tests = named_tests(promise);
        assert!(!tests.is_empty(), "no test is named: {promise}");
        for (module, name) in tests {
            let source = read(format!("actors/runtime/tests/contract/{module}.rs"));
            let there = name == "*" || source.contains(&format!("fn {name}("));
            assert!(there, "docs/contract.md names {module}::{name}, which is not there");
        }
    }
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let pages = [
        "README.md",
        "docs/README.md",
        "docs/actors.md",
        "docs/operations.md",
        "docs/queries.md",
        "docs/changelog.md",
        "deploy/README.md",
    ];
    for page in pages {
        let text = read(page);
        let folder = PathBuf::from(page).parent().map(Path::to_owned).unwrap_or_default();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                let path = root().join(&folder).join(target);
                assert!(path.exists(), "{page} links to {link}, which is not there");
            }
        }
    }
}

#[test]
fn every_file_of_the_code_map_is_there() {
    let page = read("docs/architecture.md");
    let map = page.split("\n## Code map\n").nth(1).expect("there is a code map");
    let rows = map.split("\n## ").next().unwrap_or_default().lines();
    let mut files = 0;
    for row in rows.filter_map(|line| line.strip_prefix("| `")) {
        // The first name of a row has the folder of all that are named by themselves.
        let first = row.split('`').next().unwrap_or_default();
        if first.contains('{') {
            continue;
        }
        let folder = Path::new(first.rsplit_once('/').map_or("", |(folder, _)| folder));
        for name in row.split('`').step_by(2).filter(|name| name.ends_with(".rs")) {
            let whole = name.starts_with("actors/") || name.starts_with("src/");
            let near = if whole { root().into() } else { root().join(folder) };
            let deeper = near.join("sled").join(name);
            assert!(near.join(name).exists() || deeper.exists(), "{name} in {row}");
            files += 1;
        }
    }
    assert!(files > 50, "{files}");
}

#[test]
fn every_label_that_is_read_is_in_the_table_of_labels_and_no_other() {
    let guide = read("docs/operations.md");
    let section = guide.split("\n## Labels\n").nth(1).expect("the guide lists the labels");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<&str> = rows.collect();
    let source = read("actors/healing/src/monitor/watch.rs");
    let calls = ["reader.flag(\"", "reader.percent(\"", "reader.number(\"", "self.read(\""];
    let read = calls.iter().flat_map(|call| source.split(call).skip(1));
    let read: BTreeSet<&str> = read.filter_map(|rest| rest.split('"').next()).collect();
    assert!(read.len() > 6, "{read:?}");
    assert_eq!(documented, read);
}

/// Every name of a metric in `text`.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = |word: &&str| word.starts_with("perennial_") || word.starts_with("process_");
    words.filter(ours).collect()
}

/// The names of the table of metrics in the operator's guide.
fn documented_metrics(guide: &str) -> BTreeSet<&str> {
    let section = guide.split("\n## Metrics\n").nth(1).expect("the guide lists the metrics");
    metrics_in(section.split("\n## ").next().unwrap_or_default())
}

/// What the node exports without having anything to heal, histograms by their own name.
async fn exported() -> BTreeSet<String> {
    let node = Node::builder().toml("[docker]\nhost = \"unix:///nowhere/docker.sock\"\n");
    let (_, text) = node.start_listening().await.get("/metrics").await;
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    families
        .map(|line| match line.split_once(' ').expect("a family has a type") {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect()
}

#[tokio::test]
async fn every_metric_is_documented_and_every_documented_one_is_exported() {
    let guide = read("docs/operations.md");
    let documented = documented_metrics(&guide);
    let exported = exported().await;
    for name in &exported {
        assert!(documented.contains(name.as_str()), "docs/operations.md does not list {name}");
    }
    // A family without a sample is not in the text: these are known by where they are registered.
    let sources = [
        "src/metrics.rs",
        "actors/healing/src/metrics.rs",
        "actors/query/src/metrics.rs",
        "actors/runtime/src/stats.rs",
    ];
    let registered = sources.map(read).concat();
    for name in documented {
        let stem = name.trim_end_matches("_total").trim_end_matches("_seconds");
        let known = exported.contains(name) || registered.contains(&format!("\"{stem}"));
        assert!(known, "docs/operations.md lists {name}, which nothing exports");
    }
}

#[test]
fn every_metric_an_alert_rests_on_is_documented() {
    let (guide, rules) = (read("docs/operations.md"), read("deploy/alerts.yaml"));
    let expressions: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(expressions.len(), rules.matches("- alert: ").count());
    let documented = documented_metrics(&guide);
    for name in expressions.into_iter().flat_map(metrics_in) {
        assert!(documented.contains(name), "deploy/alerts.yaml rests on the unknown {name}");
    }
}

/// The paths that are routed.
fn paths_in(source: &str) -> Vec<&str> {
    let paths: Vec<&str> =
        source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(paths.len() > 10, "{paths:?}");
    paths
}

#[test]
fn the_changelog_names_every_command_every_section_of_the_configuration_and_every_path() {
    let (changelog, source) = (read("docs/changelog.md"), read("src/http.rs"));
    let help = perennial(root(), &["--help"]).stdout;
    let help = String::from_utf8(help).expect("the help is text");
    let listed = help.split("Commands:\n").nth(1).expect("the help lists the commands");
    let commands = listed.lines().take_while(|line| line.starts_with("  "));
    let commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        let there = [format!("`perennial {command}`"), format!("`{command}`")];
        assert!(there.iter().any(|text| changelog.contains(text)), "`{command}` is not there");
    }
    let file = read("config/perennial.toml");
    let sections = file.lines().filter(|line| line.starts_with('['));
    for name in sections.chain(paths_in(&source)) {
        assert!(changelog.contains(&format!("`{name}`")), "`{name}` is not there");
    }
}

#[test]
fn every_path_of_the_http_interface_is_documented() {
    let (guide, source) = (read("docs/operations.md"), read("src/http.rs"));
    for path in paths_in(&source) {
        let there = [format!(" {path}`"), format!("`{path}`")];
        assert!(there.iter().any(|text| guide.contains(text)), "{path} is not documented");
    }
}
