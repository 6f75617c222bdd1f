//! What a request to a model's server looks like, and what its answer means. Pure.

use serde_json::Value;

use super::config::Provider;

mod anthropic;
mod openai;

/// What a model is asked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    /// What the server calls the model.
    pub(super) model: String,
    /// What it is told before all else; may be empty.
    pub(super) system: String,
    pub(super) messages: Vec<Message>,
    pub(super) max_tokens: u32,
    pub(super) temperature: Option<f64>,
    /// Whether the answer comes in parts.
    pub(super) stream: bool,
}

/// A part of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) role: Role,
    pub(super) content: String,
}

/// Who said a part of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Assistant,
}

impl Role {
    /// The name in both protocols.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// What a model wrote, as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Completion {
    pub(super) text: String,
    /// Tokens it read, if the server has said.
    pub(super) input: Option<u64>,
    /// Tokens it wrote, if the server has said.
    pub(super) output: Option<u64>,
    /// Why it stopped, if it has.
    pub(super) stopped: Option<Stop>,
    /// Whether the server has said that nothing more comes.
    pub(super) ended: bool,
}

/// Why a model stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It had said everything.
    Done,
    /// It was not allowed more tokens.
    TooLong,
    /// Something else, in the server's words.
    Other(String),
}

/// The path of the request below the server's address.
pub(super) const fn path(provider: Provider) -> &'static str {
    match provider {
        Provider::OpenAi => "/chat/completions",
        Provider::Anthropic => "/messages",
    }
}

/// The headers that carry `key` and name the protocol.
pub(super) fn headers(provider: Provider, key: &str) -> Vec<(&'static str, String)> {
    let mut headers = match provider {
        Provider::OpenAi => vec![("authorization", format!("Bearer {key}"))],
        Provider::Anthropic => vec![("x-api-key", key.to_owned())],
    };
    if key.is_empty() {
        headers.clear();
    }
    headers.extend(match provider {
        Provider::OpenAi => None,
        Provider::Anthropic => Some(("anthropic-version", anthropic::VERSION.to_owned())),
    });
    headers
}

/// The body of the request.
pub(super) fn body(provider: Provider, request: &Request) -> Value {
    match provider {
        Provider::OpenAi => openai::body(request),
        Provider::Anthropic => anthropic::body(request),
    }
}

/// Reads an answer that came whole.
///
/// # Errors
/// What is missing in it.
pub(super) fn read(provider: Provider, answer: &Value) -> Result<Completion, String> {
    match provider {
        Provider::OpenAi => openai::read(answer),
        Provider::Anthropic => anthropic::read(answer),
    }
}

/// Adds a part of an answer that comes in parts.
///
/// # Errors
/// What the server says went wrong.
pub(super) fn add(
    provider: Provider,
    completion: &mut Completion,
    data: &str,
) -> Result<(), String> {
    if data.trim() == openai::END {
        completion.ended = true;
        return Ok(());
    }
    let part: Value = serde_json::from_str(data)
        .map_err(|error| format!("sent a part that is no JSON: {error}"))?;
    if let Some(error) = part.get("error").filter(|error| !error.is_null()) {
        return Err(format!("broke off: {}", what(error)));
    }
    match provider {
        Provider::OpenAi => openai::add(completion, &part),
        Provider::Anthropic => anthropic::add(completion, &part),
    }
    Ok(())
}

/// What a body says about an error: its message, or all of it.
pub(super) fn complaint(body: &str) -> String {
    match serde_json::from_str::<Value>(body) {
        Ok(body) => body.get("error").map_or_else(|| body.to_string(), what),
        Err(_) => body.to_owned(),
    }
}

fn what(error: &Value) -> String {
    let message = error.get("message").and_then(Value::as_str).or_else(|| error.as_str());
    message.map_or_else(|| error.to_string(), str::to_owned)
}

/// The messages as both protocols write them.
fn messages(request: &Request) -> impl Iterator<Item = Value> {
    let write = |message: &Message| serde_json::json!({"role": message.role.as_str(), "content": message.content});
    request.messages.iter().map(write)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request() -> Request {
        Request {
            model: "m-1".to_owned(),
            system: "Be brief.".to_owned(),
            messages: vec![Message { role: Role::User, content: "Hello".to_owned() }],
            max_tokens: 9,
            temperature: Some(0.5),
            stream: false,
        }
    }

    #[test]
    fn both_protocols_carry_the_same_request() {
        let openai = json!({
            "model": "m-1",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hello"},
            ],
            "max_tokens": 9,
            "temperature": 0.5,
        });
        assert_eq!(body(Provider::OpenAi, &request()), openai);
        let anthropic = json!({
            "model": "m-1",
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 9,
            "temperature": 0.5,
        });
        assert_eq!(body(Provider::Anthropic, &request()), anthropic);
    }

    #[test]
    fn what_is_not_set_is_not_sent() {
        let bare = Request { system: String::new(), temperature: None, ..request() };
        for provider in [Provider::OpenAi, Provider::Anthropic] {
            let body = body(provider, &bare);
            assert!(body.get("temperature").is_none() && body.get("system").is_none(), "{body}");
            assert_eq!(body["messages"].as_array().unwrap().len(), 1);
            let names = headers(provider, "").into_iter().map(|(name, _)| name);
            assert!(names.into_iter().all(|name| name == "anthropic-version"));
        }
    }

    #[test]
    fn an_answer_in_parts_is_the_same_as_one_that_comes_whole() {
        let whole = json!({
            "choices": [{"message": {"role": "assistant", "content": "Hi there"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        });
        let parts = [
            r#"{"choices": [{"delta": {"role": "assistant", "content": "Hi"}, "finish_reason": null}], "usage": null}"#,
            r#"{"choices": [{"delta": {"content": " there"}, "finish_reason": null}]}"#,
            r#"{"choices": [{"delta": {}, "finish_reason": "stop"}]}"#,
            r#"{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}"#,
            "[DONE]",
        ];
        same(Provider::OpenAi, &whole, &parts);
        let whole = json!({
            "content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}],
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "output_tokens": 2},
        });
        let parts = [
            r#"{"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}}"#,
            r#"{"type": "ping"}"#,
            r#"{"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}"#,
            r#"{"type": "content_block_delta", "delta": {"type": "text_delta", "text": " there"}}"#,
            r#"{"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}"#,
            r#"{"type": "message_stop"}"#,
        ];
        same(Provider::Anthropic, &whole, &parts);
    }

    fn same(provider: Provider, whole: &Value, parts: &[&str]) {
        let mut completion = Completion::default();
        for part in parts {
            assert!(!completion.ended, "{part}");
            add(provider, &mut completion, part).unwrap();
        }
        assert_eq!(completion, read(provider, whole).unwrap());
        assert_eq!(completion.text, "Hi there");
        assert_eq!((completion.input, completion.output), (Some(3), Some(2)));
        assert_eq!(completion.stopped, Some(Stop::Done));
    }

    #[test]
    fn an_answer_that_was_cut_short_or_has_no_text_is_told_from_one_that_was_not() {
        let cut = json!({"choices": [{"message": {"content": "Hi"}, "finish_reason": "length"}]});
        assert_eq!(read(Provider::OpenAi, &cut).unwrap().stopped, Some(Stop::TooLong));
        let cut = json!({"content": [{"type": "text", "text": "Hi"}], "stop_reason": "max_tokens"});
        assert_eq!(read(Provider::Anthropic, &cut).unwrap().stopped, Some(Stop::TooLong));
        for (provider, none) in [
            (Provider::OpenAi, json!({"choices": []})),
            (Provider::OpenAi, json!({"choices": [{"message": {"content": null}}]})),
            (Provider::Anthropic, json!({"content": [{"type": "tool_use"}]})),
            (Provider::Anthropic, json!("x")),
        ] {
            assert!(read(provider, &none).unwrap_err().contains("no text"), "{none}");
        }
    }

    #[test]
    fn an_error_is_told_in_the_words_of_the_server() {
        let body =
            r#"{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}"#;
        assert_eq!(complaint(body), "Overloaded");
        assert_eq!(complaint(r#"{"error": "no such model"}"#), "no such model");
        assert_eq!(complaint("<html>"), "<html>");
        let error = add(Provider::Anthropic, &mut Completion::default(), body).unwrap_err();
        assert_eq!(error, "broke off: Overloaded");
    }
}
