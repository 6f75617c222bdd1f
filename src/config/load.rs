//! From file, environment and command line to one valid configuration.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::error::{ConfigError, Problem, explain, line_of};
use super::{Config, environment, secret_files};

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
        let mut table = parse(&source)?;
        environment::apply(&mut table, &sources.environment)?;
        for (key, value) in &sources.options {
            environment::set(&mut table, &path_of(key), Value::String(value.clone()))
                .map_err(Problem::new)?;
        }
        secret_files::read_into(&mut table)?;
        Self::of_table(table, &source)
    }

    /// What a file with this text says. Files that it names are not read.
    ///
    /// # Errors
    /// As for [`Config::load`].
    #[cfg(any(test, feature = "testing"))]
    pub fn from_text(text: &str) -> Result<Self, ConfigError> {
        let source = Source { path: PathBuf::from("text"), text: text.to_owned() };
        Self::of_table(parse(&source)?, &source)
    }

    /// What all sources together say; `source` tells where.
    fn of_table(table: Table, source: &Source) -> Result<Self, ConfigError> {
        let config: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| Problem::new(explain(error.message())))?;
        let invalid = config.invalid();
        if invalid.is_empty() {
            return Ok(config);
        }
        let problem = |(key, message): (&str, String)| source.problem(key, &message);
        Err(ConfigError(invalid.into_iter().map(problem).collect()))
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

/// Parses the file twice: as a whole configuration, which finds errors with their lines, and as a
/// table to merge into.
fn parse(source: &Source) -> Result<Table, ConfigError> {
    let located = |error: toml::de::Error| {
        let line = error.span().map(|span| line_of(&source.text, span.start));
        let key = error.span().and_then(|span| key_before(&source.text, span.start));
        let message = match key {
            Some(key) => format!("{key}: {}", explain(error.message())),
            None => explain(error.message()),
        };
        Problem::in_file(&source.path, line, message)
    };
    toml::from_str::<Config>(&source.text).map_err(located)?;
    Ok(toml::from_str(&source.text).map_err(located)?)
}

/// The key whose value begins at byte `offset`, if one does.
fn key_before(text: &str, offset: usize) -> Option<&str> {
    let line = text.get(..offset)?.lines().next_back()?;
    Some(line.trim_end().strip_suffix('=')?.trim()).filter(|key| !key.is_empty())
}

impl Source {
    /// A problem with `key`, at its line if the file sets it.
    fn problem(&self, key: &str, message: &str) -> Problem {
        let message = format!("{key}: {message}");
        match self.line(key) {
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
