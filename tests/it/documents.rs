//! What the documents say about the code is true.

use std::fs;
use std::path::{Path, PathBuf};

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
    let pages = ["README.md", "docs/README.md", "docs/operations.md", "deploy/README.md"];
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
