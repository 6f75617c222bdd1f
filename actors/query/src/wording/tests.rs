use super::*;

fn citation(id: &str) -> Citation {
    Citation { id: id.to_owned(), source: format!("{id}.txt"), place: String::new() }
}

fn known() -> BTreeSet<String> {
    ["look", "doc#1", "doc#2"].map(str::to_owned).into()
}

fn claim(text: &str, citations: &[&str]) -> Value {
    json!({"text": text, "citations": citations})
}

fn said(claims: &[Value]) -> Value {
    json!({"claims": claims, "confidence": 0.9})
}

#[test]
fn a_claim_on_what_was_not_retrieved_or_on_nothing_is_removed_and_counted() {
    let worded = read(
        &said(&[
            claim("It rose.", &["doc#1", "look"]),
            claim("It fell.", &["doc#1", "doc#9"]),
            claim("It is so.", &[]),
        ]),
        &known(),
    );
    let worded = worded.unwrap();
    assert_eq!(worded.text, "It rose. [[doc#1]] [[look]]");
    assert_eq!((worded.claims, worded.removed), (3, 2));
    assert_eq!(worded.unknown, ["doc#9"]);
    assert_eq!(worded.cited, ["doc#1", "look"].map(str::to_owned).into());
}

#[test]
fn a_mark_in_the_text_of_a_claim_is_none() {
    let worded = read(&said(&[claim("So it is [[doc#9]].", &["look"])]), &known()).unwrap();
    assert_eq!(worded.text, "So it is [ [doc#9]]. [[look]]");
}

#[test]
fn an_answer_of_another_form_is_refused() {
    for wrong in [
        json!("It rose."),
        json!({"claims": []}),
        json!({"claims": [], "confidence": 1.1}),
        json!({"claims": [{"text": "a"}], "confidence": 1}),
        json!({"claims": [], "confidence": 1, "more": 1}),
    ] {
        assert!(read(&wrong, &known()).is_err(), "{wrong}");
    }
    assert_eq!(read(&said(&[]), &known()).unwrap().claims, 0);
}

#[test]
fn the_form_that_is_asked_for_is_one_that_answers_are_held_against() {
    assert_eq!(crate::schema::problem(&schema()), None);
}

#[test]
fn evidence_is_what_was_cited_and_results_that_cite_nothing() {
    let (hits, rows, nothing) = (json!([1]), json!({"n": 3}), json!([]));
    let citations = [citation("doc#1"), citation("doc#2"), citation("doc#1")];
    let found = |id, result, citations| Found { id, tool: "t", result, citations };
    let all = [
        found("search", &hits, &citations[..]),
        found("sql", &rows, &[]),
        found("none", &nothing, &[]),
    ];
    let evidence = evidence(&all, 10_000);
    assert_eq!(evidence.count, 3);
    let ids: Vec<&str> = evidence.ids.iter().map(String::as_str).collect();
    assert_eq!(ids, ["doc#1", "doc#2", "search", "sql"]);
    assert_eq!((evidence.pieces.len(), evidence.cut.len()), (2, 0));
}

#[test]
fn a_model_is_shown_so_much_and_it_is_told_of_what_it_sees_only_the_beginning() {
    let (long, short) = (json!("é".repeat(1_000)), json!("short"));
    let citations: Vec<Citation> = (0..1_000).map(|at| citation(&format!("d{at}"))).collect();
    let found = |id, result, citations| Found { id, tool: "", result, citations };
    let all = [found("a", &long, &[][..]), found("b", &short, &citations), found("c", &short, &[])];
    let shown = evidence(&all, 1_500);
    assert_eq!(shown.cut, ["a", "b"]);
    let first: Value = serde_json::from_str(&shown.pieces[0]).unwrap();
    assert!(first["result_begins"].as_str().unwrap().len() <= 500, "{first}");
    assert_eq!(first["result_bytes"], 2_002);
    assert!(shown.pieces[1].len() < 1_500, "{}", shown.pieces[1]);
    assert!(shown.ids.contains("d999"), "what was found may be cited all the same");
}
