//! Everything of the node that decodes what people and programs give it. For tests and for the fuzzers
//! in `tests/fuzz`, which call the same functions.

use crate::config::Config;
use crate::http;

/// Reads bytes as a configuration file.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::from_text(text) {
        Ok(config) => drop((config.warnings(), config.to_toml())),
        Err(error) => drop(error.to_string()),
    }
}

/// Reads bytes as the body of a request, and as its path and parameters.
pub fn request(bytes: &[u8]) {
    http::decoding::body(bytes);
    http::decoding::parameters(bytes);
}

/// Reads bytes as the body of a request about queries; what is asked in a text is read as well.
pub fn query(bytes: &[u8]) {
    if let Some(text) = http::decoding::query(bytes) {
        perennial_query::decoding::pipeline(text.as_bytes());
        perennial_query::decoding::rules(text.as_bytes());
    }
}

/// Reads bytes as a message of a worker outside the node.
pub fn worker(bytes: &[u8]) {
    http::decoding::worker(bytes);
}

#[cfg(test)]
mod tests {
    use perennial_runtime::decoding::feed;

    use super::*;

    #[test]
    fn no_file_is_too_strange_to_be_read_as_a_configuration() {
        feed("config", 1_000, config);
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_read_as_a_request() {
        feed("request", 20_000, request);
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_read_as_a_request_about_queries() {
        feed("query", 1_000, query);
    }

    #[test]
    fn no_bytes_are_too_strange_to_be_read_as_a_message_of_a_worker() {
        feed("worker", 20_000, worker);
    }
}
