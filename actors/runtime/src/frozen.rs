//! Holds the encoding of a stored type against a sample that was written when its version was new.
//!
//! A sample is a file of hexadecimal digits, `tests/fixtures/<name>.<version>.hex` in the repository.
//! Running the tests with the environment variable `PERENNIAL_NEW_SAMPLES=1` writes the samples that
//! do not exist yet. One that exists is never written again: what it holds may be on somebody's disk.

use std::env::VarError;
use std::fmt::Debug;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use perennial_store::{decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Asks for samples that do not exist yet.
const NEW_SAMPLES: &str = "PERENNIAL_NEW_SAMPLES";
/// Bytes on a line of a sample.
const LINE: usize = 32;

/// Sees that the stored sample `name` of this version still decodes to `sample`, and that `sample`
/// still encodes to it. Values are compared by their `Debug` text. For tests.
///
/// # Panics
/// The format differs, or there is no such sample; the text says what to do.
#[track_caller]
pub fn frozen<T>(name: &str, version: u16, sample: &T)
where
    T: Serialize + DeserializeOwned + Debug,
{
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let path = root.join(format!("{name}.{version}.hex"));
    let encoded = encode(sample).unwrap_or_else(|error| panic!("{name}: {error}"));
    if !path.exists() {
        write_new(&path, &encoded);
    }
    let stored = fs::read_to_string(&path)
        .map_err(|error| error.to_string())
        .and_then(|text| parse(&text))
        .unwrap_or_else(|error| panic!("cannot read the sample {}: {error}", path.display()));
    if let Err(difference) = compare(&stored, &encoded, sample) {
        panic!(
            "the stored format of {name} changed: raise its version and write a migration; then \
             make a new sample (docs/storage-format.md, section 5).\n{difference}\nThe sample is {}",
            path.display()
        );
    }
}

fn compare<T>(stored: &[u8], encoded: &[u8], sample: &T) -> Result<(), String>
where
    T: DeserializeOwned + Debug,
{
    let decoded: T =
        decode(stored).map_err(|error| format!("The sample does not decode: {error}."))?;
    let (decoded, sample) = (format!("{decoded:#?}"), format!("{sample:#?}"));
    if decoded != sample {
        let mut lines = decoded.lines().zip(sample.lines());
        let (was, is) = lines.find(|(was, is)| was != is).unwrap_or((&decoded, &sample));
        return Err(format!("The sample decodes to `{}`, not `{}`.", was.trim(), is.trim()));
    }
    if stored != encoded {
        let at = stored.iter().zip(encoded).take_while(|(was, is)| was == is).count();
        return Err(format!("The encoding differs from the sample at byte {at}."));
    }
    Ok(())
}

fn write_new(path: &PathBuf, encoded: &[u8]) {
    asked_for(path);
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, hex(encoded)));
    written.unwrap_or_else(|error| panic!("cannot write the sample {}: {error}", path.display()));
}

/// Sees that new samples are wanted.
#[track_caller]
pub(crate) fn asked_for(path: &Path) {
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not a setting")]
    let asked = match std::env::var(NEW_SAMPLES) {
        Ok(value) => value == "1",
        Err(VarError::NotPresent | VarError::NotUnicode(_)) => false,
    };
    assert!(
        asked,
        "there is no sample {}: if this type or version is new, run the test once with \
         {NEW_SAMPLES}=1 and commit the file",
        path.display()
    );
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(LINE) {
        for byte in line {
            // Writing to a string does not fail.
            let _always = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

fn parse(text: &str) -> Result<Vec<u8>, String> {
    let digits: String = text.split_whitespace().collect();
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err("it is not an even number of hexadecimal digits".to_owned());
    }
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|error| error.to_string());
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Fruit {
        name: String,
        weight: u32,
    }

    fn fruit(weight: u32) -> Fruit {
        Fruit { name: "quince".to_owned(), weight }
    }

    fn stored(weight: u32) -> Vec<u8> {
        encode(&fruit(weight)).unwrap()
    }

    #[test]
    fn the_same_format_passes() {
        assert_eq!(compare(&stored(7), &stored(7), &fruit(7)), Ok(()));
    }

    #[test]
    fn a_field_that_decodes_to_another_value_is_named() {
        let difference = compare(&stored(8), &stored(7), &fruit(7)).unwrap_err();
        assert_eq!(difference, "The sample decodes to `weight: 8,`, not `weight: 7,`.");
    }

    #[test]
    fn a_field_more_does_not_decode() {
        let difference = compare(&stored(7), &[], &(fruit(7), 0_u8)).unwrap_err();
        assert!(difference.starts_with("The sample does not decode: "), "{difference}");
    }

    #[test]
    fn an_encoding_that_still_decodes_but_differs_is_refused() {
        let difference = compare(&stored(7), &stored(9), &fruit(7)).unwrap_err();
        assert_eq!(difference, "The encoding differs from the sample at byte 7.");
    }

    #[test]
    fn a_sample_reads_back_from_its_digits() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(parse(&hex(&bytes)), Ok(bytes));
        assert!(parse("0").is_err());
        assert!(parse("0x").is_err());
    }
}
