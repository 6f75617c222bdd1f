//! Rules about the source itself: who may name what, how long files are, what may not be left behind.

use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

/// The longest a source file may be, tests not counted.
const LONGEST_FILE: usize = 500;

/// A crate, and where alone it may be named.
const RESERVED: [(&str, &[&str]); 9] = [
    ("sled", &["actors/store/"]),
    ("ractor", &["actors/runtime/", "benches/"]),
    ("axum", &["src/", "benches/"]),
    ("clap", &["src/"]),
    (
        "bollard",
        &[
            "actors/healing/src/docker.rs",
            "actors/healing/src/monitor/docker",
            "actors/healing/src/analyzer/docker",
            "actors/healing/src/responder/docker",
        ],
    ),
    (
        "reqwest",
        &[
            "actors/healing/src/alert/slack",
            "actors/healing/src/alert/webhook",
            "actors/knowledge/src/embed/endpoint",
            "actors/query/src/tools/http",
            "actors/query/src/tools/llm",
        ],
    ),
    ("lettre", &["actors/healing/src/alert/email"]),
    ("tantivy", &["actors/knowledge/src/index"]),
    ("datafusion", &["actors/sql/src/"]),
];

/// Each crate of ours and the crates of ours it may depend on.
const DIRECTION: [(&str, &[&str]); 9] = [
    (
        "perennial",
        &[
            "perennial-healing",
            "perennial-knowledge",
            "perennial-query",
            "perennial-runtime",
            "perennial-secret",
            "perennial-store",
        ],
    ),
    ("perennial-healing", &["perennial-runtime", "perennial-secret"]),
    ("perennial-knowledge", &["perennial-query", "perennial-runtime", "perennial-secret"]),
    ("perennial-query", &["perennial-runtime", "perennial-secret", "perennial-sql-protocol"]),
    ("perennial-runtime", &["perennial-store"]),
    ("perennial-secret", &[]),
    ("perennial-sql", &["perennial-sql-protocol"]),
    ("perennial-sql-protocol", &[]),
    ("perennial-store", &[]),
];

struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of ours.
fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    for folder in ["src", "actors", "tests", "benches"] {
        collect(&root().join(folder), &mut files);
    }
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).expect("a source file can be read"),
        path: path.strip_prefix(root()).unwrap().display().to_string(),
    };
    let sources: Vec<Source> = files.into_iter().map(read).collect();
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Whether `text` names the crate in code: as the head of a path, or as what is imported.
fn names(text: &str, name: &str) -> bool {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let begins = |line: &str, at: usize| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '"')
    };
    let head = format!("{name}::");
    code.into_iter().any(|line| {
        let as_path = line.match_indices(&head).any(|(at, _)| {
            // `crate::sled::` and `self::sled::` are modules of ours.
            begins(line, at) && !line[..at].ends_with("::") || line[..at].ends_with(" ::")
        });
        as_path || line.trim() == format!("use {name};")
    })
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn only_the_edges_name_the_crates_of_the_edge() {
    let sources = sources();
    let mut problems = Vec::new();
    for (name, allowed) in RESERVED {
        let named = sources.iter().filter(|source| !source.is_test() && names(&source.text, name));
        let stray =
            named.filter(|source| !allowed.iter().any(|prefix| source.path.starts_with(prefix)));
        problems.extend(stray.map(|source| format!("{} names {name}", source.path)));
    }
    report(&problems);
}

#[test]
fn the_search_for_names_finds_them() {
    assert!(names("use sled::Db;", "sled"));
    assert!(names("    let db: ::sled::Db;", "sled"));
    assert!(!names("use crate::sled::SledBackend;", "sled"));
    assert!(!names("// sled::Db", "sled"));
    assert!(!names("use unsled::Db;", "sled"));
}

#[test]
fn crates_depend_in_one_direction() {
    let mut problems = Vec::new();
    let mut seen = Vec::new();
    for manifest in manifests() {
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        let rule = DIRECTION.iter().find(|(known, _)| *known == name);
        let Some((_, allowed)) = rule else {
            problems.push(format!("{name} has no rule of direction"));
            continue;
        };
        let dependencies = manifest["dependencies"].as_table().unwrap();
        let ours = dependencies.keys().filter(|name| name.starts_with("perennial"));
        let stray = ours.filter(|dependency| !allowed.contains(&dependency.as_str()));
        problems.extend(stray.map(|dependency| format!("{name} depends on {dependency}")));
        seen.push(name);
    }
    report(&problems);
    assert_eq!(seen.len(), DIRECTION.len(), "{seen:?}");
}

fn manifests() -> Vec<Table> {
    let mut paths = vec![root().join("Cargo.toml")];
    let actors = fs::read_dir(root().join("actors")).expect("actors/ can be listed");
    paths.extend(actors.map(|entry| entry.unwrap().path().join("Cargo.toml")));
    paths.push(root().join("actors/sql/protocol/Cargo.toml"));
    let parse = |path: PathBuf| fs::read_to_string(path).unwrap().parse().unwrap();
    paths.into_iter().map(parse).collect()
}

#[test]
fn every_crate_of_the_product_is_built_by_default_but_the_one_that_takes_long() {
    let workspace: Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let listed = workspace["workspace"]["default-members"].as_array().unwrap();
    let mut names: Vec<String> = Vec::new();
    for member in listed {
        let manifest = root().join(member.as_str().unwrap()).join("Cargo.toml");
        let manifest: Table = fs::read_to_string(manifest).unwrap().parse().unwrap();
        names.push(manifest["package"]["name"].as_str().unwrap().to_owned());
    }
    names.push("perennial-sql".to_owned());
    names.sort();
    let mut all: Vec<&str> = DIRECTION.iter().map(|(name, _)| *name).collect();
    all.sort_unstable();
    assert_eq!(names, all);
}

#[test]
fn the_manifests_give_reserved_crates_to_their_owners_only() {
    let owners: [(&str, &[&str]); 9] = [
        ("sled", &["perennial-store"]),
        ("ractor", &["perennial-runtime"]),
        ("axum", &["perennial"]),
        ("clap", &["perennial"]),
        ("bollard", &["perennial-healing"]),
        ("reqwest", &["perennial-healing", "perennial-knowledge", "perennial-query"]),
        ("lettre", &["perennial-healing"]),
        ("tantivy", &["perennial-knowledge"]),
        ("datafusion", &["perennial-sql"]),
    ];
    let mut problems = Vec::new();
    for manifest in manifests() {
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        let stray = owners.iter().filter(|(reserved, owners)| {
            dependencies.contains_key(*reserved) && !owners.contains(&name.as_str())
        });
        problems.extend(stray.map(|(reserved, _)| format!("{name} depends on {reserved}")));
    }
    report(&problems);
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let sources = sources();
    let long = sources
        .iter()
        .filter(|source| !source.is_test() && source.text.lines().count() > LONGEST_FILE);
    report(&long.map(|source| source.path.clone()).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_for_later_and_no_lint_is_switched_off() {
    // Written in two parts, so that this file does not find itself. The last one is for tests.
    let banned = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("#[", "allow("),
        concat!("#![", "allow("),
        concat!("macro_", "rules!"),
    ];
    let mut problems = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            let macros_too = banned.len() - usize::from(source.is_test());
            let found = banned[..macros_too].iter().find(|word| line.contains(**word));
            problems.extend(found.map(|word| format!("{}:{}: {word}", source.path, number + 1)));
        }
    }
    report(&problems);
}
