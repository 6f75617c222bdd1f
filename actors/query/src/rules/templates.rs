//! Templates of actions, as rules write them and as a plan needs them.
//!
//! A rule says `{{ facts.amount }}`, `{{ steps.check.result }}` and, in the older notation, `${amount}`. In a
//! plan the facts are an input and the ids of steps begin with the rule's: `{{ inputs.facts.amount }}`,
//! `{{ steps.RULE_check.result }}`.

use serde_json::Value;

use super::condition::FieldPath;

/// The name of the facts, in rules and as the input of a plan.
pub(super) const FACTS: &str = "facts";
/// The name of what steps resulted in.
pub(super) const STEPS: &str = "steps";

/// `value` with `${a.b}` written as `{{ facts.a.b }}` in every string of it.
///
/// # Errors
/// A `${` that no field follows.
pub(super) fn modern(value: &Value) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(modern_text(text)?),
        Value::Array(items) => Value::Array(items.iter().map(modern).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| Ok((name.clone(), modern(field)?)));
            Value::Object(fields.collect::<Result<_, String>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

/// `value`, in the newer notation, as a plan needs it; `step` gives the id of a step for that of an action.
pub(super) fn for_plan(value: &Value, step: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(rename(text, step)),
        Value::Array(items) => items.iter().map(|item| for_plan(item, step)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| (name.clone(), for_plan(field, step)));
            Value::Object(fields.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn modern_text(text: &str) -> Result<String, String> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("${") {
        let (before, found) = rest.split_at(at);
        if let Some(kept) = before.strip_suffix('$') {
            out.push_str(kept);
            out.push_str("${");
            rest = &found[2..];
            continue;
        }
        let end = found.find('}').ok_or_else(|| format!("`{found}` has no `}}`"))?;
        let name = found[2..end].trim();
        let path = FieldPath::parse(name).ok_or_else(|| {
            format!("`${{{name}}}` names no field; `$${{` stands for the characters `${{`")
        })?;
        out.push_str(before);
        out.push_str("{{ ");
        out.push_str(&expression(&path));
        out.push_str(" }}");
        rest = &found[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The expression for a field: `facts.a.b`, or `facts["a-b"]` where a part is no name, `facts[0]` for a place.
fn expression(path: &FieldPath) -> String {
    let mut out = FACTS.to_owned();
    for part in path.as_str().split('.') {
        let name = part.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && part.chars().all(is_name);
        if name {
            out.push('.');
            out.push_str(part);
        } else if part.chars().all(|digit| digit.is_ascii_digit()) {
            out.push_str(&format!("[{part}]"));
        } else {
            out.push_str(&format!("[{}]", Value::from(part)));
        }
    }
    out
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

/// Renames facts and steps in the templates of `text`; everything else stays, byte for byte.
fn rename(text: &str, step: &dyn Fn(&str) -> String) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('{') {
        let (plain, found) = rest.split_at(at);
        out.push_str(plain);
        let length = match found.as_bytes().get(1) {
            Some(b'{') => rename_block(found, "}}", step, &mut out),
            Some(b'%') if is_raw(found) => keep_raw(found, &mut out),
            Some(b'%') => rename_block(found, "%}", step, &mut out),
            Some(b'#') => {
                keep(found, found.find("#}").map_or(found.len(), |end| end + 2), &mut out)
            }
            Some(_) | None => keep(found, 1, &mut out),
        };
        rest = &found[length..];
    }
    out.push_str(rest);
    out
}

fn keep(text: &str, length: usize, out: &mut String) -> usize {
    out.push_str(&text[..length]);
    length
}

/// Whether a block begins text that is not to be read as a template.
fn is_raw(block: &str) -> bool {
    let inner = block[2..].trim_start_matches(['-', '+']).trim_start();
    inner.strip_prefix("raw").is_some_and(|after| !after.starts_with(is_name))
}

fn keep_raw(text: &str, out: &mut String) -> usize {
    let end = text.find("endraw").map_or(text.len(), |end| end + "endraw".len());
    keep(text, end, out)
}

/// Renames in one block, up to and with `end`, and gives the bytes that it took.
fn rename_block(text: &str, end: &str, step: &dyn Fn(&str) -> String, out: &mut String) -> usize {
    let mut at = keep(text, 2, out);
    while at < text.len() {
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else { break };
        if rest.starts_with(end) {
            return at + keep(rest, end.len(), out);
        }
        at += match first {
            '"' | '\'' => keep(rest, quoted(rest, first), out),
            '.' => {
                // What stands behind a dot is an attribute, whatever its name.
                let space = rest[1..].len() - rest[1..].trim_start().len();
                keep(rest, 1 + space + word(&rest[1 + space..]), out)
            }
            _ if is_name(first) => rename_word(rest, step, out),
            _ => keep(rest, first.len_utf8(), out),
        };
    }
    at
}

/// Renames the word that `text` begins with, if it stands for the facts or the steps.
fn rename_word(text: &str, step: &dyn Fn(&str) -> String, out: &mut String) -> usize {
    let length = word(text);
    let after = text[length..].trim_start();
    let is_keyword = after.starts_with('=') && !after.starts_with("==");
    if is_keyword {
        return keep(text, length, out);
    }
    match &text[..length] {
        FACTS => {
            out.push_str("inputs.facts");
            length
        }
        STEPS => {
            let dotted = after.strip_prefix('.').map(str::trim_start);
            let Some(named) = dotted.filter(|named| word(named) > 0) else {
                return keep(text, length, out);
            };
            let id = &named[..word(named)];
            out.push_str("steps.");
            out.push_str(&step(id));
            text.len() - named.len() + id.len()
        }
        _ => keep(text, length, out),
    }
}

/// The length of the name or number that `text` begins with.
fn word(text: &str) -> usize {
    text.find(|next: char| !is_name(next)).unwrap_or(text.len())
}

/// The length of the string that `text` begins with, quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn planned(text: &str) -> String {
        rename(text, &|id| format!("rule_{id}"))
    }

    #[test]
    fn an_older_reference_is_written_as_a_template() {
        let value = json!({"a": "${customer.name}", "b": ["dear ${x.0} and ${order-id}!"], "c": 1});
        let expected = json!({
            "a": "{{ facts.customer.name }}",
            "b": ["dear {{ facts.x[0] }} and {{ facts[\"order-id\"] }}!"],
            "c": 1,
        });
        assert_eq!(modern(&value).unwrap(), expected);
    }

    #[test]
    fn two_dollars_keep_the_characters_of_a_reference() {
        assert_eq!(
            modern(&json!("echo $${HOME} ${x}")).unwrap(),
            json!("echo ${HOME} {{ facts.x }}")
        );
    }

    #[test]
    fn an_older_reference_without_a_field_is_refused() {
        for text in ["${", "a ${x", "${}", "${a b}", "${a..b}"] {
            assert!(modern(&json!(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn facts_and_steps_are_renamed_where_they_are_names() {
        let text = "{{ facts.a }} {{ steps.check.result + len(facts) }}{% if steps . b .result %}";
        let expected = "{{ inputs.facts.a }} {{ steps.rule_check.result + len(inputs.facts) }}\
                        {% if steps.rule_b .result %}";
        assert_eq!(planned(text), expected);
    }

    #[test]
    fn what_only_looks_like_facts_or_steps_stays() {
        for text in [
            "facts.a steps.b",
            "{ facts.a }",
            "{{ x.facts }}{{ x. steps.a }}",
            "{{ 'steps.a' ~ \"it's \\\" facts\" }}",
            "{{ factsheet ~ steps_taken }}",
            "{{ f(facts=1) }}",
            "{# facts #}",
            "{% raw %}{{ facts.a }}{% endraw %}",
            "{{ steps['a'] }}",
        ] {
            assert_eq!(planned(text), text);
        }
        assert_eq!(planned("{{ facts==1 }}"), "{{ inputs.facts==1 }}");
    }

    proptest! {
        #[test]
        fn any_text_is_renamed_without_a_panic(text in "[{}%#'\"\\\\. a-c$é=]{0,40}(facts|steps)?[{}%.a']{0,9}") {
            let renamed = planned(&text);
            prop_assert!(renamed.len() >= text.trim().len() / 2);
            drop(modern(&json!(text)));
        }

        #[test]
        fn text_without_braces_stays_as_it_is(text in "[^{]{0,60}") {
            prop_assert_eq!(planned(&text), text);
        }
    }
}
