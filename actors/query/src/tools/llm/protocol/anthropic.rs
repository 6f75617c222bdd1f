//! Messages.

use serde_json::{Value, json};

use super::{Completion, Request, Stop, messages};

/// The version of the protocol, sent as a header.
pub(super) const VERSION: &str = "2023-06-01";

pub(super) fn body(request: &Request) -> Value {
    let mut body = json!({
        "model": request.model,
        "messages": messages(request).collect::<Vec<Value>>(),
        "max_tokens": request.max_tokens,
    });
    if !request.system.is_empty() {
        body["system"] = json!(request.system);
    }
    if let Some(temperature) = request.temperature {
        // The protocol knows no more than 1.
        body["temperature"] = json!(temperature.min(1.0));
    }
    if request.stream {
        body["stream"] = json!(true);
    }
    body
}

pub(super) fn read(answer: &Value) -> Result<Completion, String> {
    let blocks = answer["content"].as_array().into_iter().flatten();
    let texts: Vec<&str> = blocks.filter_map(|block| block["text"].as_str()).collect();
    if texts.is_empty() {
        return Err("answered with no text".to_owned());
    }
    let mut completion = Completion { text: texts.concat(), ended: true, ..Completion::default() };
    completion.stopped = stop(answer);
    usage(&mut completion, &answer["usage"]);
    Ok(completion)
}

pub(super) fn add(completion: &mut Completion, part: &Value) {
    match part["type"].as_str().unwrap_or_default() {
        "message_start" => usage(completion, &part["message"]["usage"]),
        "content_block_delta" => {
            completion.text.push_str(part["delta"]["text"].as_str().unwrap_or_default());
        }
        "message_delta" => {
            completion.stopped = stop(&part["delta"]).or(completion.stopped.take());
            usage(completion, &part["usage"]);
        }
        "message_stop" => completion.ended = true,
        // The protocol asks to pass over events that are not known, such as `ping`.
        _ => {}
    }
}

fn usage(completion: &mut Completion, usage: &Value) {
    completion.input = usage["input_tokens"].as_u64().or(completion.input);
    completion.output = usage["output_tokens"].as_u64().or(completion.output);
}

fn stop(answer: &Value) -> Option<Stop> {
    Some(match answer["stop_reason"].as_str()? {
        "end_turn" | "stop_sequence" => Stop::Done,
        "max_tokens" => Stop::TooLong,
        other => Stop::Other(other.to_owned()),
    })
}
