//! Looking at every file of plans that a configuration names, before a node needs it.

use std::fs;
use std::path::Path;

use perennial_query::check::{Finding, Severity};
use perennial_query::config::Config;
use perennial_query::question::{self, Read};
use perennial_query::tool::Catalogue;
use perennial_query::{pipeline, rules};

use super::{DocumentError, Kind, Language, names, read, read_rules};

/// What was found, a line each with its file.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) errors: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Reads the table of intents, the pipelines and the rules that `config` names, to their ends.
pub(crate) fn check(config: &Config, catalogue: &Catalogue) -> Checked {
    let mut checked = Checked::default();
    checked.intents(&config.intents, catalogue);
    checked.directory(Kind::Pipelines, &config.pipelines, catalogue);
    checked.directory(Kind::Rules, &config.rules, catalogue);
    checked
}

impl Checked {
    fn intents(&mut self, path: &Path, catalogue: &Catalogue) {
        if path.as_os_str().is_empty() {
            return;
        }
        match fs::read_to_string(path) {
            Ok(text) => {
                let read = question::read(&text, catalogue);
                self.add(path, read.map(|Read { table: _, warnings }| warnings));
            }
            Err(error) => {
                let shown = path.display();
                self.errors.push(format!("query.intents: {shown} cannot be read: {error}"));
            }
        }
    }

    fn directory(&mut self, kind: Kind, directory: &Path, catalogue: &Catalogue) {
        let (key, shown) = (kind.as_str(), directory.display());
        let refused = |error: DocumentError| format!("query.{key}: in {shown}: {error}");
        let found = match names(kind, directory) {
            Ok(found) => found,
            Err(error) => return self.errors.push(format!("query.{key}: {error}")),
        };
        for name in found {
            let document = match read(kind, directory, &name) {
                Ok(document) => document,
                Err(error) => {
                    self.errors.push(refused(error));
                    continue;
                }
            };
            let ending = match document.language {
                Language::Yaml => "yaml",
                Language::Gherkin => "feature",
            };
            let findings = match kind {
                Kind::Pipelines => {
                    pipeline::read(&document.text, catalogue).map(|compiled| compiled.warnings)
                }
                Kind::Rules => {
                    let read = read_rules(&document, catalogue);
                    read.map(|rules::read::Read { warnings, .. }| warnings)
                }
            };
            self.add(&directory.join(format!("{name}.{ending}")), findings);
        }
    }

    fn add(&mut self, path: &Path, findings: Result<Vec<Finding>, Vec<Finding>>) {
        for finding in findings.unwrap_or_else(|findings| findings) {
            let line = format!("{}: {finding}", path.display());
            match finding.severity {
                Severity::Warning => self.warnings.push(line),
                Severity::Error => self.errors.push(line),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_read_and_everything_that_is_wrong_is_told_with_its_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let within = |name: &str| directory.path().join(name);
        fs::create_dir(within("pipelines")).unwrap();
        fs::create_dir(within("rules")).unwrap();
        let steps = "steps:\n  - {id: a, tool: nothing}\n  - {id: b, needs: c, value: 1}\n";
        fs::write(within("pipelines/wrong.yaml"), format!("name: wrong\n{steps}")).unwrap();
        fs::write(within("pipelines/fine.yaml"), "name: fine\nsteps:\n  - {id: a, value: 1}\n")
            .unwrap();
        fs::write(within("pipelines/no name.yaml"), "").unwrap();
        fs::write(within("rules/wrong.feature"), "Feature: rules\n  Scenario: one\n    Given x\n")
            .unwrap();
        fs::write(within("intents.yaml"), "intents: 3\n").unwrap();
        let config = Config {
            pipelines: within("pipelines"),
            rules: within("rules"),
            intents: within("intents.yaml"),
            ..Config::default()
        };
        let checked = check(&config, &Catalogue::default());
        let told = |file: &str, what: &str| {
            let found = |line: &&String| line.contains(file) && line.contains(what);
            assert!(checked.errors.iter().any(|line| found(&line)), "{file} {what}: {checked:?}");
        };
        told("intents.yaml: line 1: ", "");
        told("pipelines/wrong.yaml: line 3: ", "nothing");
        told("pipelines/wrong.yaml: line 4: ", "`c`");
        told("pipelines", "`no name`");
        told("rules/wrong.feature: line 3: ", "");
        assert!(!checked.errors.iter().any(|line| line.contains("fine")), "{checked:?}");
        let absent = Config { intents: within("absent"), rules: within("nowhere"), ..config };
        assert_eq!(check(&absent, &Catalogue::default()).errors.len(), 5, "{absent:?}");
    }
}
