//! Chat completions.

use serde_json::{Value, json};

use super::{Completion, Request, Stop, messages};

/// What stands at the end of an answer in parts.
pub(super) const END: &str = "[DONE]";

pub(super) fn body(request: &Request) -> Value {
    let system =
        (!request.system.is_empty()).then(|| json!({"role": "system", "content": request.system}));
    let messages: Vec<Value> = system.into_iter().chain(messages(request)).collect();
    let mut body = json!({
        "model": request.model,
        "messages": messages,
        "max_tokens": request.max_tokens,
    });
    if let Some(temperature) = request.temperature {
        body["temperature"] = json!(temperature);
    }
    if request.stream {
        body["stream"] = json!(true);
        // Otherwise the tokens are not told.
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

pub(super) fn read(answer: &Value) -> Result<Completion, String> {
    let choice = &answer["choices"][0];
    let Some(text) = choice["message"]["content"].as_str() else {
        return Err("answered with no text".to_owned());
    };
    let mut completion = Completion { text: text.to_owned(), ended: true, ..Completion::default() };
    completion.stopped = stop(choice);
    usage(&mut completion, &answer["usage"]);
    Ok(completion)
}

pub(super) fn add(completion: &mut Completion, part: &Value) {
    let choice = &part["choices"][0];
    completion.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
    completion.stopped = stop(choice).or(completion.stopped.take());
    usage(completion, &part["usage"]);
}

fn usage(completion: &mut Completion, usage: &Value) {
    completion.input = usage["prompt_tokens"].as_u64().or(completion.input);
    completion.output = usage["completion_tokens"].as_u64().or(completion.output);
}

fn stop(choice: &Value) -> Option<Stop> {
    Some(match choice["finish_reason"].as_str()? {
        "stop" => Stop::Done,
        "length" => Stop::TooLong,
        other => Stop::Other(other.to_owned()),
    })
}
