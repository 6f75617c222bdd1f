//! What a person asks for.

use perennial_healing::model::Action;
use serde::{Deserialize, Serialize};

use super::super::error::ApiError;

/// The longest reason, in bytes: it is stored in the audit.
const LONGEST_REASON: usize = 2_000;

/// The body of an order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Wanted {
    /// Id, short id or name.
    pub(in crate::http) container: String,
    action: Kind,
    /// For the audit.
    pub(in crate::http) reason: String,
    /// With `exec` only: the whole argument vector.
    argv: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Restart,
    Start,
    Stop,
    Scale,
    Cleanup,
    Exec,
}

/// The answer to an order.
#[derive(Debug, Serialize)]
pub(in crate::http) struct Taken {
    /// The incident under which it is recorded, in `/v1/incidents` and `/v1/actions`.
    pub(in crate::http) incident: String,
}

impl Wanted {
    pub(in crate::http) fn action(&self) -> Result<Action, ApiError> {
        if self.reason.trim().is_empty() || self.reason.len() > LONGEST_REASON {
            let why = format!("`reason` must say why, in at most {LONGEST_REASON} bytes");
            return Err(ApiError::Malformed(why));
        }
        match (self.action, &self.argv) {
            (Kind::Exec, Some(argv)) if !argv.is_empty() => Ok(Action::Exec(argv.clone())),
            (Kind::Exec, _) => {
                Err(ApiError::Malformed("`exec` needs its command as the list `argv`".to_owned()))
            }
            (_, Some(_)) => {
                Err(ApiError::Malformed("`argv` is for the action `exec` only".to_owned()))
            }
            (Kind::Restart, None) => Ok(Action::Restart),
            (Kind::Start, None) => Ok(Action::Start),
            (Kind::Stop, None) => Ok(Action::Stop),
            (Kind::Scale, None) => Ok(Action::Scale),
            (Kind::Cleanup, None) => Ok(Action::Cleanup),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn action(action: &str, argv: Option<&[&str]>) -> Result<Action, ApiError> {
        let body = json!({ "container": "web", "action": action, "reason": "r", "argv": argv });
        serde_json::from_value::<Wanted>(body).unwrap().action()
    }

    #[test]
    fn an_order_to_run_a_command_names_it_and_no_other_does() {
        let argv: &[&str] = &["true", "x"];
        let exec = Action::Exec(vec!["true".to_owned(), "x".to_owned()]);
        assert_eq!(action("exec", Some(argv)).unwrap(), exec);
        assert_eq!(action("scale", None).unwrap(), Action::Scale);
        for (name, argv) in [("exec", None), ("exec", Some(&[][..])), ("restart", Some(argv))] {
            assert!(action(name, argv).unwrap_err().to_string().contains("argv"), "{name}");
        }
    }

    #[test]
    fn an_order_without_a_reason_is_refused() {
        let body = json!({ "container": "web", "action": "stop", "reason": " " });
        let wanted: Wanted = serde_json::from_value(body).unwrap();
        assert!(wanted.action().unwrap_err().to_string().contains("`reason`"));
    }
}
