//! What a table holds, field by field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::aggregate::numbers;
use super::order::{total, type_name};
use super::table::Table;

/// For each field: how often it has a value, how many different ones, of which types, the least and the
/// greatest, and the mean of numbers.
pub(super) fn profile(table: &Table) -> Value {
    let fields = table.fields.iter().map(|name| {
        let values: Vec<(usize, &Value)> = table
            .rows
            .iter()
            .enumerate()
            .filter_map(|(at, row)| Some((at, row.get(name)?)))
            .filter(|(_, value)| !value.is_null())
            .collect();
        let mut types: BTreeMap<&str, usize> = BTreeMap::new();
        let mut distinct = BTreeSet::new();
        for (_, value) in &values {
            *types.entry(type_name(value)).or_default() += 1;
            distinct.insert(value.to_string());
        }
        let ordered = || values.iter().map(|(_, value)| *value);
        json!({
            "field": name,
            "values": values.len(),
            "missing": table.rows.len() - values.len(),
            "distinct": distinct.len(),
            "types": types,
            "min": ordered().min_by(|left, right| total(left, right)),
            "max": ordered().max_by(|left, right| total(left, right)),
            // Nothing where not all are numbers.
            "mean": numbers(&values, name).map_or(Value::Null, |numbers| numbers.mean()),
        })
    });
    json!({"count": table.rows.len(), "fields": fields.collect::<Vec<_>>()})
}
