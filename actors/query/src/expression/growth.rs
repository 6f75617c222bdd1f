//! How much the value of an expression may come to. The engine counts instructions, and one of them can make
//! of little more than any memory holds: filters are given no more than this, and give no more.

use std::io;

use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, filters};

/// Bytes of the text of a value, each value in it counted with [`VALUE`].
pub(super) const MOST: usize = 8 << 20;
/// Bytes that a value is counted with beside its text.
const VALUE: usize = 8;
/// What the filters of one evaluation may be given and make in all, each value counted with [`VALUE_WORK`] and each byte
/// of text with [`TEXT_WORK`]: about as many nanoseconds as the slowest of them take, doubled.
const WORK: usize = 14 << 20;
const VALUE_WORK: usize = 64;
const TEXT_WORK: usize = 4;
/// The widest that a filter makes anything: columns of an indentation, parts of a list.
const WIDEST: i64 = 1_000;

/// Filters whose numbers say how much they make.
const WIDE: [&str; 4] = ["batch", "indent", "slice", "tojson"];

/// The engine's filters, each of which looks at what it is given and at what it gives.
pub(super) fn add_filters(environment: &mut Environment<'_>) {
    for (name, filter) in all() {
        environment.add_filter(
            name,
            move |state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>| {
                let given = given.into_values();
                charge(state, given.iter().try_fold(Left::default(), take)?)?;
                foresee(name, &given)?;
                let made = filter.call(state, &given)?;
                charge(state, take(Left::default(), &made)?)?;
                Ok(made)
            },
        );
    }
}

/// The room that is left for a value, and what it took to look through what there is.
#[derive(Clone, Copy)]
struct Left {
    room: usize,
    work: usize,
}

impl Default for Left {
    fn default() -> Self {
        Self { room: MOST, work: 0 }
    }
}

/// What filters have looked through and made in one evaluation.
struct Worked(usize);

/// Counts what a filter was given or has made.
fn charge(state: &mut State<'_, '_>, Left { work, .. }: Left) -> Result<(), Error> {
    let Worked(all) = state.get_or_insert_extension(Worked(0));
    *all += work;
    if *all <= WORK {
        return Ok(());
    }
    let why = "its filters look through too much in all; do a part of it in a step of its own";
    Err(refused(why.to_owned()))
}

/// Refuses a value that comes to more than [`MOST`], or holds a number that JSON has none for.
pub(super) fn check(value: &Value) -> Result<(), Error> {
    take(Left::default(), value).map(drop)
}

/// What is left beside `value`.
fn take(left: Left, value: &Value) -> Result<Left, Error> {
    let text = value.as_str().map_or(0, str::len);
    let room = left.room.checked_sub(VALUE + text).ok_or_else(too_large)?;
    let left = Left { room, work: left.work + VALUE_WORK + TEXT_WORK * text };
    let kind = value.kind();
    if matches!(kind, ValueKind::Seq | ValueKind::Iterable) {
        return value.try_iter()?.try_fold(left, |left, item| take(left, &item));
    }
    if kind == ValueKind::Map {
        return value.try_iter()?.try_fold(left, |left, key| {
            let field = value.get_item(&key)?;
            take(take(left, &key)?, &field)
        });
    }
    let number = f64::try_from(value.clone()).ok().filter(|_| kind == ValueKind::Number);
    if number.is_some_and(|number| !number.is_finite()) {
        return Err(refused("a number in it is beyond what a number holds".to_owned()));
    }
    Ok(left)
}

/// Refuses what a filter would make too much of, before it does.
fn foresee(name: &str, given: &[Value]) -> Result<(), Error> {
    let length = |at: usize| given.get(at).map_or(0, |value| value.to_string().len());
    let made = match (name, given) {
        ("replace", [text, from, ..]) => {
            text.to_string().matches(&from.to_string()).count().saturating_mul(length(2))
        }
        // A name for the text between may come first among the options.
        ("join", [items, options @ ..]) => {
            let between = options.iter().map(|option| option.to_string().len()).sum();
            items.len().unwrap_or_default().saturating_mul(between)
        }
        ("format", [format, ..]) if has_wide_field(&format.to_string()) => {
            return Err(refused(format!("a field is wider than {WIDEST}")));
        }
        (name, [_, options @ ..]) if WIDE.contains(&name) && options.iter().any(is_wide) => {
            return Err(refused(format!("`{name}` is given a number greater than {WIDEST}")));
        }
        _ => 0,
    };
    if made > MOST { Err(too_large()) } else { Ok(()) }
}

/// Whether a number among the options of a filter is greater than [`WIDEST`].
fn is_wide(option: &Value) -> bool {
    if option.kind() != ValueKind::Map {
        return option.as_i64().is_some_and(|number| number > WIDEST);
    }
    let mut names = option.try_iter().into_iter().flatten();
    names.any(|name| option.get_item(&name).is_ok_and(|value| is_wide(&value)))
}

/// Whether a format, as in `%5.2f`, has a field of more columns than are made, or of as many as a value says.
fn has_wide_field(format: &str) -> bool {
    let numbers = format.split(|character: char| !character.is_ascii_digit());
    let wide = |digits: &str| digits.len() > 3 && digits.parse() != Ok(WIDEST);
    format.contains('*') || numbers.into_iter().any(wide)
}

fn refused(why: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

fn too_large() -> Error {
    refused(format!("it comes to more than {MOST} bytes"))
}

/// Text that grows no longer than [`MOST`].
#[derive(Debug, Default)]
pub(super) struct Text(Vec<u8>);

impl Text {
    /// The text; what is written is whole characters.
    pub(super) fn into_string(self) -> Result<String, Error> {
        String::from_utf8(self.0).map_err(|error| refused(error.to_string()))
    }

    /// Whether `error` came of the end of the room.
    pub(super) fn is_full(error: &Error) -> bool {
        error.kind() == ErrorKind::WriteFailure
    }

    /// What is said instead.
    pub(super) fn too_large() -> Error {
        too_large()
    }
}

impl io::Write for &mut Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Every filter that there is, by its names.
fn all() -> Vec<(&'static str, Value)> {
    let of_text = [
        ("capitalize", Value::from_function(filters::capitalize)),
        ("e", Value::from_function(filters::escape)),
        ("escape", Value::from_function(filters::escape)),
        ("format", Value::from_function(filters::format)),
        ("indent", Value::from_function(filters::indent)),
        ("lines", Value::from_function(filters::lines)),
        ("lower", Value::from_function(filters::lower)),
        ("pprint", Value::from_function(filters::pprint)),
        ("replace", Value::from_function(filters::replace)),
        ("safe", Value::from_function(filters::safe)),
        ("split", Value::from_function(filters::split)),
        ("string", Value::from_function(filters::string)),
        ("title", Value::from_function(filters::title)),
        ("tojson", Value::from_function(filters::tojson)),
        ("trim", Value::from_function(filters::trim)),
        ("upper", Value::from_function(filters::upper)),
    ];
    let of_lists = [
        ("batch", Value::from_function(filters::batch)),
        ("chain", Value::from_function(filters::chain)),
        ("dictsort", Value::from_function(filters::dictsort)),
        ("groupby", Value::from_function(filters::groupby)),
        ("items", Value::from_function(filters::items)),
        ("join", Value::from_function(filters::join)),
        ("list", Value::from_function(filters::list)),
        ("map", Value::from_function(filters::map)),
        ("max", Value::from_function(filters::max)),
        ("min", Value::from_function(filters::min)),
        ("reject", Value::from_function(filters::reject)),
        ("rejectattr", Value::from_function(filters::rejectattr)),
        ("reverse", Value::from_function(filters::reverse)),
        ("select", Value::from_function(filters::select)),
        ("selectattr", Value::from_function(filters::selectattr)),
        ("slice", Value::from_function(filters::slice)),
        ("sort", Value::from_function(filters::sort)),
        ("sum", Value::from_function(filters::sum)),
        ("unique", Value::from_function(filters::unique)),
        ("zip", Value::from_function(filters::zip)),
    ];
    of_text.into_iter().chain(of_lists).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::expression::{evaluate, render_text};

    fn scope() -> serde_json::Value {
        json!({"long": "x".repeat(100_000), "lines": "x\n".repeat(100), "rows": [{"a": 1}, {"a": 2}]})
    }

    #[test]
    fn what_comes_to_too_much_is_a_failure_and_not_the_end_of_the_node() {
        let doubled = format!("'x'{}", " | replace('x', 'x'*999)".repeat(16));
        for text in [
            doubled.as_str(),
            "long | replace('', long)",
            "range(99999) | join(long)",
            "([long] * 100000000) | string",
            "[[long, long, long, long, long]] * 100",
        ] {
            let refused = evaluate(text, &scope()).unwrap_err().to_string();
            assert!(refused.contains("it comes to more than 8388608 bytes"), "{refused}");
        }
        let written = "{% for i in range(1000) %}{{ long }}{% endfor %}";
        let refused = render_text(written, &scope()).unwrap_err().to_string();
        assert!(refused.contains("it comes to more than 8388608 bytes"), "{refused}");
    }

    #[test]
    fn filters_look_through_so_much_in_all_and_no_more() {
        let each = |times: usize| {
            format!("{{% for i in range({times}) %}}{{{{ (long | trim) == i }}}}{{% endfor %}}")
        };
        assert!(render_text(&each(10), &scope()).is_ok());
        let refused = render_text(&each(1_000), &scope()).unwrap_err().to_string();
        assert!(refused.contains("its filters look through too much in all"), "{refused}");
        let quoted = format!("('\"' * 99999){}", " | tojson".repeat(60));
        let refused = evaluate(&quoted, &scope()).unwrap_err().to_string();
        assert!(refused.contains("its filters look through too much in all"), "{refused}");
        let rows = "{% for i in range(1000) %}{% if (range(999) | map('string') | list) == i %}{% endif %}{% endfor %}";
        let refused = render_text(rows, &scope()).unwrap_err().to_string();
        assert!(refused.contains("its filters look through too much in all"), "{refused}");
    }

    #[test]
    fn a_filter_is_not_told_to_make_something_wider_than_anybody_reads() {
        for text in [
            "lines | indent(1000000000)",
            "lines | indent(width=1000000000)",
            "[1] | batch(1000000000, 'x')",
            "[1] | slice(1000000000)",
            "rows | tojson(indent=1000000000)",
            "'%1000000000d' | format(1)",
            "'%*d' | format(1000000000, 1)",
        ] {
            let refused = evaluate(text, &scope()).unwrap_err().to_string();
            assert!(refused.contains("1000"), "{refused}");
        }
    }

    #[test]
    fn a_number_beyond_what_json_holds_is_a_failure_and_not_nothing() {
        for text in ["1e308 * 10", "[1, 1e308 * 10]", "{'a': -1e308 * 10}"] {
            let refused = evaluate(text, &scope()).unwrap_err().to_string();
            assert!(refused.contains("beyond what a number holds"), "{refused}");
        }
    }

    #[test]
    fn filters_do_what_they_always_did() {
        for (text, expected) in [
            ("rows | map(attribute='a') | join(', ')", json!("1, 2")),
            ("rows | selectattr('a', 'gt', 1) | list | length", json!(1)),
            ("['b', 'a'] | sort(reverse=true) | first", json!("b")),
            ("'a b' | replace(' ', '-') | upper", json!("A-B")),
            ("rows | sum(attribute='a')", json!(3)),
            ("'%05.1f' | format(2.25)", json!("002.2")),
            ("[3, 1, 2] | sort | batch(2) | list", json!([[1, 2], [3]])),
            ("{'a': 1} | items | list", json!([["a", 1]])),
            ("{'a': [1, none]} | tojson", json!("{\"a\": [1, null]}")),
            ("'a\nb' | indent(2)", json!("a\n  b")),
        ] {
            assert_eq!(evaluate(text, &scope()).unwrap(), expected, "{text}");
        }
    }
}
