//! Which commands may be run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::plan::StepId;
use crate::tool::TOOL_TIMEOUT;

/// What the shell tool may run. Nothing unless it is listed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The commands.
    pub commands: Vec<Allowed>,
}

/// A command that may be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allowed {
    /// What it is called by: a letter, then letters, digits and underscores.
    pub name: String,
    /// For people, and for a model that plans.
    pub description: String,
    /// The program and its arguments, which no shell sees. `{name}` in an argument stands for the
    /// parameter of that name; without a parameter of that name it stands for itself.
    pub argv: Vec<String>,
    /// What the caller fills in, by name.
    pub parameters: BTreeMap<String, Placeholder>,
    /// Where it runs; absolute. Empty is `/`.
    pub directory: PathBuf,
    /// Names of variables of the node's environment that it sees, beside `PATH` and `LANG`. It also sees
    /// `PERENNIAL_KEY` and `PERENNIAL_CALL`, which name its call and the attempt.
    pub environment: Vec<String>,
    /// After this long it is killed, with everything it has started.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Whether it changes anything. One that does not is run again after a crash of the node.
    pub changes_world: bool,
    /// The exit codes that are no failure. Only 0 if there are none.
    pub exit_codes: Vec<i32>,
}

impl Default for Allowed {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            argv: Vec::new(),
            parameters: BTreeMap::new(),
            directory: PathBuf::new(),
            environment: Vec::new(),
            timeout: TOOL_TIMEOUT,
            changes_world: false,
            exit_codes: Vec::new(),
        }
    }
}

/// What a caller may fill in: what matches `pattern`, or is one of `choices`. One of them must be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Placeholder {
    /// A regular expression for the whole value.
    pub pattern: String,
    /// The only values.
    pub choices: Vec<String>,
    /// What it is if the caller gives nothing. Without it, it must be given.
    pub default: Option<String>,
    /// Whether an argument may begin with a dash by it, and so be taken for an option.
    pub may_begin_with_dash: bool,
}

impl Placeholder {
    /// Why `value` may not stand here.
    pub(super) fn refuses(&self, value: &str) -> Option<String> {
        if value.contains('\0') {
            return Some("holds a zero byte, which no argument can".to_owned());
        }
        if !self.choices.is_empty() {
            let known = self.choices.iter().any(|choice| choice == value);
            return (!known).then(|| format!("must be one of {}", self.choices.join(", ")));
        }
        match whole(&self.pattern) {
            Ok(pattern) if pattern.is_match(value) => None,
            Ok(_) => Some(format!("must match `{}`", self.pattern)),
            Err(error) => Some(format!("cannot be checked: {error}")),
        }
    }

    fn problem(&self) -> Option<String> {
        if self.pattern.is_empty() == self.choices.is_empty() {
            return Some("needs either pattern or choices".to_owned());
        }
        // By itself as well: with the brackets around it, `a)|(b` would be anchored at neither end.
        if self.choices.is_empty()
            && let Err(error) = Regex::new(&self.pattern).and_then(|_| whole(&self.pattern))
        {
            return Some(format!("has a pattern that is none: {error}"));
        }
        let default = self.default.as_deref()?;
        self.refuses(default).map(|why| format!("has a default that {why}"))
    }
}

/// `pattern` for all of a text. The end is the end, not a line's.
fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!(r"\A(?:{pattern})\z"))
}

impl Config {
    /// What is wrong with it, each sentence beginning with the key it is about.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut names = BTreeSet::new();
        for (at, command) in self.commands.iter().enumerate() {
            let key = format!("commands[{at}]");
            if !names.insert(&command.name) {
                problems.push(format!("{key}.name: there are two commands `{}`", command.name));
            }
            problems.extend(command.problems().into_iter().map(|why| format!("{key}.{why}")));
        }
        problems
    }
}

impl Allowed {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut refuse = |wrong: bool, why: &str| {
            if wrong {
                problems.push(why.to_owned());
            }
        };
        refuse(
            !StepId::is_valid(&self.name),
            "name must be a letter, then letters, digits and underscores",
        );
        refuse(
            self.argv.first().is_none_or(String::is_empty),
            "argv must begin with the program to run",
        );
        refuse(
            !self.directory.as_os_str().is_empty() && !self.directory.is_absolute(),
            "directory must be an absolute path",
        );
        refuse(self.timeout.is_zero(), "timeout must be longer than nothing");
        for (name, placeholder) in &self.parameters {
            refuse(
                !StepId::is_valid(name),
                &format!("parameters.{name} must be a letter, then letters, digits, underscores"),
            );
            let used = self.argv.iter().skip(1).any(|part| part.contains(&format!("{{{name}}}")));
            refuse(
                !used,
                &format!(
                    "parameters.{name} stands nowhere in argv behind the program as {{{name}}}"
                ),
            );
            if let Some(why) = placeholder.problem() {
                refuse(true, &format!("parameters.{name} {why}"));
            }
        }
        problems
    }

    /// Whether `code` is no failure.
    pub(super) fn accepts(&self, code: i32) -> bool {
        code == 0 && self.exit_codes.is_empty() || self.exit_codes.contains(&code)
    }
}
