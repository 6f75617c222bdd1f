//! Text in columns.

use std::fmt;

/// Rows under a head, aligned; the last column is as wide as it likes.
#[derive(Debug)]
pub(crate) struct Table {
    columns: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        let head: Vec<String> = head.iter().map(|&name| name.to_owned()).collect();
        Self { columns: head.len(), rows: vec![head] }
    }

    /// Adds a row; an empty cell shows as a dash, control characters as spaces.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let clean = |cell: String| match cell.trim_end() {
            "" => "-".to_owned(),
            text => text.replace(char::is_control, " "),
        };
        self.rows.push(cells.into_iter().take(self.columns).map(clean).collect());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.columns).map(|column| self.width(column)).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths);
            let line: String = cells.map(|(cell, width)| format!("{cell:width$}  ")).collect();
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_do_not_end_in_spaces() {
        let mut table = Table::new(&["KIND", "KEY"]);
        table.row(["monitor".into(), "a\nb".into()]);
        table.row([String::new(), "c".into()]);
        assert_eq!(table.to_string(), "KIND     KEY\nmonitor  a b\n-        c\n");
    }
}
