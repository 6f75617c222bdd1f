#![no_main]

use std::sync::LazyLock;

use perennial_knowledge::decoding::Reader;

static READER: LazyLock<Reader> = LazyLock::new(Reader::new);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| READER.pdf(bytes));
