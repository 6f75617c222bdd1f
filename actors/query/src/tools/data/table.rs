//! Rows, from JSON or CSV and back.

use std::collections::BTreeSet;

use csv::{ReaderBuilder, WriterBuilder};
use serde_json::{Map, Value};

/// Rows that one call takes.
pub(super) const ROWS: usize = 10_000;
/// Digits that a number can hold without loss.
const DIGITS: usize = 15;

/// A row: fields by name.
pub(super) type Row = Map<String, Value>;

/// Rows with an order of their fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table {
    /// Every field of every row, in the order in which they come in CSV.
    pub(super) fields: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// How CSV is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// Whether cells stay text, even if they look like numbers.
    pub(super) text: bool,
}

impl Table {
    /// A table of JSON objects.
    ///
    /// # Errors
    /// Which row is none, or that there are too many.
    pub(super) fn of(rows: &[Value]) -> Result<Self, String> {
        let mut table = Self::default();
        let mut seen = BTreeSet::new();
        for (at, row) in rows.iter().enumerate() {
            let row = row.as_object().ok_or_else(|| format!("row {at} is no object: {row}"))?;
            table.add(at, row.clone())?;
            for name in row.keys() {
                if seen.insert(name) {
                    table.fields.push(name.clone());
                }
            }
        }
        Ok(table)
    }

    /// A table of CSV (RFC 4180) with a line of names.
    ///
    /// # Errors
    /// Which line is malformed, or that there are too many.
    pub(super) fn of_csv(text: &str, dialect: Dialect) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader =
            ReaderBuilder::new().delimiter(dialect.delimiter).from_reader(text.as_bytes());
        let malformed = |error: csv::Error| format!("the CSV is malformed: {error}");
        let fields: Vec<String> =
            reader.headers().map_err(malformed)?.iter().map(str::to_owned).collect();
        let names: BTreeSet<&String> = fields.iter().collect();
        if names.len() < fields.len() {
            return Err(format!("the CSV has two columns of one name: {}", fields.join(", ")));
        }
        let mut table = Self { fields: fields.clone(), rows: Vec::new() };
        for (at, record) in reader.records().enumerate() {
            let record = record.map_err(malformed)?;
            let cells = record.iter().map(|cell| typed(cell, dialect.text));
            table.add(at, fields.iter().cloned().zip(cells).collect())?;
        }
        Ok(table)
    }

    fn add(&mut self, at: usize, row: Row) -> Result<(), String> {
        if at >= ROWS {
            return Err(format!("there are more than {ROWS} rows; take fewer at a time"));
        }
        self.rows.push(row);
        Ok(())
    }

    /// Its rows as JSON.
    pub(super) fn into_json(self) -> Value {
        Value::Array(self.rows.into_iter().map(Value::Object).collect())
    }

    /// It as CSV, with a line of names.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn to_csv(&self, delimiter: u8) -> Result<String, String> {
        let mut writer = WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
        let failed = |error: csv::Error| format!("the CSV cannot be written: {error}");
        writer.write_record(&self.fields).map_err(failed)?;
        for row in &self.rows {
            let cells = self.fields.iter().map(|name| cell(row.get(name)));
            writer.write_record(cells).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    }
}

/// The value of a cell. Only what is written as JSON would write it is a number, so that codes and
/// identifiers such as `007` stay what they are.
fn typed(cell: &str, text: bool) -> Value {
    if text {
        return Value::from(cell);
    }
    match cell {
        "" => Value::Null,
        "true" => Value::from(true),
        "false" => Value::from(false),
        _ => integer(cell).or_else(|| decimal(cell)).unwrap_or_else(|| Value::from(cell)),
    }
}

fn integer(cell: &str) -> Option<Value> {
    let number: i64 = cell.parse().ok()?;
    (number.to_string() == cell).then(|| Value::from(number))
}

fn decimal(cell: &str) -> Option<Value> {
    let (whole, fraction) = cell.strip_prefix('-').unwrap_or(cell).split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading = whole.len() > 1 && whole.starts_with('0');
    if !digits(whole) || !digits(fraction) || leading || whole.len() + fraction.len() > DIGITS {
        return None;
    }
    cell.parse::<f64>().ok().map(Value::from)
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))) => {
            value.to_string()
        }
    }
}

/// The value of a field: `name` itself, or a path into objects, as in `user.tier`.
pub(super) fn field<'a>(row: &'a Row, name: &str) -> Option<&'a Value> {
    row.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        field(row.get(first)?.as_object()?, rest)
    })
}
