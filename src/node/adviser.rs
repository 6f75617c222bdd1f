//! Lets incidents ask the language models that queries may ask: the same keys, order, pace and bounds of cost.

use std::sync::Arc;

use futures::future::BoxFuture;
use perennial_healing::adviser::ask::{Answer, Model, Reply};
use perennial_healing::adviser::prompt::Prompt;
use perennial_query::json::Json;
use perennial_query::tool::{Call, Identity, Tool, ToolAnswer};
use perennial_query::tools::llm;
use serde_json::json;

/// On whose behalf the node asks.
const SELF: &str = "perennial";

/// The node's tool that asks models; none if no model is listed.
pub(super) struct Models(pub(super) Option<Arc<dyn Tool>>);

impl Model for Models {
    fn ask<'a>(&'a self, prompt: &'a Prompt) -> BoxFuture<'a, Reply> {
        Box::pin(async {
            let Some(tool) = &self.0 else {
                return Reply::Silent("no model is listed in query.llm.models".to_owned());
            };
            match tool.call(&call(prompt)).await {
                Ok(answer) => Reply::Answered(read(&answer)),
                Err(error) => Reply::Silent(error.message),
            }
        })
    }
}

fn call(prompt: &Prompt) -> Call {
    let mut arguments = json!({
        "prompt": prompt.text,
        "system": prompt.system,
        "untrusted": prompt.data,
        "max_tokens": prompt.max_tokens,
    });
    if !prompt.mode.is_empty() {
        arguments["mode"] = prompt.mode.clone().into();
    }
    Call {
        tool: llm::NAME.to_owned(),
        arguments: Json(arguments),
        identity: Identity { name: SELF.to_owned(), ..Identity::default() },
        key: prompt.key.clone(),
        label: prompt.label.clone(),
        attempt: 1,
        deadline: prompt.until,
        timeout: prompt.timeout,
    }
}

fn read(answer: &ToolAnswer) -> Answer {
    let value = &answer.value.0;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let tokens = |way: &str| value["tokens"][way].as_u64().unwrap_or_default();
    Answer {
        model: text("model"),
        text: text("text"),
        tokens: tokens("input").saturating_add(tokens("output")),
    }
}
