//! From file, environment and command line to one valid configuration.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};
use toml::{Spanned, Table, Value};

use super::error::{ConfigError, Problem, explain, line_of};
use super::secret_files::Read;
use super::{Config, environment, secret_files};

/// The most problems of a file that are listed; one with more is probably another kind of file.
const MOST_PROBLEMS: usize = 100;

/// Where values come from; later ones win.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Environment variables; those that do not begin with [`environment::PREFIX`] are passed over.
    pub environment: Vec<(String, String)>,
    /// Dotted key and value of each command-line option.
    pub options: Vec<(&'static str, String)>,
}

impl Sources {
    /// A file, and this process's environment.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let environment = std::env::vars_os().filter_map(text).collect();
        Self { file, environment, options: Vec::new() }
    }
}

/// The text of a configuration file and what it says.
#[derive(Debug, Default)]
struct Source {
    path: PathBuf,
    text: String,
}

impl Config {
    /// Reads and merges `sources`, reads the files that hold secrets, and validates the result.
    ///
    /// # Errors
    /// Everything that is wrong, with file and line where they are known.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let source = sources.file.as_deref().map(read).transpose()?.unwrap_or_default();
        let (mut table, mut problems) = parse(&source)?;
        problems.extend(environment::apply(&mut table, &sources.environment));
        for (key, value) in &sources.options {
            let set = environment::set(&mut table, &path_of(key), Value::String(value.clone()));
            problems.extend(set.map_err(Problem::new).err());
        }
        let secrets = secret_files::read_into(&mut table)?;
        problems.extend(secrets.problems);
        Self::of_table(table, &source, &secrets.read, problems)
    }

    /// What a file with this text says. Files that it names are not read.
    ///
    /// # Errors
    /// As for [`Config::load`].
    #[cfg(any(test, feature = "testing"))]
    pub fn from_text(text: &str) -> Result<Self, ConfigError> {
        let source = Source { path: PathBuf::from("text"), text: text.to_owned() };
        let (table, problems) = parse(&source)?;
        Self::of_table(table, &source, &Read::new(), problems)
    }

    /// What all sources together say, if it and they are without `problems`; `source` tells where, of what was
    /// not `read` from a secret's file.
    fn of_table(
        table: Table,
        source: &Source,
        read: &Read,
        mut problems: Vec<Problem>,
    ) -> Result<Self, ConfigError> {
        match table.try_into::<Self>() {
            Ok(config) => {
                let problem = |(key, why): (&str, String)| source.problem(key, read, &why);
                problems.extend(config.invalid().into_iter().map(problem));
                if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
            }
            Err(error) => {
                problems.push(Problem::new(explain(error.message())));
                Err(ConfigError(problems))
            }
        }
    }
}

/// The parts of a dotted key.
pub(super) fn path_of(key: &str) -> Vec<String> {
    key.split('.').map(str::to_owned).collect()
}

fn read(path: &Path) -> Result<Source, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Problem::in_file(path, None, format!("cannot be read: {error}")))?;
    Ok(Source { path: path.to_owned(), text })
}

/// Parses the file into a table to merge into, which holds what makes sense, and lists what does not.
///
/// The parser stops at the first entry that is no part of a configuration. So each is taken out, of a list only
/// the one that is wrong, and the rest looked at again.
///
/// # Errors
/// It is no TOML.
fn parse(source: &Source) -> Result<(Table, Vec<Problem>), ConfigError> {
    let (mut parsed, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        return Err(ConfigError(errors.iter().map(|error| source.located(error)).collect()));
    }
    let mut problems = Vec::new();
    while let Err(error) = Config::deserialize(Deserializer::from(parsed.clone())) {
        let offset = error.span().map(|span| span.start);
        problems.push((offset, source.located(&error)));
        let taken = offset.is_some_and(|offset| take_out(parsed.get_mut(), offset));
        if !taken || problems.len() == MOST_PROBLEMS {
            let more = "there may be more that is wrong, which shows once this is right".to_owned();
            problems.push((Some(usize::MAX), Problem::in_file(&source.path, None, more)));
            parsed.get_mut().clear();
        }
    }
    problems.sort_by_key(|(offset, _)| *offset);
    let table = Table::deserialize(Deserializer::from(parsed));
    let table = table.map_err(|error| source.located(&error))?;
    Ok((table, problems.into_iter().map(|(_, problem)| problem).collect()))
}

/// Takes out the innermost entry that stands at byte `offset`, and tells whether there is one.
fn take_out(table: &mut DeTable<'_>, offset: usize) -> bool {
    for (_, value) in table.iter_mut() {
        if take_out_of(value.get_mut(), offset) {
            return true;
        }
    }
    let mut entries = table.iter();
    let at = |span: Range<usize>| span.contains(&offset);
    let found = entries.find(|(key, value)| at(key.span()) || at(value.span()));
    let found = found.map(|(key, _)| key.clone());
    found.is_some_and(|key| table.remove(&key).is_some())
}

fn take_out_of(value: &mut DeValue<'_>, offset: usize) -> bool {
    if let DeValue::Table(table) = value {
        return take_out(table, offset);
    }
    let DeValue::Array(items) = value else { return false };
    if items.iter_mut().any(|item| take_out_of(item.get_mut(), offset)) {
        return true;
    }
    let before = items.len();
    let others = std::mem::replace(items, DeArray::new()).into_iter();
    others.filter(|item| !item.span().contains(&offset)).for_each(|item| items.push(item));
    items.len() < before
}

/// The key whose value begins at byte `offset`, if one does.
fn key_before(text: &str, offset: usize) -> Option<&str> {
    let line = text.get(..offset)?.lines().next_back()?;
    Some(line.trim_end().strip_suffix('=')?.trim()).filter(|key| !key.is_empty())
}

impl Source {
    /// What the parser found wrong, with its line and key.
    fn located(&self, error: &toml::de::Error) -> Problem {
        let line = error.span().map(|span| line_of(&self.text, span.start));
        let key = error.span().and_then(|span| key_before(&self.text, span.start));
        let message = match key {
            Some(key) => format!("{key}: {}", explain(error.message())),
            None => explain(error.message()),
        };
        Problem::in_file(&self.path, line, message)
    }

    /// A problem with `key`, or with what was read from its file, at its line if this file sets it.
    fn problem(&self, key: &str, read: &Read, why: &str) -> Problem {
        let (key, message) = match read.get(key) {
            Some(file) => {
                let key = format!("{key}_file");
                let message = format!("{key}: the content of {file} {why}");
                (key, message)
            }
            None => (key.to_owned(), format!("{key}: {why}")),
        };
        match self.line(&key) {
            Some(line) => Problem::in_file(&self.path, Some(line), message),
            None => Problem::new(message),
        }
    }

    fn line(&self, key: &str) -> Option<usize> {
        let parsed = DeTable::parse(&self.text).ok()?;
        let offset = offset_of(parsed.get_ref(), &path_of(key))?;
        Some(line_of(&self.text, offset))
    }
}

fn offset_of(table: &DeTable<'_>, path: &[String]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let (key, value): (&Spanned<_>, &Spanned<DeValue<'_>>) =
        table.iter().find(|(key, _)| key.get_ref().as_ref() == first)?;
    if let DeValue::Table(inner) = value.get_ref()
        && !rest.is_empty()
    {
        return offset_of(inner, rest);
    }
    Some(key.span().start)
}
