//! Groups of rows and figures of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::order::{total, type_name};
use super::table::{Row, Table, field};

/// Up to here every whole number is exact as a floating-point one (2^53).
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Every function, by name.
const FUNCTIONS: [(&str, Function); 8] = [
    ("sum", Function::Sum),
    ("avg", Function::Mean),
    ("mean", Function::Mean),
    ("count", Function::Count),
    ("count_distinct", Function::CountDistinct),
    ("min", Function::Min),
    ("max", Function::Max),
    ("median", Function::Median),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Sum,
    Mean,
    Count,
    CountDistinct,
    Min,
    Max,
    Median,
}

/// A figure of a group.
#[derive(Debug)]
struct Figure {
    function: Function,
    /// Nothing where rows are counted.
    field: Option<String>,
    name: String,
}

/// Groups `table` by the values of `by`, in the order in which they first come, and gives the figures of
/// each. Without `by`, all rows are one group. Values that are nothing are left out of a figure, and a
/// figure of nothing else is nothing.
///
/// # Errors
/// Which figure is malformed, or which row has a value that it cannot be made of.
pub(super) fn aggregate(table: &Table, by: &[String], figures: &[Value]) -> Result<Table, String> {
    let read = |(at, value)| read(value).map_err(|why| format!("aggregates[{at}] {why}"));
    let figures: Result<Vec<Figure>, String> = figures.iter().enumerate().map(read).collect();
    let figures = figures?;
    let fields: Vec<String> =
        by.iter().cloned().chain(figures.iter().map(|figure| figure.name.clone())).collect();
    if fields.iter().collect::<BTreeSet<_>>().len() < fields.len() {
        return Err(format!("two results have one name: {}; use `as`", fields.join(", ")));
    }
    let mut rows = Vec::new();
    for (key, group) in groups(table, by) {
        let mut row: Row = by.iter().cloned().zip(key).collect();
        for figure in &figures {
            row.insert(figure.name.clone(), figure.of(&group)?);
        }
        rows.push(row);
    }
    Ok(Table { fields, rows })
}

/// A row with its place in the table.
type Numbered<'a> = (usize, &'a Row);

fn groups<'a>(table: &'a Table, by: &[String]) -> Vec<(Vec<Value>, Vec<Numbered<'a>>)> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut groups: Vec<(Vec<Value>, Vec<Numbered<'a>>)> = Vec::new();
    if by.is_empty() {
        groups.push((Vec::new(), Vec::new()));
        places.insert("[]".to_owned(), 0);
    }
    for (at, row) in table.rows.iter().enumerate() {
        let key: Vec<Value> =
            by.iter().map(|name| field(row, name).cloned().unwrap_or_default()).collect();
        let place = *places.entry(Value::from(key.clone()).to_string()).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push((at, row));
    }
    groups
}

fn read(value: &Value) -> Result<Figure, String> {
    let object = value.as_object().ok_or("must be an object of `function`, `field` and `as`")?;
    let known = ["function", "field", "as"];
    if let Some(unknown) = object.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("has an unknown key `{unknown}`; it takes {}", known.join(", ")));
    }
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let name = text("function").ok_or("needs `function`, a name")?;
    let function =
        FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function);
    let function = function.ok_or_else(|| {
        let known: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
        format!("has the unknown function `{name}`; known are {}", known.join(", "))
    })?;
    let field = text("field").map(str::to_owned);
    if field.is_none() && function != Function::Count {
        return Err(format!("needs `field`, a name, for `{name}`"));
    }
    let own = match &field {
        Some(field) => format!("{field}_{name}"),
        None => name.to_owned(),
    };
    Ok(Figure { function, field, name: text("as").map_or(own, str::to_owned) })
}

impl Figure {
    fn of(&self, group: &[Numbered<'_>]) -> Result<Value, String> {
        let Some(name) = &self.field else { return Ok(json!(group.len())) };
        let values: Vec<(usize, &Value)> = group
            .iter()
            .filter_map(|(at, row)| Some((*at, field(row, name)?)))
            .filter(|(_, value)| !value.is_null())
            .collect();
        let numbers = || numbers(&values, name);
        Ok(match self.function {
            Function::Count => json!(values.len()),
            Function::CountDistinct => {
                let distinct: BTreeSet<String> =
                    values.iter().map(|(_, value)| value.to_string()).collect();
                json!(distinct.len())
            }
            Function::Sum => numbers()?.sum(),
            Function::Mean => numbers()?.mean(),
            Function::Median => numbers()?.median(),
            Function::Min => ordered(&values, name)?.first().copied().cloned().unwrap_or_default(),
            Function::Max => ordered(&values, name)?.last().copied().cloned().unwrap_or_default(),
        })
    }
}

/// Values from the least to the greatest, if they are of one type.
fn ordered<'a>(values: &[(usize, &'a Value)], name: &str) -> Result<Vec<&'a Value>, String> {
    let first = values.first().map_or("", |(_, value)| type_name(value));
    if let Some((at, other)) = values.iter().find(|(_, value)| type_name(value) != first) {
        return Err(format!(
            "`{name}` is a {} in row {at} and a {first} before: they have no order",
            type_name(other)
        ));
    }
    let mut ordered: Vec<&Value> = values.iter().map(|(_, value)| *value).collect();
    ordered.sort_by(|left, right| total(left, right));
    Ok(ordered)
}

/// Numbers, from the least to the greatest.
pub(super) struct Numbers {
    values: Vec<f64>,
    /// Their sum, if all are whole.
    whole: Option<i128>,
}

pub(super) fn numbers(values: &[(usize, &Value)], name: &str) -> Result<Numbers, String> {
    let mut numbers = Numbers { values: Vec::new(), whole: Some(0) };
    for (at, value) in values {
        let number =
            value.as_f64().ok_or_else(|| format!("`{name}` is no number in row {at}: {value}"))?;
        numbers.values.push(number);
        let whole = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
        numbers.whole = numbers.whole.zip(whole).map(|(sum, whole)| sum + whole);
    }
    numbers.values.sort_by(f64::total_cmp);
    Ok(numbers)
}

impl Numbers {
    fn sum(&self) -> Value {
        if self.values.is_empty() {
            return Value::Null;
        }
        match self.whole.map(i64::try_from) {
            Some(Ok(whole)) => json!(whole),
            Some(Err(_)) | None => json!(self.values.iter().sum::<f64>()),
        }
    }

    pub(super) fn mean(&self) -> Value {
        let Ok(count) = u32::try_from(self.values.len()) else { return Value::Null };
        if count == 0 {
            return Value::Null;
        }
        let whole = self.whole.filter(|whole| whole % i128::from(count) == 0);
        let exact = whole.and_then(|whole| i64::try_from(whole / i128::from(count)).ok());
        match exact {
            Some(mean) => json!(mean),
            None => number(self.values.iter().sum::<f64>() / f64::from(count)),
        }
    }

    fn median(&self) -> Value {
        let count = self.values.len();
        let middle = self.values.get(count / 2).copied();
        let before = self.values.get((count / 2).wrapping_sub(1)).copied();
        match (middle, before) {
            (Some(middle), Some(before)) if count.is_multiple_of(2) => {
                number(f64::midpoint(before, middle))
            }
            (Some(middle), _) => number(middle),
            (None, _) => Value::Null,
        }
    }
}

/// A number as it would be written: a whole one without a fraction.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < EXACT {
        return json!(value as i64);
    }
    json!(value)
}
