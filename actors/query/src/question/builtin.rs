//! What can be asked of a node without a table of its own: about the tools that it has.

use super::intents::Table;
use super::read::written;
use crate::tool::Catalogue;

/// Tools that search, the best first: each takes a `query`.
const SEARCHES: [&str; 3] = ["hybrid", "search", "vector"];

/// What reading a file answers.
const FILES: &str = r#"
  - id: read
    description: What is in a file, as in "read the file notes.txt"
    patterns: ['\b(?:read|show|print|open)\b.*?\bfile\s+(?P<path>\S*\w)']
    steps:
      - {id: read, tool: file_read, arguments: {path: "{{ inputs.path }}"}}
    answer: '{{ steps.read.result.content | replace("[[", "[ [") }}'
"#;

/// What listing a folder answers.
const FOLDERS: &str = r#"
  - id: files
    description: What files there are, as in "which files are there"
    keywords: [which files, what files, list files, list the files, list all files]
    steps:
      - {id: files, tool: file_list, arguments: {}}
    answer: '{% for entry in steps.files.result.entries %}{{ entry.name }}
      {% endfor %}'
"#;

/// The table of a node that has none of its own: which tools there are, what is in files, and a search where
/// a tool searches.
#[must_use]
pub fn built_in(catalogue: &Catalogue) -> Table {
    let names: Vec<&str> = catalogue.0.keys().map(String::as_str).collect();
    let mut table = Table::default();
    for intents in [tools(&names), FILES.to_owned(), FOLDERS.to_owned()] {
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
