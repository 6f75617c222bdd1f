//! Which tables there are, and who may read what of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::condition;

/// What stands for every role that no other grant of the table names.
pub const EVERY_ROLE: &str = "*";

/// A table, and who may read what of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Table {
    /// What queries call it: a small letter, then small letters, digits and underscores.
    pub name: String,
    /// What it holds, for people, and for a model that plans.
    pub description: String,
    /// Its files below the directory: a file, a folder whose files are meant, or several files by `*` in the last
    /// part. All of them end in `.parquet`, or all in `.csv` and begin with a line of names.
    pub path: String,
    /// Who may read what of it. A role that is named nowhere may read nothing.
    pub access: Vec<Grant>,
}

/// What some roles may read of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grant {
    /// The roles; [`EVERY_ROLE`] for all that no other grant of the table names.
    pub roles: Vec<String>,
    /// The only columns; all if there are none here.
    pub columns: Vec<String>,
    /// All columns but these; not beside `columns`.
    pub hidden: Vec<String>,
    /// The only rows: those for which this condition holds; all if it is empty.
    pub rows: String,
}

impl Table {
    /// What `role` may read of it; none if nothing.
    #[must_use]
    pub fn grant(&self, role: &str) -> Option<&Grant> {
        let named = |role: &str| {
            self.access.iter().find(|grant| grant.roles.iter().any(|named| named == role))
        };
        // No role has the name that stands for all of them.
        if role == EVERY_ROLE { None } else { named(role).or_else(|| named(EVERY_ROLE)) }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = path_problem(&self.path).into_iter().collect();
        if !is_name(&self.name) {
            let why = "must be a small letter, then small letters, digits and underscores";
            problems.push(format!("name `{}` {why}", self.name));
        }
        if self.access.is_empty() {
            problems.push(
                "access must say who may read it; `roles = [\"*\"]` is every role".to_owned(),
            );
        }
        let mut roles = BTreeSet::new();
        for (at, grant) in self.access.iter().enumerate() {
            let key = format!("access[{at}]");
            problems.extend(grant.problems().into_iter().map(|why| format!("{key}.{why}")));
            let twice = grant.roles.iter().filter(|role| !roles.insert(role.as_str()));
            problems.extend(twice.map(|role| format!("{key}.roles: `{role}` is there twice")));
        }
        problems
    }
}

impl Grant {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.roles.is_empty() {
            problems.push("roles must name a role".to_owned());
        }
        if !self.columns.is_empty() && !self.hidden.is_empty() {
            problems.push("hidden cannot stand beside columns".to_owned());
        }
        if !self.rows.is_empty()
            && let Err(error) = condition::parse(&self.rows)
        {
            problems.push(format!("rows: {error}"));
        }
        problems
    }
}

/// What is wrong with these tables, each sentence beginning with the key it is about.
#[must_use]
pub fn problems(tables: &[Table]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    for (at, table) in tables.iter().enumerate() {
        if !names.insert(&table.name) {
            problems.push(format!("tables[{at}].name: there are two tables `{}`", table.name));
        }
        let own = table.problems().into_iter();
        problems.extend(own.map(|why| format!("tables[{at}].{why}")));
    }
    problems
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(plain)
}

fn path_problem(path: &str) -> Option<String> {
    let (folders, last) = path.rsplit_once('/').unwrap_or(("", path));
    let why = if path.is_empty() {
        "must be set"
    } else if path.starts_with('/') {
        "must be relative to the directory"
    } else if path.split('/').any(|part| part == "..") {
        "must not lead out of the directory"
    } else if folders.contains('*') || last.matches('*').count() > 1 {
        "may have one `*`, in its last part"
    } else {
        return None;
    };
    Some(format!("path `{path}` {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(roles: &[&str]) -> Grant {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        Grant { roles, ..Grant::default() }
    }

    fn table(access: Vec<Grant>) -> Table {
        Table { name: "games".into(), path: "games.csv".into(), access, ..Table::default() }
    }

    #[test]
    fn a_role_that_is_named_nowhere_may_read_nothing() {
        let games = table(vec![grant(&["coach", "analyst"])]);
        assert!(games.grant("coach").is_some());
        for role in ["scout", "admin", "", "*"] {
            assert_eq!(games.grant(role), None, "{role}");
        }
    }

    #[test]
    fn what_is_granted_to_every_role_is_for_those_that_are_not_named() {
        let all = Grant { hidden: vec!["pay".into()], ..grant(&["*"]) };
        let games = table(vec![all.clone(), grant(&["coach"])]);
        assert_eq!(games.grant("coach"), Some(&grant(&["coach"])));
        assert_eq!(games.grant("scout"), Some(&all));
        assert_eq!(games.grant("*"), None);
    }

    #[test]
    fn a_condition_that_cannot_be_read_is_a_problem_with_its_place() {
        let half = Grant { rows: "team = ANY(identity.team)".into(), ..grant(&["player"]) };
        let problems = problems(&[table(vec![grant(&["coach"]), half])]);
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(problem.starts_with("tables[0].access[1].rows: "), "{problem}");
        assert!(problem.contains("identity.team"), "{problem}");
    }

    #[test]
    fn tables_that_cannot_be_meant_are_refused_with_the_key_named() {
        let wrong = [
            (Table { name: "Games".into(), ..table(vec![grant(&["a"])]) }, "tables[0].name"),
            (Table { path: String::new(), ..table(vec![grant(&["a"])]) }, "tables[0].path"),
            (Table { path: "/etc/x.csv".into(), ..table(vec![grant(&["a"])]) }, "tables[0].path"),
            (Table { path: "a/../x.csv".into(), ..table(vec![grant(&["a"])]) }, "tables[0].path"),
            (Table { path: "*/x.csv".into(), ..table(vec![grant(&["a"])]) }, "tables[0].path"),
            (table(vec![]), "tables[0].access"),
            (table(vec![grant(&[])]), "tables[0].access[0].roles"),
            (table(vec![grant(&["a"]), grant(&["a"])]), "tables[0].access[1].roles"),
        ];
        for (table, begins) in wrong {
            let problems = problems(&[table]);
            assert!(problems.iter().any(|text| text.starts_with(begins)), "{problems:?}");
        }
        let twice = [table(vec![grant(&["a"])]), table(vec![grant(&["a"])])];
        assert_eq!(problems(&twice), ["tables[1].name: there are two tables `games`"]);
    }
}
