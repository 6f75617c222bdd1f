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

/// A tool that says which version its data have.
struct Told(ToolSpec, u64);

impl Tool for Told {
    fn spec(&self) -> &ToolSpec {
        &self.0
    }

    fn call<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<ToolAnswer, ToolError>> {
        Box::pin(async { Err(ToolError::failed("it is never called")) })
    }

    fn data_version(&self) -> u64 {
        self.1
    }
}

#[test]
fn a_plan_answers_from_another_version_when_the_data_of_one_of_its_tools_have_changed() {
    let plan = |tools: &[&str]| {
        let steps: Vec<Value> =
            tools.iter().map(|tool| json!({"id": tool, "tool": tool})).collect();
        let catalogue = toolbox(0, 0).catalogue();
        crate::pipeline::read_json(&json!({"name": "a", "steps": steps}), &catalogue).unwrap().plan
    };
    fn toolbox(files: u64, tables: u64) -> Toolbox {
        let told = |name: &str, version| Told(ToolSpec::new(name, "Reads."), version);
        Toolbox::default().with(told("files", files)).with(told("tables", tables))
    }
    let (one, both) = (plan(&["files"]), plan(&["files", "tables"]));
    assert_eq!(toolbox(0, 7).data_version(&one), 0);
    assert_eq!(toolbox(5, 7).data_version(&one), toolbox(5, 8).data_version(&one));
    let versions = [(5, 7), (6, 7), (5, 8), (7, 5)].map(|(a, b)| toolbox(a, b).data_version(&both));
    assert_eq!(versions.iter().collect::<BTreeSet<_>>().len(), versions.len());
}
