//! Where in a plan something is, and what was found there.

use std::fmt;

use super::{Finding, Severity};
use crate::names;
use crate::plan::{Step, StepId};

/// Only so many findings are searched for what was meant: it takes a look at every known name each time.
const SUGGESTIONS: usize = 100;

/// Characters of a name.
pub(crate) const MAX_NAME: usize = 64;
/// Bytes of a path that has no longer ones in it: what is deeper is told to be there. Otherwise the paths of
/// a document could be far longer than the document.
const DEEPEST: usize = 256;

/// A place in a plan, as a document has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of the step that it is in.
    pub(crate) at: Option<usize>,
    /// The id of that step.
    pub(crate) step: Option<StepId>,
    /// From the step, or else from the document.
    pub(crate) path: String,
}

impl Place {
    pub(crate) fn of_plan(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    pub(crate) fn of_step(at: usize, step: &Step) -> Self {
        let id = StepId(step.id.as_str().chars().take(MAX_NAME).collect());
        Self { at: Some(at), step: Some(id), path: String::new() }
    }

    /// A named part of what is here.
    pub(crate) fn field(&self, name: impl fmt::Display) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.part(&format!("{dot}{name}"))
    }

    /// An element of what is here.
    pub(crate) fn item(&self, at: usize) -> Self {
        self.part(&format!("[{at}]"))
    }

    fn part(&self, name: &str) -> Self {
        if self.path.len() > DEEPEST {
            return self.clone();
        }
        let name = name.chars().take(MAX_NAME);
        Self { path: self.path.chars().chain(name).collect(), ..self.clone() }
    }

    /// What this is a part of, within the same step.
    pub(crate) fn parent(&self) -> Option<Self> {
        let end = match self.path.rfind(['.', '[']) {
            Some(end) => end,
            None if self.path.is_empty() => return None,
            None => 0,
        };
        Some(Self { path: self.path[..end].to_owned(), ..self.clone() })
    }

    fn finding(&self, severity: Severity, code: &'static str, message: String) -> Finding {
        let named = self.step.clone().filter(|step| !step.as_str().is_empty());
        let path = match (self.at, &named) {
            (Some(at), None) => {
                let dot = if self.path.is_empty() { "" } else { "." };
                format!("steps[{at}]{dot}{}", self.path)
            }
            (Some(_), Some(_)) | (None, _) => self.path.clone(),
        };
        Finding { severity, code, step: named, path, line: None, message, suggestion: None }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<(Place, Finding)>);

impl Findings {
    pub(crate) fn error(&mut self, place: &Place, code: &'static str, message: impl fmt::Display) {
        let finding = place.finding(Severity::Error, code, message.to_string());
        self.0.push((place.clone(), finding));
    }

    pub(crate) fn warning(
        &mut self,
        place: &Place,
        code: &'static str,
        message: impl fmt::Display,
    ) {
        let finding = place.finding(Severity::Warning, code, message.to_string());
        self.0.push((place.clone(), finding));
    }

    /// Says of the latest finding in which line it is.
    pub(crate) fn in_line(&mut self, line: Option<usize>) {
        if let Some((_, finding)) = self.0.last_mut() {
            finding.line = line;
        }
    }

    /// Says of the latest finding what was meant.
    pub(crate) fn suggest(&mut self, suggestion: Option<String>) {
        if let Some((_, finding)) = self.0.last_mut() {
            finding.suggestion = suggestion;
        }
    }

    /// Says of the latest finding which of the known names was probably meant.
    pub(crate) fn suggest_closest<'n>(
        &mut self,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        if self.0.len() <= SUGGESTIONS {
            self.suggest(names::closest(name, known).map(str::to_owned));
        }
    }

    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.0.into_iter().map(|(_, finding)| finding).collect()
    }
}
