//! What a call rests on: where it fails again and again, only what rests on the same is spared. Pure.

use serde_json::Value;

use crate::tools::http;

/// Bytes of a target that are looked at: it is kept as long as it is out of order.
const LONGEST: usize = 200;

/// How what a call of a tool rests on is told from its arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// All calls rest on the same.
    #[default]
    Tool,
    /// On the host and port of the URL that this argument is.
    Host(&'static str),
    /// On what these arguments name.
    Named(&'static [&'static str]),
}

impl Target {
    /// What a call with these arguments rests on; empty if all calls of the tool rest on the same, or it cannot be
    /// told.
    #[must_use]
    pub fn of(&self, arguments: &Value) -> String {
        let mut target = match self {
            Self::Tool => String::new(),
            Self::Host(name) => {
                arguments[*name].as_str().and_then(http::authority).unwrap_or_default()
            }
            Self::Named(names) => {
                let given = names.iter().filter_map(|name| arguments[*name].as_str());
                given.collect::<Vec<_>>().join(" ")
            }
        };
        target.truncate(target.floor_char_boundary(LONGEST));
        target
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_url_rests_on_its_host_and_port_and_shows_nothing_else() {
        let host = |url: &str| Target::Host("url").of(&json!({"url": url}));
        assert_eq!(host("https://ann:secret@Example.com/a?key=b"), "example.com:443");
        assert_eq!(host("http://example.com"), "example.com:80");
        assert_eq!(host("http://127.0.0.1:8080/"), "127.0.0.1:8080");
        for none in ["", "no url", "data:text/plain,a"] {
            assert_eq!(host(none), "", "{none}");
        }
        assert_eq!(Target::Host("url").of(&json!({})), "");
    }

    #[test]
    fn others_rest_on_what_their_arguments_name() {
        let model = Target::Named(&["model", "mode"]);
        assert_eq!(model.of(&json!({"model": "small", "prompt": "a"})), "small");
        assert_eq!(model.of(&json!({"model": "small", "mode": "fast"})), "small fast");
        assert_eq!(model.of(&json!({"prompt": "a"})), "");
        assert_eq!(Target::Tool.of(&json!({"model": "small"})), "");
        assert_eq!(model.of(&json!({"model": "é".repeat(200)})).len(), 200);
    }
}
