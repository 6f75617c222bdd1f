//! What can be asked of a node without a table of its own: about the tools that it has.

use super::intents::Table;
use super::read::written;
use crate::tool::Catalogue;

/// Tools that search, the best first: each takes a `query`.
const SEARCHES: [&str; 3] = ["hybrid", "search", "vector"];

/// What is known of the node's containers. Of what happens, nothing is given again that was true a while ago.
const FLEET: &str = r#"
  - id: containers
    description: How the containers are, as in "which containers are there"
    keywords: [container, containers]
    cache: false
    steps:
      - {id: containers, tool: fleet, arguments: {about: containers}}
    answer: "{% for row in steps.containers.result['items'] %}{{ '' if loop.first else '\n' }}{{ row.name }} is {{ row.state }} [[{{ row.id }}]]\
      {% else %}No container is known here.{% endfor %}"
  - id: incidents
    description: What was wrong with them, as in "what incidents were there"
    keywords: [incident, incidents, wrong, failed, crashed, unhealthy]
    cache: false
    steps:
      - {id: incidents, tool: fleet, arguments: {about: incidents}}
    answer: "{% for row in steps.incidents.result['items'] %}{{ '' if loop.first else '\n' }}{{ row.container }}: {{ row.severity }}, \
      {{ row.status }}, {{ row.symptoms | join(', ') }} [[{{ row.id }}]]\
      {% else %}Nothing was wrong.{% endfor %}"
  - id: actions
    description: What was done about it, as in "what actions were taken"
    keywords: [action, actions, what was done, what did you do]
    cache: false
    steps:
      - {id: actions, tool: fleet, arguments: {about: actions}}
    answer: "{% for row in steps.actions.result['items'] %}{{ '' if loop.first else '\n' }}{{ row.action }} of {{ row.container }}: \
      {{ row.outcome or row.stage }} [[action-{{ row.number }}]]\
      {% else %}Nothing was done.{% endfor %}"
"#;

/// What reading a file answers.
const FILES: &str = r#"
  - id: read
    description: What is in a file, as in "read the file notes.txt"
    cache: false
    patterns: ['\b(?:read|show|print|open)\b.*?\bfile\s+(?P<path>\S*\w)']
    steps:
      - {id: read, tool: file_read, arguments: {path: "{{ inputs.path }}"}}
    answer: '{{ steps.read.result.content | replace("[[", "[ [") }}'
"#;

/// What listing a folder answers.
const FOLDERS: &str = r#"
  - id: files
    description: What files there are, as in "which files are there"
    cache: false
    keywords: [which files, what files, list files, list the files, list all files]
    steps:
      - {id: files, tool: file_list, arguments: {}}
    answer: "{% for entry in steps.files.result.entries %}{{ entry.name }}\n{% endfor %}"
"#;

/// The table of a node that has none of its own: which tools there are, how its containers are, what is in
/// files, and a search where a tool searches.
#[must_use]
pub fn built_in(catalogue: &Catalogue) -> Table {
    let names: Vec<&str> = catalogue.0.keys().map(String::as_str).collect();
    let mut table = Table::default();
    for intents in [&tools(&names), FLEET, FILES, FOLDERS] {
        // What a node has no tool for cannot be asked of it.
        if let Ok(read) = written(&format!("intents:{intents}"), catalogue) {
            table.intents.extend(read.table.intents);
        }
    }
    search_by_default(&mut table, catalogue);
    table
}

fn tools(names: &[&str]) -> String {
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!(
        r#"
  - id: tools
    description: What tools there are, as in "which tools are there"
    keywords: [tools, help, what can you do, what can i ask]
    steps:
      - {{id: tools, value: "{names}"}}
    answer: "The tools of this node: {{{{ steps.tools.result }}}}."
"#
    )
}

/// Has whatever is about no intent looked for, if there is a tool for that and the table says nothing else.
pub(super) fn search_by_default(table: &mut Table, catalogue: &Catalogue) {
    if table.default.is_some() {
        return;
    }
    for tool in SEARCHES {
        let id = unused("search", table);
        let intent = search(&id, tool);
        if let Ok(read) = written(&format!("default: {id}\nintents:{intent}"), catalogue) {
            table.default = Some(table.intents.len());
            table.intents.extend(read.table.intents);
            return;
        }
    }
}

/// `name`, or the same with a number if an intent or a step has it.
fn unused(name: &str, table: &Table) -> String {
    let taken = |name: &String| {
        let mut intents = table.intents.iter();
        intents.any(|intent| {
            intent.id == *name || intent.steps.iter().any(|step| step.id.as_str() == name)
        })
    };
    let numbered = (2_u32..).map(|number| format!("{name}_{number}"));
    let mut all = std::iter::once(name.to_owned()).chain(numbered);
    all.find(|name| !taken(name)).unwrap_or_default()
}

fn search(id: &str, tool: &str) -> String {
    format!(
        r#"
  - id: {id}
    description: Anything that is written in the documents
    steps:
      - {{id: {id}, tool: {tool}, arguments: {{query: "{{{{ inputs.question }}}}"}}}}
    min_evidence: 1
    answer: |
      {{% if steps.{id}.result.hits is defined %}}{{% for hit in steps.{id}.result.hits -%}}
      {{{{ hit.text | replace("[[", "[ [") }}}} [[{{{{ hit.id }}}}]]
      {{% endfor %}}{{% else %}}{{{{ (steps.{id}.result | string)[:2000] | replace("[[", "[ [") }}}}{{% endif %}}
"#
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expression;
    use crate::plan::ValueType;
    use crate::tool::{Parameter, ToolSpec};

    fn catalogue() -> Catalogue {
        let spec = |name: &str, parameter: &str| {
            let parameter = Parameter::optional(parameter, ValueType::String, "");
            (name.to_owned(), ToolSpec::new(name, "").parameter(parameter))
        };
        let tools = [spec("fleet", "about"), spec("file_read", "path"), spec("file_list", "path")];
        Catalogue(tools.into())
    }

    #[test]
    fn what_is_known_of_containers_is_told_a_line_each_with_its_evidence() {
        let table = built_in(&catalogue());
        let told = |intent: &str, rows: serde_json::Value| {
            let found = table.intents.iter().find(|known| known.id == intent).unwrap();
            let mut scope = json!({"steps": {}});
            scope["steps"][intent] = json!({"result": {"items": rows}});
            expression::render_text(found.answer.as_ref().unwrap(), &scope).unwrap()
        };
        let rows = json!([
            {"name": "web", "state": "running", "id": "c1"},
            {"name": "db", "state": "exited", "id": "c2"},
        ]);
        assert_eq!(told("containers", rows), "web is running [[c1]]\ndb is exited [[c2]]");
        assert_eq!(told("incidents", json!([])), "Nothing was wrong.");
        let rows = json!([{
            "container": "db", "severity": "critical", "status": "open", "id": "inc-1",
            "symptoms": ["died", "looping"],
        }]);
        assert_eq!(told("incidents", rows), "db: critical, open, died, looping [[inc-1]]");
        let rows = json!([{
            "action": "restart", "container": "db", "outcome": null, "stage": "began", "number": 3,
        }]);
        assert_eq!(told("actions", rows), "restart of db: began [[action-3]]");
    }

    #[test]
    fn every_part_can_be_read_where_its_tool_is_there() {
        for part in [FLEET, FILES, FOLDERS] {
            let read = written(&format!("intents:{part}"), &catalogue());
            let findings = read.map_or_else(|findings| findings, |read| read.warnings);
            let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
            assert!(told.is_empty(), "{told:#?}");
        }
    }
}
