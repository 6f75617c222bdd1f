//! Arguments of calls, by name.

use std::collections::BTreeMap;

use perennial_query::tool::{Call, Identity, ToolError};
use serde_json::Value;

use crate::library::Filter;

/// Characters of a query.
const MOST_QUERY: usize = 10_000;
/// Chunks that a search gives unless it is asked for another number.
const TOP_K: u64 = 10;

/// A text; none if it is not given.
pub(super) fn text(call: &Call, name: &str) -> Result<Option<String>, ToolError> {
    match call.arguments.0.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(ToolError::invalid(format!("{name} must be a string, not {other}"))),
    }
}

/// A text that must be given.
pub(super) fn required(call: &Call, name: &str) -> Result<String, ToolError> {
    text(call, name)?.ok_or_else(|| ToolError::invalid(format!("{name} is required")))
}

/// A number from `least` to `most`.
pub(super) fn number(call: &Call, name: &str, default: u64, most: u64) -> Result<u64, ToolError> {
    let given = call.arguments.0.get(name).filter(|value| !value.is_null());
    let number = given.map_or(Some(default), Value::as_u64);
    number.filter(|number| (1..=most).contains(number)).ok_or_else(|| {
        ToolError::invalid(format!("{name} must be a whole number from 1 to {most}"))
    })
}

/// Names and values that are strings.
pub(super) fn strings(call: &Call, name: &str) -> Result<BTreeMap<String, String>, ToolError> {
    let entries = match call.arguments.0.get(name) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(entries)) => entries,
        Some(other) => {
            return Err(ToolError::invalid(format!("{name} must be an object, not {other}")));
        }
    };
    let entry = |(key, value): (&String, &Value)| match value.as_str() {
        Some(text) => Ok((key.clone(), text.to_owned())),
        None => Err(ToolError::invalid(format!("{name}.{key} must be a string, not {value}"))),
    };
    entries.iter().map(entry).collect()
}

/// One of a few names; none if it is not given.
pub(super) fn choice<T: Copy>(
    call: &Call,
    name: &str,
    choices: &[(&str, T)],
) -> Result<Option<T>, ToolError> {
    let Some(given) = text(call, name)? else { return Ok(None) };
    let found = choices.iter().find(|(choice, _)| *choice == given);
    let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
    found.map(|(_, value)| Some(*value)).ok_or_else(|| {
        ToolError::invalid(format!("{name} must be one of {}, not `{given}`", names.join(", ")))
    })
}

/// What all searches are asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) query: String,
    pub(super) filter: Filter,
    pub(super) top_k: usize,
    pub(super) identity: Identity,
}

/// Reads what all searches are asked.
pub(super) fn asked(call: &Call) -> Result<Asked, ToolError> {
    let query = required(call, "query")?;
    if query.chars().count() > MOST_QUERY {
        return Err(ToolError::invalid(format!("query has more than {MOST_QUERY} characters")));
    }
    let top_k = number(call, "top_k", TOP_K, 100)?;
    let filter = Filter {
        document: text(call, "document")?,
        team: text(call, "team")?,
        metadata: strings(call, "metadata")?,
    };
    let top_k = usize::try_from(top_k).unwrap_or(usize::MAX);
    Ok(Asked { query, filter, top_k, identity: call.identity.clone() })
}
