//! Tables: each row becomes a block that names its columns, so that it can be understood by itself.

use csv::ReaderBuilder;

use super::Parsed;
use crate::chunk::Block;

/// Characters of the name of a column that each of its rows repeats.
const MOST_NAME: usize = 100;
/// Bytes of all rows with the names of their columns: many short cells under long names would be a flood.
const MOST_TEXT: usize = 64 << 20;

pub(super) fn read(text: &str) -> Result<Parsed, String> {
    let first = text.lines().next().unwrap_or_default();
    let often = |mark: &u8| first.bytes().filter(|byte| byte == mark).count();
    // Of equals the last wins: the comma.
    let delimiter = [b'\t', b';', b','].into_iter().max_by_key(often).unwrap_or(b',');
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let malformed = |error: csv::Error| format!("it cannot be read as CSV: {error}");
    let columns = reader.headers().map_err(malformed)?;
    let columns: Vec<String> =
        columns.iter().map(|name| name.trim().chars().take(MOST_NAME).collect()).collect();
    let (mut blocks, mut size) = (Vec::new(), 0);
    // The names of the columns are row 1.
    for (number, record) in (2_u32..).zip(reader.records()) {
        let record = record.map_err(malformed)?;
        let cells = record.iter().enumerate().filter(|(_, cell)| !cell.trim().is_empty());
        let named = cells.map(|(at, cell)| match columns.get(at) {
            Some(column) if !column.is_empty() => format!("{column}: {}", cell.trim()),
            Some(_) | None => cell.trim().to_owned(),
        });
        let row = named.collect::<Vec<_>>().join("; ");
        size += row.len();
        if size > MOST_TEXT {
            return Err(format!(
                "its rows with the names of their columns are more than {MOST_TEXT} bytes; split it"
            ));
        }
        blocks.push(Block::row(row, number));
    }
    Ok(Parsed { blocks, ..Parsed::default() })
}
