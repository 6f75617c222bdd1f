//! The whole document of a query, of which a node gives a page at a time.

use hyper::Method;
use serde_json::Value;

use super::{path, report};
use crate::cli::remote::{client, query};
use crate::cli::{NodeArgs, print};
use crate::client::Client;
use crate::exit::Failure;

/// Everything that is known of a query, with all its steps.
pub(super) async fn document(client: &Client, id: &str) -> Result<Value, Failure> {
    let mut whole = client.call(Method::GET, &path(id), None).await?;
    while let Some(next) = whole["steps_next"].as_str() {
        let more = format!("{}{}", path(id), query(&[("after", Some(next.to_owned()))]));
        let page = client.call(Method::GET, &more, None).await?;
        join(&mut whole, page);
    }
    Ok(whole)
}

/// Shows it.
pub(super) async fn show(node: NodeArgs, id: String) -> Result<(), Failure> {
    let document = document(&client(&node)?, &id).await?;
    print(&if node.json { format!("{document:#}") } else { report::document(&document) })
}

/// Adds the steps of the next page. A step that is on both has more repetitions on the second.
fn join(whole: &mut Value, mut page: Value) {
    whole["steps_next"] = page["steps_next"].take();
    let (Value::Array(steps), Value::Array(mut more)) = (&mut whole["steps"], page["steps"].take())
    else {
        return;
    };
    let goes_on =
        steps.last().zip(more.first()).is_some_and(|(last, first)| last["id"] == first["id"]);
    if let Some(last) = steps.last_mut().filter(|_| goes_on) {
        match (&mut last["instances"], more.remove(0)["instances"].take()) {
            (Value::Array(instances), Value::Array(further)) => instances.extend(further),
            (none, further) => *none = further,
        }
    }
    steps.extend(more);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_that_are_joined_are_as_if_there_had_been_one() {
        let step = |id: &str, instances: &[u32]| json!({"id": id, "instances": instances});
        let mut whole =
            json!({"name": "a", "steps": [{"id": "a"}, {"id": "b"}], "steps_next": "1"});
        for (steps, next) in [
            (json!([step("b", &[0, 1])]), json!("2")),
            (json!([step("b", &[2]), {"id": "c"}]), json!("3")),
            (json!([{"id": "d"}]), Value::Null),
        ] {
            join(&mut whole, json!({"steps": steps, "steps_next": next}));
        }
        let steps = json!([{"id": "a"}, step("b", &[0, 1, 2]), {"id": "c"}, {"id": "d"}]);
        assert_eq!(whole, json!({"name": "a", "steps": steps, "steps_next": null}));
    }
}
