//! Values from the environment: `PERENNIAL__SECTION__KEY`, with two underscores for each dot.

use serde::Deserialize;
use toml::{Table, Value};

use super::Config;
use super::error::{Problem, explain, unknown_name};

/// What the name of every variable of ours begins with.
pub const PREFIX: &str = "PERENNIAL__";

/// A variable of this process, for what a configuration lets others see.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}

/// Sets what the variables say, in the order of their names, and lists those that set nothing.
pub(super) fn apply(table: &mut Table, variables: &[(String, String)]) -> Vec<Problem> {
    let mut ours: Vec<_> = variables.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    ours.sort();
    ours.into_iter().filter_map(|(name, value)| apply_one(table, name, value).err()).collect()
}

/// Takes the text as it is where a text is wanted, and as a TOML value where it is not: the
/// configuration's own types decide.
fn apply_one(table: &mut Table, name: &str, text: &str) -> Result<(), Problem> {
    let path: Vec<String> =
        name.trim_start_matches(PREFIX).split("__").map(str::to_lowercase).collect();
    let typed = toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut table| table.remove("value"));
    let mut refused = String::new();
    for value in [Some(Value::String(text.to_owned())), typed].into_iter().flatten() {
        let mut candidate = table.clone();
        set(&mut candidate, &path, value).map_err(|why| Problem::new(format!("{name}: {why}")))?;
        match Config::deserialize(candidate.clone()) {
            Ok(_) => {
                *table = candidate;
                return Ok(());
            }
            Err(error) => refused = error.message().to_owned(),
        }
    }
    Err(Problem::new(describe(name, text, &refused)))
}

/// Says what is wrong with a variable, naming variables where the parser names keys. A value that may
/// be a secret is not repeated.
fn describe(name: &str, text: &str, refused: &str) -> String {
    let explained = match text {
        "" => explain(refused),
        text => explain(refused).replace(text, "…"),
    };
    let unknown = unknown_name(refused)
        .filter(|unknown| refused.starts_with("unknown field") && !unknown.is_empty());
    let meant = explained.split("did you mean `").nth(1).and_then(|rest| rest.split('`').next());
    match (unknown, meant) {
        (Some(unknown), Some(meant)) => {
            let meant = name.replacen(&unknown.to_uppercase(), &meant.to_uppercase(), 1);
            format!("{name} sets nothing; did you mean {meant}?")
        }
        (Some(_), None) => format!("{name} sets nothing: {explained}"),
        (None, _) => format!("{name}: {explained}"),
    }
}

/// Sets the value at `path`, making tables on the way.
pub(super) fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    let Some((last, sections)) = path.split_last() else { return Ok(()) };
    let mut inner = table;
    for section in sections {
        let entry = inner.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
        inner =
            entry.as_table_mut().ok_or_else(|| format!("`{section}` has no keys of its own"))?;
    }
    inner.insert(last.clone(), value);
    Ok(())
}
