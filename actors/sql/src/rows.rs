//! From batches of columns to rows of JSON.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type, Schema};
use datafusion::arrow::datatypes::{Int8Type, Int16Type, Int32Type, Int64Type};
use datafusion::arrow::datatypes::{UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use perennial_sql_protocol::{Answer, Column, Cut};
use serde_json::{Map, Value};

/// Rows as they are gathered, within bounds.
#[derive(Debug)]
pub(crate) struct Gathered {
    answer: Answer,
    rows: usize,
    bytes: usize,
}

impl Gathered {
    /// Takes so many rows, of so many bytes as JSON, of this schema.
    pub(crate) fn new(schema: &Schema, rows: usize, bytes: usize) -> Self {
        let column = |field: &std::sync::Arc<datafusion::arrow::datatypes::Field>| Column {
            name: field.name().clone(),
            r#type: type_name(field.data_type()),
        };
        let columns = schema.fields().iter().map(column).collect();
        Self { answer: Answer { columns, ..Answer::default() }, rows, bytes }
    }

    /// Adds the rows of `batch`; returns whether more may be added.
    ///
    /// # Errors
    /// A value cannot be shown, which is a defect.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<bool, ArrowError> {
        for at in 0..batch.num_rows() {
            let row = batch.columns().iter().map(|column| value(column, at));
            if !self.push(row.collect::<Result<_, _>>()?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds a row if it is within the bounds; returns whether it was, and so whether more may be added.
    pub(crate) fn push(&mut self, row: Vec<Value>) -> bool {
        if self.answer.rows.len() == self.rows {
            self.answer.cut = Some(Cut::Rows);
            return false;
        }
        let bytes = serde_json::to_vec(&row).map_or(usize::MAX, |text| text.len() + 1);
        if bytes > self.bytes {
            self.answer.cut = Some(Cut::Bytes);
            return false;
        }
        self.bytes -= bytes;
        self.answer.rows.push(row);
        true
    }

    pub(crate) fn answer(self, tables: Vec<String>) -> Answer {
        Answer { tables, ..self.answer }
    }
}

/// What a column holds, for people; what has no name of its own here is called as the engine does.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the engine's types are many, and it names them"
)]
fn type_name(held: &DataType) -> String {
    let name = match held {
        DataType::Null => "null",
        DataType::Boolean => "boolean",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string",
        held if held.is_integer() => "integer",
        held if held.is_floating() => "number",
        held if held.is_decimal() => "decimal",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(..) => "timestamp",
        DataType::Duration(_) | DataType::Interval(_) => "interval",
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "array",
        DataType::Struct(_) => "object",
        DataType::Dictionary(_, value) => return type_name(value),
        held => return held.to_string(),
    };
    name.to_owned()
}

/// The value of a row. Numbers of JSON are those that it can say; decimals, dates and times are text.
#[expect(clippy::wildcard_enum_match_arm, reason = "the engine shows what JSON has no type for")]
fn value(column: &ArrayRef, at: usize) -> Result<Value, ArrowError> {
    if column.is_null(at) {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => column.as_boolean().value(at).into(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(at).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(at).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(at).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(at).into(),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(at).into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(at).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(at).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(at).into(),
        DataType::Float32 => number(column.as_primitive::<Float32Type>().value(at).into()),
        DataType::Float64 => number(column.as_primitive::<Float64Type>().value(at)),
        DataType::Utf8 => column.as_string::<i32>().value(at).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(at).into(),
        DataType::Utf8View => column.as_string_view().value(at).into(),
        DataType::List(_) => array(&column.as_list::<i32>().value(at))?,
        DataType::LargeList(_) => array(&column.as_list::<i64>().value(at))?,
        DataType::FixedSizeList(..) => array(&column.as_fixed_size_list().value(at))?,
        DataType::Struct(fields) => {
            let parts = fields.iter().zip(column.as_struct().columns());
            let parts = parts.map(|(field, part)| Ok((field.name().clone(), value(part, at)?)));
            Value::Object(parts.collect::<Result<Map<_, _>, ArrowError>>()?)
        }
        _ => ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default())?
            .value(at)
            .try_to_string()?
            .into(),
    })
}

/// What is no number is text, so that it is told from what is missing.
fn number(number: f64) -> Value {
    if number.is_finite() { number.into() } else { number.to_string().into() }
}

fn array(values: &ArrayRef) -> Result<Value, ArrowError> {
    (0..values.len()).map(|at| value(values, at)).collect::<Result<Vec<_>, _>>().map(Value::from)
}
