//! What a caller gives to a plan. Pure.

use serde_json::{Map, Value};

use crate::check::Finding;
use crate::check::place::{Findings, Place};
use crate::plan::{Input, Plan};

/// The inputs of `plan`: those in `given`, an object or `null`, and the defaults of the others.
///
/// # Errors
/// Everything that is wrong with them: names that the plan does not declare, values of another type, and
/// inputs without a default that are not given.
pub fn bind(plan: &Plan, given: &Value) -> Result<Value, Vec<Finding>> {
    let mut findings = Findings::default();
    let nothing = Map::new();
    let given = match given {
        Value::Object(given) => given,
        Value::Null => &nothing,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let message = "must be an object of names and values";
            findings.error(&Place::of_plan("inputs"), "invalid_input", message);
            return Err(findings.into_findings());
        }
    };
    for name in given.keys().filter(|name| plan.inputs.iter().all(|input| input.name != **name)) {
        let message = format!("the plan takes no input `{name}`");
        findings.error(&place(name), "unknown_input", message);
        findings.suggest_closest(name, plan.inputs.iter().map(|input| input.name.as_str()));
    }
    let mut bound = Map::new();
    for input in &plan.inputs {
        if let Some(value) = value_of(input, given.get(&input.name), &mut findings) {
            bound.insert(input.name.clone(), value);
        }
    }
    if findings.0.is_empty() { Ok(Value::Object(bound)) } else { Err(findings.into_findings()) }
}

fn value_of(input: &Input, given: Option<&Value>, findings: &mut Findings) -> Option<Value> {
    let wanted = input.value_type.as_str();
    match given {
        Some(value) if input.value_type.admits(value) => return Some(value.clone()),
        Some(value) => {
            let message = format!("must be of type {wanted}, not {value}");
            findings.error(&place(&input.name), "invalid_input", message);
        }
        None => match &input.default {
            Some(default) => return Some(default.0.clone()),
            None => {
                let message = format!("must be given, of type {wanted}");
                findings.error(&place(&input.name), "missing_input", message);
            }
        },
    }
    None
}

fn place(name: &str) -> Place {
    Place::of_plan("inputs").field(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::json::Json;
    use crate::plan::ValueType;

    fn plan() -> Plan {
        let input = |name: &str, value_type, default: Option<Value>| Input {
            name: name.to_owned(),
            value_type,
            description: String::new(),
            default: default.map(Json),
        };
        Plan {
            inputs: vec![
                input("path", ValueType::String, None),
                input("limit", ValueType::Integer, Some(json!(10))),
                input("note", ValueType::Any, Some(json!(null))),
            ],
            ..Plan::default()
        }
    }

    fn refused(given: &Value) -> Vec<(&'static str, String)> {
        let findings = bind(&plan(), given).unwrap_err();
        findings.into_iter().map(|finding| (finding.code, finding.to_string())).collect()
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let bound = bind(&plan(), &json!({"path": "a.txt"})).unwrap();
        assert_eq!(bound, json!({"path": "a.txt", "limit": 10, "note": null}));
        let bound = bind(&plan(), &json!({"path": "a.txt", "limit": 3, "note": [1]})).unwrap();
        assert_eq!(bound, json!({"path": "a.txt", "limit": 3, "note": [1]}));
    }

    #[test]
    fn everything_wrong_with_the_inputs_is_told_at_once() {
        let findings = refused(&json!({"limit": "ten", "pth": "a.txt"}));
        let codes: Vec<&str> = findings.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, ["unknown_input", "missing_input", "invalid_input"]);
        assert_eq!(
            findings[0].1,
            "inputs.pth: the plan takes no input `pth`; did you mean `path`?"
        );
        assert_eq!(findings[1].1, "inputs.path: must be given, of type string");
        assert_eq!(findings[2].1, "inputs.limit: must be of type integer, not \"ten\"");
    }

    #[test]
    fn inputs_are_an_object_or_left_out() {
        assert_eq!(refused(&json!([1]))[0].0, "invalid_input");
        assert_eq!(refused(&json!(null))[0].0, "missing_input");
    }
}
