//! Whether a JSON value is what was asked for, by the part of JSON Schema (draft 2020-12) that answers of models
//! need. A keyword outside it is refused, never passed over. Pure.

use serde_json::{Map, Number, Value};

use crate::number;
use crate::rules::compare::same;
use crate::rules::pattern::Pattern;

/// What only describes, and is true of every value.
const NOTES: [&str; 10] = [
    "$comment",
    "$id",
    "$schema",
    "default",
    "deprecated",
    "description",
    "examples",
    "format",
    "readOnly",
    "title",
];
/// What a value is held against.
const RULES: [&str; 19] = [
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
];
/// The types there are.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// Why `schema` cannot be used, with the place; nothing if it can.
#[must_use]
pub fn problem(schema: &Value) -> Option<String> {
    look(schema, "")
}

fn look(schema: &Value, place: &str) -> Option<String> {
    let Some(rules) = schema.as_object() else {
        return (!schema.is_boolean())
            .then(|| format!("{} must be an object or a boolean", named(place)));
    };
    rules.iter().find_map(|(name, rule)| look_at_rule(name, rule, &format!("{place}/{name}")))
}

fn look_at_rule(name: &str, rule: &Value, place: &str) -> Option<String> {
    let must = |holds: bool, what: &str| (!holds).then(|| format!("{place} must be {what}"));
    match name {
        "properties" => match rule.as_object() {
            Some(parts) => {
                parts.iter().find_map(|(name, part)| look(part, &format!("{place}/{name}")))
            }
            None => must(false, "an object"),
        },
        "items" | "additionalProperties" => look(rule, place),
        "allOf" | "anyOf" | "oneOf" => match rule.as_array() {
            Some(parts) if !parts.is_empty() => {
                let mut parts = parts.iter().enumerate();
                parts.find_map(|(at, part)| look(part, &format!("{place}/{at}")))
            }
            Some(_) | None => must(false, "a list of schemas"),
        },
        "type" => {
            let names = types(rule);
            let known = names.iter().all(|name| name.is_some_and(|name| TYPES.contains(&name)));
            must(known && !names.is_empty(), &format!("of {}", TYPES.join(", ")))
        }
        "enum" => must(rule.is_array(), "a list"),
        "required" => {
            let names = rule.as_array().is_some_and(|names| names.iter().all(Value::is_string));
            must(names, "a list of names")
        }
        "pattern" => match rule.as_str().map(|text| Pattern::new(text, true)) {
            Some(Ok(_)) => None,
            Some(Err(why)) => Some(format!("{place} {why}")),
            None => must(false, "text"),
        },
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
            must(rule.is_number(), "a number")
        }
        "minItems" | "maxItems" | "minLength" | "maxLength" => {
            must(rule.is_u64(), "a whole number, 0 or more")
        }
        "const" => None,
        _ if NOTES.contains(&name) => None,
        _ => Some(format!("{place} is not supported here; known are {}", RULES.join(", "))),
    }
}

/// What is wrong with `value`, with the place, as the first thing that is; nothing if it fits `schema`, of
/// which there is no [`problem`].
#[must_use]
pub fn misfit(schema: &Value, value: &Value) -> Option<String> {
    hold(schema, value, "")
}

fn hold(schema: &Value, value: &Value, place: &str) -> Option<String> {
    match schema {
        Value::Bool(false) => Some(format!("{} must not be there", named(place))),
        Value::Object(rules) => {
            let mut each = rules.iter();
            each.find_map(|(name, rule)| hold_rule(rules, (name, rule), value, place))
        }
        Value::Bool(true) | Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            None
        }
    }
}

fn hold_rule(
    rules: &Map<String, Value>,
    (name, rule): (&str, &Value),
    value: &Value,
    place: &str,
) -> Option<String> {
    let fits = |schema: &&Value| hold(schema, value, place).is_none();
    let parts = || rule.as_array().into_iter().flatten();
    let wrong = |why: String| Some(format!("{} {why}", named(place)));
    match name {
        "type" if !types(rule).into_iter().flatten().any(|name| is_of(name, value)) => {
            wrong(format!("must be of type {}", show(rule)))
        }
        "enum" if !parts().any(|choice| same(choice, value, true)) => {
            wrong(format!("must be one of {}", show(rule)))
        }
        "const" if !same(rule, value, true) => wrong(format!("must be {}", show(rule))),
        "allOf" => parts().find_map(|schema| hold(schema, value, place)),
        "anyOf" if !parts().any(|schema| fits(&schema)) => {
            wrong("fits none of the schemas in anyOf".to_owned())
        }
        "oneOf" if parts().filter(fits).count() != 1 => {
            wrong("must fit exactly one of the schemas in oneOf".to_owned())
        }
        _ => match value {
            Value::Object(object) => hold_object(rules, (name, rule), object, place),
            Value::Array(items) => hold_items(name, rule, items, place),
            Value::String(text) => hold_text(name, rule, text).and_then(wrong),
            Value::Number(number) => hold_number(name, rule, number).and_then(wrong),
            Value::Null | Value::Bool(_) => None,
        },
    }
}

fn hold_object(
    rules: &Map<String, Value>,
    (name, rule): (&str, &Value),
    object: &Map<String, Value>,
    place: &str,
) -> Option<String> {
    let parts = rules.get("properties").and_then(Value::as_object);
    match name {
        "properties" => object
            .iter()
            .find_map(|(name, value)| hold(rule.get(name)?, value, &format!("{place}/{name}"))),
        "required" => {
            let mut names = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing = names.find(|name| !object.contains_key(*name))?;
            Some(format!("{place}/{missing} is missing"))
        }
        "additionalProperties" => object
            .iter()
            .filter(|(name, _)| parts.is_none_or(|parts| !parts.contains_key(*name)))
            .find_map(|(name, value)| hold(rule, value, &format!("{place}/{name}"))),
        _ => None,
    }
}

fn hold_items(name: &str, rule: &Value, items: &[Value], place: &str) -> Option<String> {
    let bound = rule.as_u64().and_then(|bound| usize::try_from(bound).ok());
    let wrong = |what| Some(format!("{} must have {what} {} items", named(place), bound?));
    match name {
        "items" => {
            let mut items = items.iter().enumerate();
            items.find_map(|(at, item)| hold(rule, item, &format!("{place}/{at}")))
        }
        "minItems" if bound.is_some_and(|least| items.len() < least) => wrong("at least"),
        "maxItems" if bound.is_some_and(|most| items.len() > most) => wrong("at most"),
        _ => None,
    }
}

fn hold_text(name: &str, rule: &Value, text: &str) -> Option<String> {
    let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    match name {
        "minLength" if rule.as_u64().is_some_and(|least| length < least) => {
            Some(format!("must have at least {rule} characters"))
        }
        "maxLength" if rule.as_u64().is_some_and(|most| length > most) => {
            Some(format!("must have at most {rule} characters"))
        }
        "pattern" => {
            match Pattern::new(rule.as_str()?, true).and_then(|pattern| pattern.matches(text)) {
                Ok(true) => None,
                Ok(false) => Some(format!("must match {rule}")),
                Err(why) => Some(format!("cannot be held against {rule}: {why}")),
            }
        }
        _ => None,
    }
}

fn hold_number(name: &str, rule: &Value, number: &Number) -> Option<String> {
    let order = number::order(number, rule.as_number()?);
    match name {
        "minimum" if order.is_lt() => Some(format!("must be at least {rule}")),
        "maximum" if order.is_gt() => Some(format!("must be at most {rule}")),
        "exclusiveMinimum" if order.is_le() => Some(format!("must be more than {rule}")),
        "exclusiveMaximum" if order.is_ge() => Some(format!("must be less than {rule}")),
        _ => None,
    }
}

/// The names of a `type`, which is one or a list; nothing in place of what is no name.
fn types(rule: &Value) -> Vec<Option<&str>> {
    match rule.as_array() {
        Some(names) => names.iter().map(Value::as_str).collect(),
        None => vec![rule.as_str()],
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        // A number without a fraction is an integer, however it is written.
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        _ => false,
    }
}

/// The place as a JSON pointer, or what the whole is called.
fn named(place: &str) -> &str {
    if place.is_empty() { "the value" } else { place }
}

fn show(rule: &Value) -> String {
    rule.as_str().map_or_else(|| rule.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn person() -> Value {
        json!({
            "type": "object",
            "description": "Somebody.",
            "properties": {
                "name": {"type": "string", "minLength": 1, "pattern": "^[A-Z]"},
                "age": {"type": ["integer", "null"], "minimum": 0, "exclusiveMaximum": 150},
                "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
                "id": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            },
            "required": ["name"],
            "additionalProperties": false,
        })
    }

    #[test]
    fn a_value_that_fits_has_no_misfit() {
        assert_eq!(problem(&person()), None);
        for value in [
            json!({"name": "Ada"}),
            json!({"name": "Ada", "age": null, "tags": ["a", "b"], "id": 7}),
            json!({"name": "Ada", "age": 36.0, "tags": [], "id": "x"}),
        ] {
            assert_eq!(misfit(&person(), &value), None, "{value}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        for (value, expected) in [
            (json!([]), "the value must be of type object"),
            (json!({}), "/name is missing"),
            (json!({"name": ""}), "/name must have at least 1 characters"),
            (json!({"name": "ada"}), "/name must match \"^[A-Z]\""),
            (json!({"name": "Ada", "age": 1.5}), "/age must be of type [\"integer\",\"null\"]"),
            (json!({"name": "Ada", "age": -1}), "/age must be at least 0"),
            (json!({"name": "Ada", "age": 150}), "/age must be less than 150"),
            (json!({"name": "Ada", "tags": ["c"]}), "/tags/0 must be one of [\"a\",\"b\"]"),
            (json!({"name": "Ada", "tags": ["a", "a", "a"]}), "/tags must have at most 2 items"),
            (json!({"name": "Ada", "id": 1.5}), "/id must fit exactly one of the schemas in oneOf"),
            (json!({"name": "Ada", "more": 1}), "/more must not be there"),
        ] {
            assert_eq!(misfit(&person(), &value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn numbers_are_held_by_what_they_are_worth() {
        let least = json!({"minimum": 9_007_199_254_740_993_u64});
        assert!(misfit(&least, &json!(9_007_199_254_740_992_u64)).is_some());
        assert_eq!(misfit(&json!({"enum": [1, [2]]}), &json!(1.0)), None);
        assert_eq!(misfit(&json!({"const": {"a": 1}}), &json!({"a": 1.0})), None);
        assert!(misfit(&json!({"const": "a"}), &json!("A")).is_some());
    }

    #[test]
    fn a_pattern_that_takes_too_much_is_refused() {
        let schema = json!({"pattern": "(a{1000}){1000}"});
        assert!(problem(&schema).unwrap().starts_with("/pattern `(a{1000}){1000}` is not a"));
    }

    #[test]
    fn a_keyword_that_is_not_known_is_refused_with_its_place() {
        let schema = json!({"properties": {"a": {"items": {"not": {}}}}});
        let problem = problem(&schema).unwrap();
        assert!(problem.starts_with("/properties/a/items/not is not supported"), "{problem}");
    }

    #[test]
    fn a_rule_of_the_wrong_form_is_refused() {
        for schema in [
            json!(1),
            json!({"type": "text"}),
            json!({"type": []}),
            json!({"required": "name"}),
            json!({"properties": []}),
            json!({"anyOf": []}),
            json!({"pattern": "("}),
            json!({"minimum": "1"}),
            json!({"minItems": -1}),
        ] {
            assert!(problem(&schema).is_some(), "{schema}");
        }
    }

    #[test]
    fn every_rule_that_is_offered_is_known() {
        for rule in RULES {
            let told = look_at_rule(rule, &Value::Null, rule);
            assert!(told.is_none_or(|told| !told.contains("not supported")), "{rule}");
        }
    }
}
