//! The process that answers queries in SQL for a node.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    if io::stdin().is_terminal() {
        return complain(
            "perennial-sql is started by `perennial serve`, for the tables in `[query.sql]`",
        );
    }
    match perennial_sql::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error.to_string()),
    }
}

fn complain(what: &str) -> ExitCode {
    // Where nobody reads it, nobody can be told.
    drop(writeln!(io::stderr(), "{what}"));
    ExitCode::FAILURE
}
