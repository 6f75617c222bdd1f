//! Secrets kept in files of their own: `token_file = "/run/secrets/token"` instead of `token`.
//!
//! Every key that has a sibling of the same name with `_file` at its end is such a secret.

use std::collections::BTreeMap;
use std::fs;

use perennial_query::tools::llm;
use toml::{Table, Value};

use super::Config;
use super::error::{ConfigError, Problem};

/// From which file each secret was read that was; secrets by their dotted keys.
pub(super) type Read = BTreeMap<String, String>;

/// What became of the files.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    pub(super) read: Read,
    /// Why others were not read; their `_file` keys stay.
    pub(super) problems: Vec<Problem>,
}

/// Replaces every secret's `_file` key by what that file holds, without white space at its ends.
pub(super) fn read_into(table: &mut Table) -> Result<Secrets, ConfigError> {
    // The defaults hold every key there is, but for those of what stands in lists.
    let mut every = Config::default();
    every.query.llm.models.push(llm::Model::default());
    let known = Table::try_from(every)
        .map_err(|error| Problem::new(format!("the defaults are not TOML: {error}")))?;
    let mut secrets = Secrets::default();
    read_section(table, &known, "", &mut secrets);
    Ok(secrets)
}

fn read_section(table: &mut Table, known: &Table, section: &str, secrets: &mut Secrets) {
    for key in known.keys().filter(|key| known.contains_key(&format!("{key}_file"))) {
        match secret(table, section, key) {
            Ok(Some((file, secret))) => {
                secrets.read.insert(format!("{section}{key}"), file);
                table.insert(key.clone(), Value::String(secret));
                table.remove(&format!("{key}_file"));
            }
            Ok(None) => {}
            Err(problem) => secrets.problems.push(problem),
        }
    }
    for (name, value) in table.iter_mut() {
        if let Some(known) = known.get(name) {
            read_inner(value, known, &format!("{section}{name}"), secrets);
        }
    }
}

/// Reads the sections that are a value, or elements of a list.
fn read_inner(value: &mut Value, known: &Value, name: &str, secrets: &mut Secrets) {
    if let (Value::Array(list), Value::Array(known)) = (&mut *value, known) {
        for (at, element) in list.iter_mut().enumerate() {
            known.iter().for_each(|known| {
                read_inner(element, known, &format!("{name}[{at}]"), secrets);
            });
        }
    } else if let (Value::Table(inner), Value::Table(known)) = (value, known) {
        read_section(inner, known, &format!("{name}."), secrets);
    }
}

/// The secret `key` of `section` and the file that holds it, if one does.
fn secret(table: &Table, section: &str, key: &str) -> Result<Option<(String, String)>, Problem> {
    let text = |key: &str| table.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(file) = text(&format!("{key}_file")) else { return Ok(None) };
    let name = format!("{section}{key}");
    if text(key).is_some() {
        return Err(Problem::new(format!("{name} and {name}_file are both set; remove one")));
    }
    let content = fs::read_to_string(file)
        .map_err(|error| Problem::new(format!("{name}_file: {file} cannot be read: {error}")))?;
    match content.trim() {
        "" => Err(Problem::new(format!("{name}_file: {file} is empty"))),
        secret => Ok(Some((file.to_owned(), secret.to_owned()))),
    }
}
