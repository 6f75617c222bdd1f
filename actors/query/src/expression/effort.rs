//! How much an evaluation may do in all. The engine counts instructions, and some of them look through all of a value:
//! comparing two lists, finding a word in a text. So the more there is to be looked through at once, the fewer
//! instructions there are. Filters, which look through what they are given, are counted by that instead.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::bounds::{find, next_tag, token_end};

/// Instructions that one expression or template may take where what it compares is small.
const MOST: u64 = 200_000;
/// Those that it may take whatever it compares.
const LEAST: u64 = 100;
/// What all instructions together may look through: [`weight`] by instructions.
const EFFORT: u64 = 50_000_000;
/// Bytes that a value weighs beside its text: as much as it takes to compare it.
const VALUE: u64 = 32;

/// Instructions that `text`, an expression, may take over `scope`.
pub(super) fn of_expression(text: &str, scope: &Value) -> u64 {
    let (tokens, _) = code(text.as_bytes(), 0, None);
    fuel(&[Tag { tokens, ..Tag::default() }], scope)
}

/// Instructions that `text`, a template, may take over `scope`.
pub(super) fn of_template(text: &str, scope: &Value) -> u64 {
    fuel(&tags(text.as_bytes()), scope)
}

fn fuel(tags: &[Tag<'_>], scope: &Value) -> u64 {
    let mut scales = Scales::default();
    let heaviest = tags.iter().map(|tag| tag.heaviest(scope, &mut scales)).max();
    (EFFORT / heaviest.unwrap_or_default().max(1)).clamp(LEAST, MOST)
}

/// Weighs each value once, however often it is named.
#[derive(Default)]
struct Scales {
    all: BTreeMap<*const Value, u64>,
    one: BTreeMap<*const Value, u64>,
}

impl Scales {
    /// What it takes to look through all of `value`.
    fn all_of(&mut self, value: &Value) -> u64 {
        *self.all.entry(value).or_insert_with(|| weight(value))
    }

    /// The same of the heaviest of what a list or an object holds.
    fn one_of(&mut self, value: &Value) -> u64 {
        *self.one.entry(value).or_insert_with(|| {
            let heaviest = match value {
                Value::Array(items) => items.iter().map(weight).max(),
                Value::Object(fields) => fields.values().map(weight).max(),
                Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => None,
            };
            heaviest.unwrap_or_default()
        })
    }
}

fn weight(value: &Value) -> u64 {
    let within = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| name.len() as u64 + weight(field)).sum()
        }
    };
    VALUE + within
}

/// The code between two marks of a template, or an expression.
#[derive(Default)]
struct Tag<'a> {
    tokens: Vec<&'a [u8]>,
    /// Where what a `for` goes through begins, if it is one.
    header: Option<usize>,
    /// Whether another `for` stands in that one.
    around: bool,
}

/// Words behind and before which it only matters whether there is something.
const TRUTH: [&[u8]; 7] = [b"if", b"elif", b"not", b"and", b"or", b"else", b"is"];
/// Tests that look at nothing within.
const SHALLOW: [&[u8]; 4] = [b"defined", b"undefined", b"none", b"not"];

impl Tag<'_> {
    fn token(&self, at: usize) -> &[u8] {
        self.tokens.get(at).copied().unwrap_or_default()
    }

    /// The weight of the heaviest value that one instruction in it may look through, or in the loop that it opens.
    fn heaviest(&self, scope: &Value, scales: &mut Scales) -> u64 {
        let (mut at, mut heaviest) = (0, 0);
        while at < self.tokens.len() {
            let token = self.token(at);
            if matches!(token.first(), Some(b'\'' | b'"')) {
                heaviest = heaviest.max(token.len() as u64);
            }
            let follows = at > 0 && self.token(at - 1) == b".";
            if !is_name(token) || follows {
                at += 1;
                continue;
            }
            let (value, end) = self.path(at, scope);
            let looked = value.map(|value| self.looked_through(value, at..end, scales));
            heaviest = heaviest.max(looked.unwrap_or_default());
            at = end;
        }
        heaviest
    }

    /// The value of the path that begins at `at`, if it is one of the scope, and where it ends.
    fn path<'v>(&self, at: usize, scope: &'v Value) -> (Option<&'v Value>, usize) {
        let (mut value, mut at) = (scope.get(text(self.token(at))), at + 1);
        loop {
            let (inner, closed) = (self.token(at + 1), self.token(at + 2) == b"]");
            match (self.token(at), inner) {
                (b".", name) if is_name(name) => {
                    value = value.and_then(|value| value.get(text(name)));
                    at += 2;
                }
                (b"[", [b'\'' | b'"', name @ .., b'\'' | b'"']) if closed => {
                    value = value.and_then(|value| value.get(text(name)));
                    at += 3;
                }
                (b"[", number) if closed && number.iter().all(u8::is_ascii_digit) => {
                    let number = text(number).parse::<usize>().unwrap_or(usize::MAX);
                    value = value.and_then(|value| value.get(number));
                    at += 3;
                }
                (_, _) => return (value, at),
            }
        }
    }

    /// What of the value of the path, which is these tokens, is looked through where it stands.
    fn looked_through(&self, value: &Value, path: Range<usize>, scales: &mut Scales) -> u64 {
        let Range { start: at, end } = path;
        let before = at.checked_sub(1).map(|before| self.token(before));
        let after = self.tokens.get(end).copied();
        if self.header == Some(at) {
            return match after {
                None | Some(b"if") => scales.one_of(value),
                // A filter makes the pieces: each is looked at once, unless another `for` goes on while it stays.
                Some(b"|") if !self.around => 0,
                Some(_) => scales.all_of(value),
            };
        }
        let is_truth = |token: Option<&[u8]>| token.is_none_or(|token| TRUTH.contains(&token));
        match (before, after) {
            // Filters are counted by what they are given.
            (_, Some(b"|")) => 0,
            (Some(b"("), Some(b")")) if at > 1 && self.token(at - 2) == b"len" => 0,
            (_, Some(b"[")) if value.is_array() && !self.is_slice(end) => scales.one_of(value),
            (_, Some(b"is")) if !SHALLOW.contains(&self.token(end + 1)) => scales.all_of(value),
            (before, after) if is_truth(before) && is_truth(after) => 0,
            (_, _) => scales.all_of(value),
        }
    }

    /// Whether the brackets that open at `at` hold a `:`.
    fn is_slice(&self, at: usize) -> bool {
        let within = self.tokens[at..].iter().take_while(|token| **token != b"]");
        within.into_iter().any(|token| *token == b":")
    }
}

fn text(token: &[u8]) -> String {
    String::from_utf8_lossy(token).into_owned()
}

/// The code of each tag of a template.
fn tags(bytes: &[u8]) -> Vec<Tag<'_>> {
    let (mut all, mut open): (Vec<Tag<'_>>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some((start, mark)) = next_tag(bytes, at) {
        if mark == b'#' {
            match find(bytes, start, b"#}") {
                Some(end) => at = end,
                None => break,
            }
            continue;
        }
        let close: &[u8] = if mark == b'{' { b"}}" } else { b"%}" };
        let (mut tokens, end) = code(bytes, start, Some(close));
        at = end;
        // Marks that blanks are left out.
        let is_mark =
            |token: Option<&&[u8]>| token.is_some_and(|token| **token == *b"-" || **token == *b"+");
        if is_mark(tokens.first()) {
            tokens.remove(0);
        }
        if is_mark(tokens.last()) {
            tokens.pop();
        }
        let word = tokens.first().copied().filter(|_| mark == b'%');
        let mut tag = Tag { tokens, ..Tag::default() };
        if word == Some(b"for") {
            open.iter().for_each(|outer| all[*outer].around = true);
            open.push(all.len());
            tag.header = tag.tokens.iter().position(|token| *token == b"in").map(|at| at + 1);
        } else if word == Some(b"endfor") {
            open.pop();
        }
        all.push(tag);
    }
    all
}

/// The tokens from `from` to behind `close`, which as for the engine stands neither in a string nor in brackets.
fn code<'a>(bytes: &'a [u8], from: usize, close: Option<&[u8]>) -> (Vec<&'a [u8]>, usize) {
    let (mut tokens, mut at, mut nesting) = (Vec::new(), from, 0_isize);
    while at < bytes.len() {
        if let Some(close) = close.filter(|close| nesting == 0 && bytes[at..].starts_with(close)) {
            return (tokens, at + close.len());
        }
        let end = token_end(bytes, at);
        let token = &bytes[at..end];
        match token {
            b"(" | b"[" | b"{" => nesting += 1,
            b")" | b"]" | b"}" => nesting -= 1,
            _ => {}
        }
        if !bytes[at].is_ascii_whitespace() {
            tokens.push(token);
        }
        at = end;
    }
    (tokens, at)
}

fn is_name(token: &[u8]) -> bool {
    token
        .first()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_' || !byte.is_ascii())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Long texts, long lists and rows, each as large as an answer of a tool may be.
    fn scope() -> Value {
        let rows: Vec<Value> = (0..4_000)
            .map(|n| json!({"n": n, "name": format!("row {n}"), "tags": ["a"]}))
            .collect();
        let result =
            json!({"text": "x ".repeat(128 * 1024), "rows": rows, "numbers": vec![1; 60_000]});
        json!({"steps": {"a": {"result": result.clone(), "status": "succeeded"}, "b": {"result": result}}, "inputs": {"word": "y"}})
    }

    #[test]
    fn what_goes_through_much_once_takes_as_many_instructions_as_ever() {
        let scope = scope();
        for text in [
            "{% for row in steps.a.result.rows %}{% if row.n == 3 and 'a' in row.tags %}{{ row.name }}{% endif %}{% endfor %}",
            "{{ steps.a.result.rows | length }} rows{% for row in steps.a.result.rows -%} {{ row.name }}{% endfor %}",
            "{% for line in steps.a.result.text | lines %}{% if 'y' in line %}{{ line }}{% endif %}{% endfor %}",
            "{% if steps.a.result.rows and steps.a.result.text is defined %}{% for n in steps.a.result.numbers %}{{ n }}{% endfor %}{% endif %}",
            "{{ steps.a.result.rows[0].name }}{{ steps['a'].result['rows'][1].n == 2 }}{{ len(steps.a.result.text) > 3 }}",
            "{# {{ steps == steps }} #}{{ inputs.word == 'steps' }}{{ steps.a.result.text }}",
        ] {
            assert_eq!(of_template(text, &scope), MOST, "{text}");
        }
    }

    #[test]
    fn what_compares_much_takes_fewer_instructions() {
        let scope = scope();
        for text in [
            "{% for i in range(9999) %}{{ 'y' in steps.a.result.text }}{% endfor %}",
            "{% for t in [steps.a.result.text] %}{% for i in range(9999) %}{{ t < t }}{% endfor %}{% endfor %}",
            "{% for t in steps.a.result %}{% for i in range(9999) %}{{ 'y' in t }}{% endfor %}{% endfor %}",
            "{% for t in steps.a.result.text | list %}{% for i in range(9999) %}{{ t < t }}{% endfor %}{% endfor %}",
            "{% for i in range(9) if i in steps.a.result.numbers %}{% endfor %}",
            "{{ {'a': {}} }}{{ (steps.a.result.rows) == steps.b.result.rows }}",
            "{{ steps.a.result.text[1:] }}{{ [steps.a.result.text] }}{% if steps.a.result.rows is in([1]) %}{% endif %}",
            "{{ steps.a['res' ~ 'ult'] }}",
        ] {
            let fuel = of_template(text, &scope);
            assert!((LEAST..2_000).contains(&fuel), "{text}: {fuel}");
        }
        let long = format!(
            "{{% for i in range(9999) %}}{{{{ 'y' in '{}' }}}}{{% endfor %}}",
            "x".repeat(100_000)
        );
        assert_eq!(of_template(&long, &scope), EFFORT / 100_002);
        assert!(of_expression("steps.a.result.numbers == steps.b.result.numbers", &scope) < 2_000);
        assert_eq!(of_expression("steps.a.result.numbers", &scope), MOST);
    }
}
