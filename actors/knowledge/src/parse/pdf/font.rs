//! Fonts of a PDF page: what their codes mean and how wide they are.

use std::collections::BTreeMap;

use lopdf::{Dictionary, Document, Encoding, Object};

/// Bytes to which the table of what codes mean may unpack.
const MOST_UNPACKED: usize = 4 << 20;

/// The width of a character when nothing says it: about that of a lower-case letter.
const WIDTH: f64 = 500.0;

/// A font as far as text needs it.
pub(super) struct Font<'a> {
    encoding: Option<Encoding<'a>>,
    widths: Widths,
}

/// Widths of codes, in thousandths of the size.
enum Widths {
    /// Of one byte each, from the first code on.
    Simple { first: usize, widths: Vec<f64> },
    /// Of two bytes each.
    Composite { default: f64, widths: BTreeMap<u32, f64> },
}

impl<'a> Font<'a> {
    pub(super) fn new(document: &'a Document, font: &'a Dictionary) -> Self {
        let encoding = font.get_font_encoding_with_limit(document, MOST_UNPACKED).ok();
        let composite = font.get(b"Subtype").and_then(Object::as_name).ok() == Some(b"Type0");
        let widths = if composite {
            descendant(document, font).map_or_else(no_widths, |font| of_composite(document, font))
        } else {
            of_simple(document, font)
        };
        Self { encoding, widths }
    }

    /// The text that `bytes` stand for; nothing if the font does not say.
    pub(super) fn decode(&self, bytes: &[u8]) -> String {
        let encoding = self.encoding.as_ref();
        let text = encoding.and_then(|encoding| encoding.bytes_to_string(bytes).ok());
        text.unwrap_or_default()
    }

    /// How wide `bytes` are in thousandths of the size, how many codes they are, and how many of them are spaces
    /// of one byte.
    pub(super) fn measure(&self, bytes: &[u8]) -> (f64, usize, usize) {
        match &self.widths {
            Widths::Simple { first, widths } => {
                let width = |byte: &u8| {
                    usize::from(*byte).checked_sub(*first).and_then(|at| widths.get(at))
                };
                let sum = bytes.iter().map(|byte| width(byte).copied().unwrap_or(WIDTH)).sum();
                (sum, bytes.len(), bytes.iter().filter(|byte| **byte == b' ').count())
            }
            Widths::Composite { default, widths } => {
                let codes = bytes
                    .chunks(2)
                    .map(|code| code.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)));
                let sum = codes.map(|code| widths.get(&code).copied().unwrap_or(*default)).sum();
                (sum, bytes.len().div_ceil(2), 0)
            }
        }
    }
}

fn no_widths() -> Widths {
    Widths::Composite { default: WIDTH, widths: BTreeMap::new() }
}

/// The value of a key, with references followed.
fn get<'a>(document: &'a Document, dictionary: &'a Dictionary, key: &[u8]) -> Option<&'a Object> {
    let value = dictionary.get(key).ok()?;
    document.dereference(value).ok().map(|(_, value)| value)
}

fn number(document: &Document, object: &Object) -> Option<f64> {
    let (_, object) = document.dereference(object).ok()?;
    object.as_float().ok().map(f64::from)
}

fn of_simple(document: &Document, font: &Dictionary) -> Widths {
    let first = get(document, font, b"FirstChar").and_then(|first| first.as_i64().ok());
    let first = first.and_then(|first| usize::try_from(first).ok()).unwrap_or(0);
    let widths = get(document, font, b"Widths").and_then(|widths| widths.as_array().ok());
    let widths = widths.into_iter().flatten().take(256);
    let widths = widths.map(|width| number(document, width).unwrap_or(WIDTH)).collect();
    Widths::Simple { first, widths }
}

fn descendant<'a>(document: &'a Document, font: &'a Dictionary) -> Option<&'a Dictionary> {
    let fonts = get(document, font, b"DescendantFonts")?.as_array().ok()?;
    document.dereference(fonts.first()?).ok()?.1.as_dict().ok()
}

/// Reads the array `W`: `c [w1 w2 ...]` or `first last w` (ISO 32000-1, 9.7.4.3).
fn of_composite(document: &Document, font: &Dictionary) -> Widths {
    let default = get(document, font, b"DW").and_then(|width| number(document, width));
    let mut widths = BTreeMap::new();
    let array = get(document, font, b"W").and_then(|array| array.as_array().ok());
    let mut entries = array.into_iter().flatten();
    while let (Some(first), Some(second)) = (entries.next(), entries.next()) {
        let Some(first) = number(document, first) else { break };
        let first = code(first);
        let second = document.dereference(second).map_or(second, |(_, second)| second);
        if let Ok(list) = second.as_array() {
            let list = list.iter().map(|width| number(document, width).unwrap_or(WIDTH));
            widths.extend((first..=u32::from(u16::MAX)).zip(list));
        } else {
            let last = number(document, second).map(code);
            let width = entries.next().and_then(|width| number(document, width));
            let (Some(last), Some(width)) = (last, width) else { break };
            widths.extend((first..=last).map(|code| (code, width)));
        }
    }
    Widths::Composite { default: default.unwrap_or(2.0 * WIDTH), widths }
}

/// A code of two bytes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
fn code(number: f64) -> u32 {
    number.clamp(0.0, f64::from(u16::MAX)) as u32
}
