//! Steps of a query, a page at a time, and the whole of them.

use serde_json::{Value, json};

use super::{World, text};

const PLAN: &str = "
name: long
steps:
  - {id: first, value: 1}
  - {id: each, each: \"{{ range(COUNT) }}\", max_items: COUNT, value: \"{{ item }}\", needs: first}
  - {id: last, value: 2, needs: each}
";

/// All repetitions of a document's step.
fn instances(step: &Value) -> &[Value] {
    step["instances"].as_array().map_or(&[], Vec::as_slice)
}

#[tokio::test]
async fn the_steps_of_a_query_come_in_pages_that_are_together_the_whole() {
    let world = World::start().await;
    let id = world.submit(&PLAN.replace("COUNT", "7")).await;
    let whole = world.ended(&id).await;
    assert_eq!((&whole["steps_total"], &whole["steps_next"]), (&json!(10), &Value::Null));
    assert_eq!(whole["steps"][1]["instances_total"], json!(7), "{whole}");
    assert_eq!(instances(&whole["steps"][1]).len(), 7);

    let (mut seen, mut path) = (Vec::new(), format!("/v1/queries/{id}?steps=3"));
    loop {
        let page = world.node.get_json(&path).await;
        assert_eq!((&page["outcome"], &page["steps_total"]), (&json!("succeeded"), &json!(10)));
        let steps = page["steps"].as_array().expect("a list of steps");
        for step in steps {
            let name = text(&step["id"]);
            if !seen.contains(&name.to_owned()) {
                seen.push(name.to_owned());
            }
            seen.extend(instances(step).iter().map(|one| format!("{name} {}", one["instance"])));
        }
        let rows: usize = steps.iter().map(|step| 1 + instances(step).len()).sum();
        assert!(rows <= 4, "at most three, and the step around them once more: {page}");
        match page["steps_next"].as_str() {
            Some(next) => path = format!("/v1/queries/{id}?steps=3&after={next}"),
            None => break,
        }
    }
    let repeated = (0..7).map(|at| format!("each {at}"));
    let all: Vec<String> =
        ["first", "each"].map(str::to_owned).into_iter().chain(repeated).collect();
    assert_eq!(seen[..9], all);
    assert_eq!(seen[9..], ["last"]);
    for wrong in ["steps=0", "steps=1001", "after=x", "step=1"] {
        assert_eq!(world.node.get(&format!("/v1/queries/{id}?{wrong}")).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_commands_show_the_whole_of_a_query_that_comes_in_pages() {
    let world = World::start().await;
    let ran = world.run(&PLAN.replace("COUNT", "1005"), &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let document = ran.json();
    let step = &document["steps"][1];
    assert_eq!((instances(step).len(), &step["instances_total"]), (1005, &json!(1005)));
    assert_eq!(document["steps"][2]["id"], "last");
    let shown = world.query(&["show", text(&document["id"]), "--json"]);
    assert_eq!(shown.json(), document);
    let page = world.document(text(&document["id"])).await;
    assert_eq!(instances(&page["steps"][1]).len(), 998, "the page is full");
    assert!(page["steps_next"].is_string());
}
