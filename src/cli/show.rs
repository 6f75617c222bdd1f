//! A node's answers for people: aligned tables, short ids, the newest first.

use serde_json::Value;

use crate::table::Table;

/// Digits of a container's id that are enough for people.
const SHORT_ID: usize = 12;

/// What the line about a model's opinion says already.
const ADVISED: [&str; 6] = ["n", "at", "kind", "result", "why", "opinion"];

/// Digits of a container's whole id.
const FULL_ID: usize = 64;

pub(super) fn tree(tree: &Value) -> String {
    let head =
        ["ACTOR", "STATE", "STRATEGY", "RESTARTS", "MAILBOX", "OLDEST", "TURNS", "LAST ERROR"];
    let mut table = Table::new(&head);
    add_branch(&mut table, tree, 0);
    table.to_string()
}

fn add_branch(table: &mut Table, node: &Value, depth: usize) {
    let oldest = node["oldest_message_age_seconds"].as_f64();
    let indent = "  ".repeat(depth);
    table.row([
        format!("{indent}{} {}", text(&node["kind"]), short_key(&text(&node["key"]))),
        text(&node["state"]),
        text(&node["strategy"]),
        text(&node["restarts"]),
        text(&node["mailbox_depth"]),
        oldest.map_or_else(String::new, |age| format!("{age:.1} s")),
        text(&node["turns"]),
        text(&node["last_error"]),
    ]);
    for child in items(&node["children"]) {
        add_branch(table, child, depth + 1);
    }
}

pub(super) fn containers(answer: &Value) -> String {
    let mut table =
        Table::new(&["ID", "NAME", "STATE", "HEALTH", "CPU", "MEMORY", "MODE", "SYMPTOMS"]);
    for row in items(&answer["items"]) {
        table.row([
            short(&row["id"]),
            text(&row["name"]),
            text(&row["state"]),
            text(&row["health"]),
            percent(&row["cpu"]),
            percent(&row["memory"]),
            text(&row["mode"]),
            kinds(&row["symptoms"]),
        ]);
    }
    table.to_string()
}

pub(super) fn incidents(answer: &Value) -> String {
    let mut table =
        Table::new(&["ID", "STATUS", "SEVERITY", "CONTAINER", "OPENED", "SYMPTOMS", "RULE"]);
    for row in items(&answer["items"]) {
        table.row([
            text(&row["id"]),
            text(&row["status"]),
            text(&row["severity"]),
            text(&row["container"]["name"]),
            text(&row["opened_at"]),
            kinds(&row["symptoms"]),
            text(&row["diagnosis"]["rule"]),
        ]);
    }
    table.to_string()
}

pub(super) fn incident(incident: &Value) -> String {
    let mut table = Table::new(&["AT", "WHAT", "DETAIL"]);
    for entry in items(&incident["journal"]) {
        table.row([text(&entry["at"]), text(&entry["kind"]), step(entry)]);
    }
    let container = &incident["container"];
    format!(
        "{}  {}  {}  {} ({})\n{}{}\n{table}",
        text(&incident["id"]),
        text(&incident["status"]),
        text(&incident["severity"]),
        text(&container["name"]),
        short(&container["id"]),
        diagnosis(&incident["diagnosis"]),
        model(&incident["model"]),
    )
}

/// What is wrong, why nothing or something is done about it, and what is left to a person; a line each.
fn diagnosis(diagnosis: &Value) -> String {
    let advice = match diagnosis["verdict"].as_str() {
        Some("insufficient_evidence") => "missing",
        Some(_) | None => "to do",
    };
    let lines = [("cause", "cause"), ("reason", "why"), ("advice", advice)];
    let said = lines.map(|(field, name)| (name, text(&diagnosis[field])));
    let said = said.iter().filter(|(_, text)| !text.is_empty());
    said.map(|(name, text)| format!("{name}: {text}\n")).collect()
}

/// What a model thinks, marked as that, or why there is nothing of it; a line if one was to be asked.
fn model(advice: &Value) -> String {
    let (result, opinion) = (text(&advice["result"]), &advice["opinion"]);
    if opinion.is_null() {
        let told = format!("model: {result}: {}\n", text(&advice["why"]));
        return Some(told).filter(|_| !result.is_empty()).unwrap_or_default();
    }
    let proposes = opinion["action"].as_str().unwrap_or("nothing");
    format!(
        "opinion of the model {}, unverified: {} (cause {}, {} sure, proposes {proposes}, by {})\n",
        text(&opinion["model"]),
        text(&opinion["diagnosis"]),
        text(&opinion["cause"]),
        percent(&opinion["confidence"]),
        kinds(&opinion["evidence"]),
    )
}

/// What a journal entry says beside its kind, on one line.
fn step(entry: &Value) -> String {
    match entry["kind"].as_str().unwrap_or_default() {
        "gates" => gates(entry),
        "opened" | "reopened" => kinds(&entry["symptoms"]),
        "evidence" => format!("{} lines of log", items(&entry["log"]).count()),
        "advised" => {
            format!("{} {}", model(entry).trim_end(), fields(entry, &ADVISED)).trim().to_owned()
        }
        "diagnosed" => format!("{}: {}", text(&entry["verdict"]), text(&entry["cause"])),
        _ => fields(entry, &["n", "at", "kind"]),
    }
}

/// The gates that held, or how many were asked; why each passed is in the JSON only.
fn gates(entry: &Value) -> String {
    let held = items(&entry["gates"]).filter(|gate| gate["passed"] != true);
    let held: Vec<String> = held
        .map(|gate| format!("{} HELD: {}", text(&gate["gate"]), text(&gate["reason"])))
        .collect();
    if held.is_empty() {
        return format!("all {} passed", items(&entry["gates"]).count());
    }
    held.join("; ")
}

pub(super) fn actions(answer: &Value) -> String {
    let mut table =
        Table::new(&["N", "AT", "ACTION", "CONTAINER", "INCIDENT", "STAGE", "OUTCOME", "REASON"]);
    for row in items(&answer["items"]) {
        table.row([
            text(&row["n"]),
            text(&row["at"]),
            text(&row["action"]),
            text(&row["container"]["name"]),
            text(&row["incident"]),
            text(&row["stage"]),
            text(&row["outcome"]),
            text(&row["reason"]),
        ]);
    }
    let chain = &answer["chain"];
    let state = if chain["intact"] == true { "intact" } else { "BROKEN" };
    format!("{table}\nThe record is {state}: {}", text(&chain["detail"]))
}

pub(super) fn ordered(answer: &Value) -> String {
    let incident = text(&answer["incident"]);
    format!("taken as {incident}; `perennial incidents {incident}` shows what comes of it")
}

pub(super) fn dead_letters(answer: &Value) -> String {
    let mut table = Table::new(&["ID", "AT", "TO", "REASON", "ATTEMPTS", "LAST ERROR"]);
    for row in items(&answer["items"]) {
        let columns = ["id", "at", "to", "reason", "attempts", "last_error"];
        let [id, at, to, reason, attempts, error] = columns.map(|column| text(&row[column]));
        // Often the error is the reason.
        let error = if reason.contains(&error) { String::new() } else { error };
        table.row([id, at, to, reason, attempts, error]);
    }
    table.to_string()
}

pub(super) fn dead_letter(letter: &Value) -> String {
    let mut table = Table::new(&["FIELD", "VALUE"]);
    for (name, value) in letter.as_object().into_iter().flatten() {
        table.row([name.clone(), text(value)]);
    }
    table.to_string()
}

/// `text` as a terminal may show it: what tools and hosts have said must not move its cursor or change its colours.
pub(super) fn harmless(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', " ")
}

/// How to see what follows a list, where something does.
pub(super) fn more(answer: &Value) -> String {
    let next = answer["next"].as_str();
    next.map_or_else(String::new, |next| format!("there are more: --after {next}\n"))
}

pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn short(id: &Value) -> String {
    text(id).chars().take(SHORT_ID).collect()
}

/// A tree's key, with the id of a container cut to what people need.
fn short_key(key: &str) -> String {
    let is_id = |part: &str| part.len() == FULL_ID && part.bytes().all(|b| b.is_ascii_hexdigit());
    let shortened = |part| if is_id(part) { &part[..SHORT_ID] } else { part };
    key.split('/').map(shortened).collect::<Vec<_>>().join("/")
}

fn percent(ratio: &Value) -> String {
    ratio.as_f64().map_or_else(String::new, |ratio| format!("{:.0} %", ratio * 100.0))
}

/// The kinds of symptoms, which are listed as names or as whole symptoms.
fn kinds(symptoms: &Value) -> String {
    let name = |symptom: &Value| match symptom.get("kind") {
        Some(kind) => text(kind),
        None => text(symptom),
    };
    items(symptoms).map(name).collect::<Vec<_>>().join(", ")
}

/// All fields but `except`, as `name=value`.
fn fields(entry: &Value, except: &[&str]) -> String {
    let all = entry.as_object().into_iter().flatten();
    let shown = all.filter(|(name, value)| !except.contains(&name.as_str()) && !value.is_null());
    shown.map(|(name, value)| format!("{name}={}", text(value))).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tree_is_indented_by_depth() {
        let leaf = json!({ "kind": "actors", "key": "monitor", "state": "running" });
        let root =
            json!({ "kind": "supervisor", "key": "node", "state": "running", "children": [leaf] });
        let shown = tree(&root);
        assert!(shown.contains("\n  actors monitor"), "{shown}");
    }

    #[test]
    fn a_held_action_shows_which_gate_held_it() {
        let entry = json!({ "at": "t", "kind": "gates", "gates": [
            { "gate": "mode", "passed": true, "reason": "auto" },
            { "gate": "cooldown", "passed": false, "reason": "restarted 5 min ago" },
        ]});
        assert_eq!(step(&entry), "cooldown HELD: restarted 5 min ago");
        let entry = json!({ "kind": "gates", "gates": [{ "gate": "mode", "passed": true }] });
        assert_eq!(step(&entry), "all 1 passed");
    }

    #[test]
    fn an_incident_in_which_no_action_is_safe_says_why_and_what_a_person_can_do() {
        let shown = incident(&json!({ "id": "inc-1", "status": "escalated", "diagnosis": {
            "verdict": "no_safe_action", "cause": "It was killed.", "reason": "It was over its limit.",
            "advice": "Raise the limit.",
        }}));
        let said =
            "cause: It was killed.\nwhy: It was over its limit.\nto do: Raise the limit.\n\n";
        assert!(shown.contains(said), "{shown}");
        let unclear = diagnosis(&json!({ "verdict": "insufficient_evidence", "advice": "A log." }));
        assert_eq!(unclear, "missing: A log.\n");
        assert_eq!(diagnosis(&Value::Null), "");
    }

    #[test]
    fn what_a_model_thinks_is_shown_as_its_opinion_with_its_name_and_what_kept_it_from_one_as_that()
    {
        let opinion = json!({ "model": "small", "diagnosis": "It is full.", "cause": "disk",
            "confidence": 0.7, "action": null, "evidence": ["log:3"] });
        let given = json!({ "kind": "advised", "result": "given", "opinion": opinion });
        let said = "opinion of the model small, unverified: It is full. (cause disk, 70 % sure, proposes nothing, \
                    by log:3)";
        assert_eq!(model(&given), format!("{said}\n"));
        assert_eq!(step(&given), said);
        let refused = json!({ "kind": "advised", "result": "refused", "why": "it is no JSON" });
        assert_eq!(model(&refused), "model: refused: it is no JSON\n");
        assert_eq!(model(&Value::Null), "");
    }

    #[test]
    fn the_table_of_dead_letters_says_an_error_that_is_the_reason_once() {
        let letter =
            |reason: &str| json!({ "id": "1-1", "reason": reason, "last_error": "answered 400" });
        let shown = |reason| dead_letters(&json!({ "items": [letter(reason)] }));
        assert_eq!(shown("refused: answered 400").matches("answered 400").count(), 1);
        assert!(shown("out of attempts").contains("answered 400"));
    }

    #[test]
    fn a_containers_id_is_short_in_the_tree() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(short_key(&format!("monitor/{id}")), "monitor/0123456789ab");
        assert_eq!(short_key("responder/local"), "responder/local");
    }

    #[test]
    fn what_has_no_line_of_its_own_shows_its_fields() {
        let entry = json!({ "n": 1, "at": "t", "kind": "recovered", "reason": "by itself" });
        assert_eq!(step(&entry), "reason=by itself");
    }
}
