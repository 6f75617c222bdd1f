//! Working on rows: filtering, grouping, sorting, converting. Pure; nothing is read but the arguments.

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::plan::ValueType;
use crate::tool::{Call, Parameter, Tool, ToolAnswer, ToolError, ToolSpec, Toolbox};

mod aggregate;
mod condition;
mod order;
mod profile;
mod table;

use condition::Conditions;
use table::{Dialect, Table, field};

/// The tool's name.
pub const NAME: &str = "data";

/// What it does, and the parameters that not every action takes.
const ACTIONS: [(&str, &[&str]); 6] = [
    ("filter", &["limit"]),
    ("aggregate", &["group_by", "aggregates", "limit"]),
    ("sort", &["by", "limit"]),
    ("select", &["fields", "limit"]),
    ("convert", &["to", "limit"]),
    ("profile", &[]),
];

/// What every action takes.
const COMMON: [&str; 7] = ["action", "rows", "csv", "delimiter", "text", "where", "match"];

/// Adds the tool. It reaches nothing, so there is nothing to configure.
#[must_use]
pub fn add(toolbox: Toolbox) -> Toolbox {
    toolbox.with(Data { spec: spec() })
}

/// The tool `data`: an `action` on `rows` or `csv`.
#[derive(Debug)]
struct Data {
    spec: ToolSpec,
}

impl Tool for Data {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        let answer = run(&call.arguments.0).map(ToolAnswer::from).map_err(ToolError::invalid);
        Box::pin(async { answer })
    }
}

fn run(arguments: &Value) -> Result<Value, String> {
    let action = arguments["action"].as_str().unwrap_or_default();
    let own = ACTIONS.iter().find(|(name, _)| *name == action).map(|(_, own)| *own);
    let own = own.ok_or_else(|| format!("`action` cannot be `{action}`"))?;
    let given = arguments.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    if let Some(idle) = given.into_iter().find(|name| !COMMON.contains(name) && !own.contains(name))
    {
        return Err(format!("`{idle}` means nothing to `{action}`"));
    }
    let mut table = read(arguments)?;
    let any = arguments["match"].as_str() == Some("any");
    let conditions = Conditions::read(list(arguments, "where"), any)?;
    table.rows.retain(|row| conditions.hold(row));
    match action {
        "aggregate" => {
            let figures = list(arguments, "aggregates");
            if figures.is_empty() {
                return Err("`aggregates` must hold at least one figure".to_owned());
            }
            table = aggregate::aggregate(&table, &names(arguments, "group_by")?, figures)?;
        }
        "sort" => sort(&mut table, &names(arguments, "by")?)?,
        "select" => table = select(&table, &names(arguments, "fields")?)?,
        "profile" => return Ok(profile::profile(&table)),
        _ => {}
    }
    if let Some(limit) = arguments["limit"].as_u64() {
        table.rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let count = table.rows.len();
    if action == "convert" && arguments["to"].as_str() == Some("csv") {
        return Ok(json!({"csv": table.to_csv(delimiter(arguments)?)?, "count": count}));
    }
    Ok(json!({"rows": table.into_json(), "count": count}))
}

fn read(arguments: &Value) -> Result<Table, String> {
    let text = arguments["text"].as_bool();
    let to_csv = arguments["to"].as_str() == Some("csv");
    if arguments["rows"].is_array()
        && (text.is_some() || arguments["delimiter"].is_string() && !to_csv)
    {
        return Err("`text` and `delimiter` mean nothing to `rows`".to_owned());
    }
    let text = text.unwrap_or_default();
    match (arguments["rows"].as_array(), arguments["csv"].as_str()) {
        (Some(rows), None) => Table::of(rows),
        (None, Some(csv)) => Table::of_csv(csv, Dialect { delimiter: delimiter(arguments)?, text }),
        (None, None) | (Some(_), Some(_)) => Err("give either `rows` or `csv`".to_owned()),
    }
}

fn delimiter(arguments: &Value) -> Result<u8, String> {
    match arguments["delimiter"].as_str().unwrap_or(",").as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("`delimiter` must be one ASCII character".to_owned()),
    }
}

fn list<'a>(arguments: &'a Value, name: &str) -> &'a [Value] {
    arguments[name].as_array().map_or(&[], Vec::as_slice)
}

/// A list of names of fields.
fn names(arguments: &Value, parameter: &str) -> Result<Vec<String>, String> {
    let name = |value: &Value| {
        let text = value.as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned)
            .ok_or_else(|| format!("`{parameter}` holds {value}, which is no name"))
    };
    list(arguments, parameter).iter().map(name).collect()
}

/// Sorts by the fields, one after the other; a dash before a name turns its order round. Rows that are
/// equal keep their order.
fn sort(table: &mut Table, by: &[String]) -> Result<(), String> {
    if by.is_empty() {
        return Err("`by` must name at least one field".to_owned());
    }
    let nothing = Value::Null;
    table.rows.sort_by(|left, right| {
        let orders = by.iter().map(|name| {
            let (name, turned) =
                name.strip_prefix('-').map_or((name.as_str(), false), |n| (n, true));
            let value = |row| field(row, name).unwrap_or(&nothing);
            let order = order::total(value(left), value(right));
            if turned { order.reverse() } else { order }
        });
        orders.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    Ok(())
}

/// These fields only. One that no row has is a slip and refused.
fn select(table: &Table, fields: &[String]) -> Result<Table, String> {
    if fields.is_empty() {
        return Err("`fields` must name at least one field".to_owned());
    }
    if fields.iter().collect::<BTreeSet<_>>().len() < fields.len() {
        return Err(format!("`fields` names a field twice: {}", fields.join(", ")));
    }
    let there = |name: &&String| table.rows.iter().any(|row| field(row, name).is_some());
    if let Some(unknown) = fields.iter().find(|name| !table.rows.is_empty() && !there(name)) {
        let known = table.fields.join(", ");
        return Err(format!("`fields` names `{unknown}`, which no row has; there are {known}"));
    }
    let pick = |row| {
        let pairs = fields.iter();
        pairs.map(|name| (name.clone(), field(row, name).cloned().unwrap_or_default())).collect()
    };
    Ok(Table { fields: fields.to_vec(), rows: table.rows.iter().map(pick).collect() })
}

fn spec() -> ToolSpec {
    let actions: Vec<&str> = ACTIONS.iter().map(|(name, _)| *name).collect();
    let optional = Parameter::optional;
    ToolSpec::new(NAME, "Filters, groups, sorts and converts rows: a list of objects, or CSV with a line of names.")
        .parameter(Parameter::required("action", ValueType::String, "What is done.").of(&actions))
        .parameter(optional("rows", ValueType::Array, "The rows, as objects."))
        .parameter(optional("csv", ValueType::String, "The rows, as CSV."))
        .parameter(optional("delimiter", ValueType::String, "What divides the cells of CSV; a comma if it is not given."))
        .parameter(optional("text", ValueType::Boolean, "Whether cells of CSV stay text even if they look like numbers."))
        .parameter(optional("where", ValueType::Array, "Only rows of which this holds: objects of `field`, `operator` (eq, ne, lt, le, gt, ge, in, not_in, contains, not_contains, starts_with, ends_with, matches, exists, is_null, not_null) and `value`."))
        .parameter(optional("match", ValueType::String, "Whether all conditions must hold, or any.").of(&["all", "any"]))
        .parameter(optional("group_by", ValueType::Array, "aggregate: names of the fields whose values make a group."))
        .parameter(optional("aggregates", ValueType::Array, "aggregate: objects of `function` (sum, avg, mean, count, count_distinct, min, max, median), `field` and `as`."))
        .parameter(optional("by", ValueType::Array, "sort: names of fields, with a dash before those whose order is turned round."))
        .parameter(optional("fields", ValueType::Array, "select: names of the fields that are kept."))
        .parameter(optional("to", ValueType::String, "convert: what it becomes; json if it is not given.").of(&["json", "csv"]))
        .parameter(Parameter { minimum: Some(0.0), ..optional("limit", ValueType::Integer, "At most so many rows of the result.") })
}

#[cfg(test)]
mod tests;
