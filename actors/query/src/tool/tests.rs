use serde_json::json;

use super::*;

fn spec() -> ToolSpec {
    ToolSpec::new("copy", "Copies.")
        .parameter(Parameter::required("from", ValueType::String, "Where from."))
        .parameter(Parameter::optional("times", ValueType::Integer, "How often.").between(1.0, 9.0))
        .parameter(Parameter::optional("mode", ValueType::String, "How.").of(&["fast", "safe"]))
}

#[test]
fn arguments_are_checked_by_name_type_choice_and_range() {
    let wrong = json!({"times": 10, "mode": "odd", "form": "x"});
    let problems = spec().problems(&wrong, false);
    let names: Vec<&str> = problems.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["form", "mode", "times", "from"]);
    assert!(spec().problems(&json!({"from": "a", "times": 3}), false).is_empty());
    assert_eq!(spec().problems(&json!({"from": 1}), false).len(), 1);
}

#[test]
fn a_template_may_stand_for_any_value_until_it_is_filled_in() {
    let arguments = json!({"from": "a", "times": "{{ inputs.times }}"});
    assert!(spec().problems(&arguments, true).is_empty());
    assert_eq!(spec().problems(&arguments, false).len(), 1);
}

#[test]
fn a_tool_is_described_as_json_schema() {
    let schema = spec().schema();
    assert_eq!(schema["required"], json!(["from"]));
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema["properties"]["times"]["maximum"], json!(9.0));
    assert_eq!(schema["properties"]["mode"]["enum"], json!(["fast", "safe"]));
}
