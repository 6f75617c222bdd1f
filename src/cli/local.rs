//! Commands that need no node.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::{counted, no_data, print};
use crate::config::{Config, Sources};
use crate::documents::{Checked, check};
use crate::exit::{Exit, Failure};
use crate::node::{catalogue, check_schedules};
use crate::table::Table;

/// Judges the file as a node here would: together with the environment.
pub(super) fn check_config(file: PathBuf) -> Result<(), Failure> {
    let name = file.display().to_string();
    let config = Config::load(&Sources::of_process(Some(file)))?;
    let mut warnings = config.warnings();
    let catalogue = Arc::new(catalogue(&config)?);
    let Checked { mut errors, warnings: of_documents } = check(&config.query, &catalogue);
    warnings.extend(of_documents);
    // A table of intents that cannot be read is found by both.
    let schedules =
        check_schedules(&config.query, catalogue).err().map(|failure| failure.to_string());
    errors.extend(schedules.filter(|found| !errors.contains(found)));
    for warning in &warnings {
        // Standard error may be closed, which is no reason to fail.
        drop(writeln!(io::stderr().lock(), "warning: {warning}"));
    }
    if !errors.is_empty() {
        return Err(Failure::new(Exit::Config, errors.join("\n")));
    }
    match warnings.len() {
        0 => print(&format!("{name} is valid")),
        1 => print(&format!("{name} is valid, with 1 warning")),
        count => print(&format!("{name} is valid, with {count} warnings")),
    }
}

pub(super) fn dump_config(file: Option<PathBuf>) -> Result<(), Failure> {
    let config = Config::load(&Sources::of_process(file))?;
    let text = config.to_toml().map_err(|error| Failure::new(Exit::Software, error))?;
    print(&text)
}

pub(super) fn check_data(dir: &Path, json: bool) -> Result<(), Failure> {
    let report = perennial_store::check_data(dir);
    let report = report.map_err(|error| no_data(dir, &error).unwrap_or_else(|| error.into()))?;
    let damaged = &report.corrupted;
    if json {
        let corrupted: Vec<_> =
            damaged.iter().map(|(key, reason)| json!({ "key": key, "reason": reason })).collect();
        let report = json!({
            "records": report.records,
            "bytes": report.bytes,
            "corrupted": corrupted,
        });
        print(&format!("{report:#}"))?;
    } else {
        let (records, bytes) = (counted(report.records, "record"), counted(report.bytes, "byte"));
        print(&format!("{records}, {bytes}, {} corrupt", damaged.len()))?;
        if !damaged.is_empty() {
            let mut table = Table::new(&["KEY", "REASON"]);
            damaged.iter().for_each(|(key, reason)| table.row([key.clone(), reason.clone()]));
            print(&table.to_string())?;
        }
    }
    if damaged.is_empty() {
        return Ok(());
    }
    let records = counted(damaged.len() as u64, "corrupt record");
    let why = format!("{} holds {records}; restore it from a backup", dir.display());
    Err(Failure::new(Exit::Data, why))
}
