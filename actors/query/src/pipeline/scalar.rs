//! What unquoted text in YAML stands for (core schema, YAML 1.2.2 section 10.3.2).

use serde_json::Number;

use super::tree::Data;

/// The value of `text`, or why it has none that JSON could carry.
pub(super) fn resolve(text: &str) -> Result<Data, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Data::Null,
        "true" | "True" | "TRUE" => Data::Bool(true),
        "false" | "False" | "FALSE" => Data::Bool(false),
        _ => match number(text) {
            Some(number) => Data::Number(number.ok_or_else(|| {
                format!("`{text}` is beyond what a number holds; in quotes it is text")
            })?),
            None => Data::Text(text.to_owned()),
        },
    })
}

/// The number that `text` is, if it is one; nothing in it if it cannot be held.
fn number(text: &str) -> Option<Option<Number>> {
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|digit| digit.is_digit(radix))
        {
            return Some(u64::from_str_radix(digits, radix).ok().map(Number::from));
        }
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(None);
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|digit| digit.is_ascii_digit()) {
        let text = text.strip_prefix('+').unwrap_or(text);
        let small = text.parse::<i64>().map(Number::from);
        return Some(small.or_else(|_| text.parse::<u64>().map(Number::from)).ok());
    }
    // The rest of what Rust takes for a number, such as `inf`, has other letters.
    let like_one = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let float = like_one.then(|| text.parse::<f64>().ok())??;
    Some(Number::from_f64(float))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tree::Node;
    use super::*;

    fn value(text: &str) -> Value {
        Node { line: None, data: resolve(text).unwrap() }.to_json()
    }

    #[test]
    fn unquoted_text_is_what_the_core_schema_says() {
        for (text, expected) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("True", json!(true)),
            ("no", json!("no")),
            ("007", json!(7)),
            ("+5", json!(5)),
            ("-12", json!(-12)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("0x1F", json!(31)),
            ("0o17", json!(15)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("-1e3", json!(-1000.0)),
            ("1.2.3", json!("1.2.3")),
            ("2025-10-04", json!("2025-10-04")),
            ("-", json!("-")),
            (".", json!(".")),
            ("inf", json!("inf")),
            ("nan", json!("nan")),
            ("0x", json!("0x")),
            ("1_000", json!("1_000")),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn a_number_that_would_be_changed_is_refused() {
        for text in
            ["18446744073709551616", "-9223372036854775809", "1e999", ".inf", "-.INF", ".nan"]
        {
            assert!(resolve(text).is_err(), "{text}");
        }
    }
}
