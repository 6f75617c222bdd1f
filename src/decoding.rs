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
}
