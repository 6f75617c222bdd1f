//! Questions to a club of made-up players, with made-up tools.

mod asking;
mod built_in;
mod following;
mod reading;

use std::sync::Arc;

use perennial_runtime::Timestamp;

use super::*;
use crate::graph::Graph;
use crate::plan::ValueType;
use crate::tool::{Parameter, ToolSpec};

/// What can be asked of the club.
const CLUB: &str = r#"
default: knowledge
examples: [How is Suzuki performing this season?]
time:
  words:
    - {say: [this season], unit: year, begins: 10-01}
    - {say: [last season], unit: year, begins: 10-01, back: 1}
intents:
  - id: player
    description: How a player does
    keywords: [performing, performance]
    patterns: ['how is (?P<name>\w+) (?:performing|doing)']
    priority: 3
    steps:
      - &stats {id: stats, tool: table, arguments: {text: "{{ inputs.question }}", from: "{{ inputs.from }}"}}
    answer: "{{ inputs.name }} in {{ inputs.period }}: {{ steps.stats.result }}"
  - id: knowledge
    keywords: [how is, what is, why]
    priority: 2
    steps:
      - {id: knowledge, tool: vectors, arguments: {text: "{{ inputs.question }}"}}
    answer: "It is said: {{ steps.knowledge.result }}"
  - id: statistics
    keywords: [goals, percentage]
    patterns: ['\bstats for\b']
    priority: 3
    steps: [*stats]
    answer: "In figures: {{ steps.stats.result }}"
  - id: metrics
    keywords: [compare, average, analyze]
    priority: 4
    steps:
      - {id: metrics, tool: metrics, arguments: {text: x}}
    answer: "Measured: {{ steps.metrics.result }}"
  - id: matchup
    keywords: [against]
    priority: 5
    steps:
      - {id: matchup, tool: matchup, arguments: {text: x}}
    answer: "Of both: {{ steps.matchup.result }}"
"#;

fn tool(name: &str, permission: Option<&str>) -> (String, ToolSpec) {
    let spec = ToolSpec::new(name, "")
        .parameter(Parameter::required("text", ValueType::String, ""))
        .parameter(Parameter::optional("from", ValueType::Any, ""));
    let permission = permission.map(str::to_owned);
    (name.to_owned(), ToolSpec { permission, ..spec })
}

fn catalogue() -> Catalogue {
    let free = ["vectors", "table", "games", "schedule", "chart", "boxscore", "plays", "live"];
    let deals = ["contracts", "trades", "comparables"];
    let mut tools: Vec<(String, ToolSpec)> =
        free.iter().chain(&deals).map(|name| tool(name, None)).collect();
    tools.push(tool("metrics", Some("advanced")));
    tools.push(tool("matchup", Some("opponent")));
    Catalogue(tools.into_iter().collect())
}

fn planner(table: &str) -> Planner {
    let read = read(table, &catalogue());
    let table = read.unwrap_or_else(|findings| panic!("{}", lines(&findings))).table;
    let mut roles = Roles::default();
    let permissions = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    roles.0.insert("coach".into(), permissions(&["advanced", "opponent"]));
    roles.0.insert("admin".into(), permissions(&["*"]));
    Planner { table, roles: Arc::new(roles), catalogue: Arc::new(catalogue()) }
}

fn lines(findings: &[crate::check::Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

fn role(name: &str) -> Identity {
    Identity { name: "ann".into(), role: name.into(), ..Identity::default() }
}

fn at(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_micros(u64::try_from(at.as_microsecond()).unwrap())
}

fn asked_at(planner: &Planner, question: &str, who: &str, now: &str) -> PlannedQuestion {
    match plan_question(planner, question, &role(who), at(now)).unwrap() {
        Planned::Plan(planned) => *planned,
        Planned::Clarification(clarification) => panic!("{clarification:?}"),
    }
}

fn asked(question: &str, who: &str) -> PlannedQuestion {
    asked_at(&planner(CLUB), question, who, "2025-10-04T12:00:00Z")
}

impl PlannedQuestion {
    /// The steps that are done at the same time, from first to last.
    fn levels(&self) -> Vec<Vec<&str>> {
        let graph = Graph::of(&self.plan).unwrap();
        let id = |at: &usize| self.plan.steps[*at].id.as_str();
        graph.levels.iter().map(|level| level.iter().map(id).collect()).collect()
    }

    /// The tools that are called, in the order of the plan.
    fn tools(&self) -> Vec<&str> {
        let calls = self.plan.steps.iter().filter_map(|step| step.call(0));
        calls.map(|call| call.tool.as_str()).collect()
    }

    fn denied(&self) -> Vec<String> {
        self.denied.iter().map(ToString::to_string).collect()
    }
}
