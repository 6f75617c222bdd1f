//! From what a caller gives to what is run. Pure.

use serde_json::{Map, Value};

use super::config::Allowed;

/// The program and its arguments, with `given` filled in.
///
/// # Errors
/// Which argument is not what the command takes, and what it takes.
pub(super) fn fill(command: &Allowed, given: &Map<String, Value>) -> Result<Vec<String>, String> {
    let known = |name: &String| command.parameters.contains_key(name);
    if let Some(unknown) = given.keys().find(|name| !known(name)) {
        let names: Vec<&str> = command.parameters.keys().map(String::as_str).collect();
        let takes = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        return Err(format!("`{}` has no argument `{unknown}`; it takes {takes}", command.name));
    }
    let mut values = Vec::new();
    for (name, placeholder) in &command.parameters {
        let value = match given.get(name) {
            Some(value) => text(value)
                .ok_or_else(|| format!("argument `{name}` must be text or a number: {value}"))?,
            None => {
                let default = placeholder.default.clone();
                default.ok_or_else(|| format!("argument `{name}` must be given"))?
            }
        };
        if let Some(why) = placeholder.refuses(&value) {
            return Err(format!("argument `{name}` {why}"));
        }
        values.push((name, value));
    }
    let mut argv: Vec<String> = command.argv.iter().take(1).cloned().collect();
    for part in command.argv.iter().skip(1) {
        argv.push(replace(command, part, &values)?);
    }
    Ok(argv)
}

/// Values are numbers or text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `part` with its placeholders filled in, from left to right: what is filled in is not looked at again.
fn replace(command: &Allowed, part: &str, values: &[(&String, String)]) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = part;
    while let Some(open) = rest.find('{') {
        let (before, braced) = rest.split_at(open);
        filled.push_str(before);
        let found = values.iter().find_map(|(name, value)| {
            let behind = braced[1..].strip_prefix(name.as_str())?.strip_prefix('}')?;
            Some((*name, value, behind))
        });
        let Some((name, value, behind)) = found else {
            filled.push('{');
            rest = &braced[1..];
            continue;
        };
        let dashes = command.parameters.get(name).is_some_and(|p| p.may_begin_with_dash);
        if filled.is_empty() && value.starts_with('-') && !dashes {
            return Err(format!(
                "argument `{name}` begins with a dash and would be taken for an option"
            ));
        }
        filled.push_str(value);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::config::{Config, Placeholder};
    use super::*;

    fn placeholder(pattern: &str) -> Placeholder {
        Placeholder { pattern: pattern.to_owned(), ..Placeholder::default() }
    }

    fn command(argv: &[&str], parameters: &[(&str, Placeholder)]) -> Allowed {
        let parameters: BTreeMap<_, _> =
            parameters.iter().map(|(name, p)| ((*name).to_owned(), p.clone())).collect();
        let argv = argv.iter().map(|part| (*part).to_owned()).collect();
        Allowed { name: "run".to_owned(), argv, parameters, ..Allowed::default() }
    }

    fn filled(command: &Allowed, given: Value) -> Result<Vec<String>, String> {
        let config = Config { commands: vec![command.clone()] };
        assert_eq!(config.problems(), Vec::<String>::new());
        fill(command, given.as_object().unwrap())
    }

    #[test]
    fn placeholders_are_filled_in_and_braces_without_a_parameter_stay() {
        let parameters = [("n", placeholder("[0-9]+")), ("since", placeholder("[0-9a-z]+"))];
        let argv = ["log", "--since={since}", "{n}", "{{.Names}}", "{print}", "{n}{since}"];
        let command = command(&argv, &parameters);
        assert_eq!(
            filled(&command, json!({"n": 5, "since": "2h"})).unwrap(),
            ["log", "--since=2h", "5", "{{.Names}}", "{print}", "52h"]
        );
    }

    #[test]
    fn what_was_filled_in_is_not_filled_in_again() {
        let command =
            command(&["echo", "{a} {b}"], &[("a", placeholder(".*")), ("b", placeholder(".*"))]);
        let argv = filled(&command, json!({"a": "{b}", "b": "{a}"})).unwrap();
        assert_eq!(argv, ["echo", "{b} {a}"]);
    }

    #[test]
    fn a_value_must_match_all_of_the_pattern_or_be_one_of_the_choices() {
        let unit =
            Placeholder { choices: vec!["web".into(), "db".into()], ..Placeholder::default() };
        let command =
            command(&["x", "{n}", "{unit}"], &[("n", placeholder("[0-9]+|all")), ("unit", unit)]);
        assert!(filled(&command, json!({"n": "all", "unit": "db"})).is_ok());
        for (n, unit) in [("1; rm", "db"), ("1\n", "db"), ("xall", "db"), ("1", "cache")] {
            assert!(filled(&command, json!({"n": n, "unit": unit})).is_err(), "{n:?} {unit:?}");
        }
    }

    #[test]
    fn a_value_is_no_option_unless_the_command_says_it_may_be() {
        let mut path = placeholder(".*");
        let strict = command(&["cat", "{path}"], &[("path", path.clone())]);
        assert!(filled(&strict, json!({"path": "--help"})).unwrap_err().contains("dash"));
        path.may_begin_with_dash = true;
        let loose = command(&["cat", "{path}"], &[("path", path.clone())]);
        assert!(filled(&loose, json!({"path": "--help"})).is_ok());
    }

    #[test]
    fn arguments_that_are_unknown_missing_or_no_text_are_named() {
        let mut n = placeholder("[0-9]+");
        let strict = command(&["x", "{n}"], &[("n", n.clone())]);
        for given in [json!({}), json!({"n": ["1"]}), json!({"n": null})] {
            assert!(filled(&strict, given).unwrap_err().contains("`n`"));
        }
        assert!(filled(&strict, json!({"n": 1, "m": 2})).unwrap_err().contains("`m`"));
        n.default = Some("7".to_owned());
        assert_eq!(filled(&command(&["x", "{n}"], &[("n", n)]), json!({})).unwrap(), ["x", "7"]);
    }

    #[test]
    fn a_configuration_that_cannot_work_is_refused_with_the_key_named() {
        let wrong = [
            (command(&[], &[]), "commands[0].argv"),
            (
                command(&["x"], &[("n", placeholder("a"))]),
                "commands[0].parameters.n stands nowhere",
            ),
            (
                command(&["{n}"], &[("n", placeholder("a"))]),
                "commands[0].parameters.n stands nowhere",
            ),
            (command(&["x", "{n}"], &[("n", placeholder(""))]), "commands[0].parameters.n needs"),
            (
                command(&["x", "{n}"], &[("n", placeholder("("))]),
                "commands[0].parameters.n has a pattern",
            ),
            (
                command(&["x", "{n}"], &[("n", placeholder("a)|(b"))]),
                "commands[0].parameters.n has a pattern",
            ),
            (Allowed { directory: "tmp".into(), ..command(&["x"], &[]) }, "commands[0].directory"),
            (Allowed { name: "a b".into(), ..command(&["x"], &[]) }, "commands[0].name"),
        ];
        for (command, begins) in wrong {
            let problems = Config { commands: vec![command] }.problems();
            assert!(problems.iter().any(|text| text.starts_with(begins)), "{problems:?}");
        }
        let twice = Config { commands: vec![command(&["x"], &[]), command(&["y"], &[])] };
        assert_eq!(twice.problems(), ["commands[1].name: there are two commands `run`"]);
    }
}
