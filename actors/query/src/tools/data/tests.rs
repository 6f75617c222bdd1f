use serde_json::{Value, json};

use super::*;

const PROJECTS: &str = "\
name,status,value,owner.team
p1,active,1500,red
p2,completed,2200,blue
p3,active,3100,red
p4,pending,1800,blue
p5,cancelled,900,red
p6,active,2700,blue
p7,completed,3500,red
p8,active,4200,blue
p9,pending,1600,red
p10,active,2900,blue
";

fn data(arguments: Value) -> Result<Value, String> {
    let spec = spec();
    assert_eq!(spec.problems(&arguments, false), []);
    run(&arguments)
}

fn names_of(value: &Value) -> Vec<&str> {
    value["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[test]
fn projects_are_filtered_by_their_status() {
    let condition = json!([{"field": "status", "operator": "eq", "value": "active"}]);
    let kept = data(json!({"action": "filter", "csv": PROJECTS, "where": condition})).unwrap();
    assert_eq!(kept["count"], json!(5));
    assert_eq!(names_of(&kept), ["p1", "p3", "p6", "p8", "p10"]);
}

#[test]
fn projects_are_grouped_by_their_status_with_sum_count_and_mean() {
    let figures: Vec<Value> = ["sum", "count", "mean"]
        .into_iter()
        .map(|function| json!({"field": "value", "function": function}))
        .collect();
    let arguments = json!({
        "action": "aggregate", "csv": PROJECTS, "group_by": ["status"], "aggregates": figures,
    });
    let row = |status: &str, sum: i64, count: i64, mean: i64| json!({"status": status, "value_sum": sum, "value_count": count, "value_mean": mean});
    let expected = json!([
        row("active", 14_400, 5, 2880),
        row("completed", 5700, 2, 2850),
        row("pending", 3400, 2, 1700),
        row("cancelled", 900, 1, 900),
    ]);
    assert_eq!(data(arguments).unwrap(), json!({"rows": expected, "count": 4}));
}

#[test]
fn every_figure_leaves_out_what_is_nothing() {
    let rows = json!([{"v": 4}, {"v": 1}, {"v": null}, {"v": 4}, {}, {"v": 2.5}]);
    let functions = ["sum", "avg", "mean", "count", "count_distinct", "min", "max", "median"];
    let figures: Vec<Value> = functions
        .into_iter()
        .map(|function| json!({"field": "v", "function": function, "as": function}))
        .chain([json!({"function": "count", "as": "rows"})])
        .collect();
    let figures = json!({"action": "aggregate", "rows": rows, "aggregates": figures});
    assert_eq!(
        data(figures.clone()).unwrap()["rows"],
        json!([{
            "sum": 11.5, "avg": 2.875, "mean": 2.875, "count": 4, "count_distinct": 3,
            "min": 1, "max": 4, "median": 3.25, "rows": 6,
        }])
    );
    let mut none = figures;
    none["rows"] = json!([]);
    assert_eq!(
        data(none).unwrap()["rows"],
        json!([{
            "sum": null, "avg": null, "mean": null, "count": 0, "count_distinct": 0,
            "min": null, "max": null, "median": null, "rows": 0,
        }])
    );
}

#[test]
fn sums_of_whole_numbers_are_exact() {
    let rows = json!([{"v": 9_007_199_254_740_993_i64}, {"v": 2}]);
    let figures = json!([{"field": "v", "function": "sum"}]);
    let sum = data(json!({"action": "aggregate", "rows": rows, "aggregates": figures})).unwrap();
    assert_eq!(sum["rows"][0]["v_sum"], json!(9_007_199_254_740_995_i64));
}

#[test]
fn a_value_that_a_figure_cannot_be_made_of_is_named() {
    let rows = json!([{"v": 1}, {"v": "two"}]);
    for function in ["sum", "median", "max"] {
        let figures = json!([{"field": "v", "function": function}]);
        let arguments = json!({"action": "aggregate", "rows": rows, "aggregates": figures});
        let error = data(arguments).unwrap_err();
        assert!(error.contains("`v`") && error.contains("row 1"), "{error}");
    }
}

/// The names of the rows, of a few that differ in every way, of which a condition holds.
fn holding(condition: Value) -> Vec<String> {
    let rows = json!([
        {"name": "a", "n": 50, "tier": "gold", "text": "an error here", "user": {"tier": "x"}},
        {"name": "b", "n": 51.5, "tier": "silver", "text": "fine", "tags": ["red", 1]},
        {"name": "c", "n": null, "tier": null, "text": 7},
        {"name": "d"},
    ]);
    let kept = data(json!({"action": "filter", "rows": rows, "where": [condition]})).unwrap();
    names_of(&kept).into_iter().map(str::to_owned).collect()
}

#[test]
fn each_operator_holds_of_what_it_says_and_absence_satisfies_only_negations() {
    let cases = [
        (json!({"field": "n", "value": 50.0}), "a"),
        (json!({"field": "n", "operator": "ne", "value": 50}), "bcd"),
        (json!({"field": "n", "operator": "gt", "value": 50}), "b"),
        (json!({"field": "n", "operator": "ge", "value": 50}), "ab"),
        (json!({"field": "n", "operator": "lt", "value": 51}), "a"),
        (json!({"field": "n", "operator": "le", "value": 51.5}), "ab"),
        (json!({"field": "n", "operator": "lt", "value": "z"}), ""),
        (json!({"field": "tier", "operator": "in", "value": ["gold", "platinum"]}), "a"),
        (json!({"field": "tier", "operator": "not_in", "value": ["gold"]}), "bcd"),
        (json!({"field": "text", "operator": "contains", "value": "error"}), "a"),
        (json!({"field": "tags", "operator": "contains", "value": 1}), "b"),
        (json!({"field": "text", "operator": "not_contains", "value": "error"}), "bcd"),
        (json!({"field": "text", "operator": "starts_with", "value": "an"}), "a"),
        (json!({"field": "text", "operator": "ends_with", "value": "ne"}), "b"),
        (json!({"field": "text", "operator": "matches", "value": "^f.n"}), "b"),
        (json!({"field": "user.tier", "operator": "exists"}), "a"),
        (json!({"field": "n", "operator": "is_null"}), "cd"),
        (json!({"field": "n", "operator": "not_null"}), "ab"),
    ];
    for (condition, expected) in cases {
        assert_eq!(holding(condition.clone()).concat(), expected, "{condition}");
    }
}

#[test]
fn conditions_hold_all_together_or_any_of_them() {
    let conditions = json!([
        {"field": "status", "value": "pending"},
        {"field": "value", "operator": "lt", "value": 1700},
    ]);
    let kept = |how: &str| {
        let arguments =
            json!({"action": "filter", "csv": PROJECTS, "where": conditions, "match": how});
        data(arguments).unwrap()
    };
    assert_eq!(names_of(&kept("all")), ["p9"]);
    assert_eq!(names_of(&kept("any")), ["p1", "p4", "p5", "p9"]);
    let all = data(json!({"action": "filter", "csv": PROJECTS, "match": "any"})).unwrap();
    assert_eq!(all["count"], json!(10));
}

#[test]
fn rows_are_sorted_by_several_fields_and_limited() {
    let arguments =
        json!({"action": "sort", "csv": PROJECTS, "by": ["status", "-value"], "limit": 3});
    assert_eq!(names_of(&data(arguments).unwrap()), ["p8", "p3", "p10"]);
    let mixed = json!([{"name": "s", "v": "x"}, {"name": "n", "v": 1}, {"name": "z"}]);
    let arguments = json!({"action": "sort", "rows": mixed, "by": ["v"]});
    assert_eq!(names_of(&data(arguments).unwrap()), ["z", "n", "s"]);
}

#[test]
fn large_numbers_in_both_notations_are_sorted_by_what_they_are_worth() {
    let base = 9_007_199_254_740_992_u64;
    let whole = (0..40).map(|n| json!({"v": base + n % 7}));
    let rows: Vec<Value> =
        whole.chain((0..40).map(|n| json!({"v": (base + 2 * (n % 4)) as f64}))).rev().collect();
    let sorted = data(json!({"action": "sort", "rows": rows, "by": ["v"]})).unwrap();
    let worth =
        |row: &Value| row["v"].as_u64().unwrap_or_else(|| row["v"].as_f64().unwrap() as u64);
    let sorted: Vec<u64> = sorted["rows"].as_array().unwrap().iter().map(worth).collect();
    assert!(sorted.is_sorted(), "{sorted:?}");
    let only = json!([{"field": "v", "value": base + 1}]);
    let found = data(json!({"action": "filter", "rows": rows, "where": only})).unwrap();
    assert_eq!(found["count"], json!(6));
}

#[test]
fn fields_are_selected_and_one_that_nobody_has_is_refused() {
    let arguments =
        json!({"action": "select", "csv": PROJECTS, "fields": ["value", "name"], "limit": 1});
    assert_eq!(data(arguments).unwrap()["rows"], json!([{"name": "p1", "value": 1500}]));
    let error = data(json!({"action": "select", "csv": PROJECTS, "fields": ["nme"]})).unwrap_err();
    assert!(error.contains("`nme`") && error.contains("status"), "{error}");
}

#[test]
fn csv_is_the_same_after_it_was_json() {
    let csv = "id,note,when\n007,\"a, \"\"b\"\"\n\",\n1.50,ä,true\n";
    let json = data(json!({"action": "convert", "csv": csv, "text": true})).unwrap();
    assert_eq!(json["rows"][0], json!({"id": "007", "note": "a, \"b\"\n", "when": ""}));
    let arguments = json!({"action": "convert", "to": "csv", "csv": csv, "text": true});
    assert_eq!(data(arguments).unwrap()["csv"], json!(csv));
    let tabs = data(
        json!({"action": "convert", "to": "csv", "rows": [{"b": 1, "a": [1]}], "delimiter": "\t"}),
    );
    assert_eq!(tabs.unwrap()["csv"], json!("a\tb\n[1]\t1\n"));
}

#[test]
fn only_cells_that_look_exactly_like_a_number_are_one() {
    let csv = "v\n1\n-2.5\n007\n+1\n1e3\n1.\n12345678901234567890\n0.1\ntrue\n \n";
    let rows = data(json!({"action": "convert", "csv": csv})).unwrap()["rows"].clone();
    let values: Vec<&Value> = rows.as_array().unwrap().iter().map(|row| &row["v"]).collect();
    let long = "12345678901234567890";
    let expected = json!([1, -2.5, "007", "+1", "1e3", "1.", long, 0.1, true, " "]);
    assert_eq!(json!(values), expected);
}

#[test]
fn a_table_is_described_field_by_field() {
    let rows = json!([{"v": 1, "s": "b"}, {"v": 3}, {"s": "a"}, {"v": null, "s": "b"}]);
    let profile = data(json!({"action": "profile", "rows": rows})).unwrap();
    assert_eq!(profile["count"], json!(4));
    assert_eq!(
        profile["fields"],
        json!([
            {"field": "s", "values": 3, "missing": 1, "distinct": 2, "types": {"string": 3},
             "min": "a", "max": "b", "mean": null},
            {"field": "v", "values": 2, "missing": 2, "distinct": 2, "types": {"number": 2},
             "min": 1, "max": 3, "mean": 2},
        ])
    );
}

#[test]
fn what_is_malformed_is_refused_with_the_place() {
    let refused = [
        (json!({"action": "filter"}), "either `rows` or `csv`"),
        (json!({"action": "filter", "rows": [], "csv": ""}), "either `rows` or `csv`"),
        (json!({"action": "filter", "rows": [{}, 1]}), "row 1"),
        (json!({"action": "filter", "csv": "a,b\n1,2\n3\n"}), "line: 3"),
        (json!({"action": "filter", "csv": "a,a\n1,2\n"}), "two columns"),
        (
            json!({"action": "filter", "rows": [], "where": [{"field": "a", "operator": "is"}]}),
            "where[0]",
        ),
        (json!({"action": "filter", "rows": [], "where": [{"field": "a"}]}), "where[0]"),
        (json!({"action": "filter", "rows": [], "where": [{"feld": "a"}]}), "`feld`"),
        (
            json!({"action": "filter", "rows": [], "where": [{"field": "a", "operator": "matches", "value": "("}]}),
            "where[0]",
        ),
        (json!({"action": "filter", "rows": [], "by": ["a"]}), "`by` means nothing to `filter`"),
        (
            json!({"action": "profile", "rows": [], "limit": 1}),
            "`limit` means nothing to `profile`",
        ),
        (json!({"action": "filter", "rows": [], "text": true}), "`text`"),
        (json!({"action": "sort", "rows": []}), "`by`"),
        (json!({"action": "aggregate", "rows": []}), "`aggregates`"),
        (
            json!({"action": "aggregate", "rows": [], "aggregates": [{"function": "sum"}]}),
            "aggregates[0]",
        ),
        (
            json!({"action": "aggregate", "rows": [], "aggregates": [{"function": "total", "field": "a"}]}),
            "aggregates[0]",
        ),
        (json!({"action": "filter", "csv": "a\n", "delimiter": "::"}), "`delimiter`"),
        (json!({"action": "filter", "rows": vec![json!({}); table::ROWS + 1]}), "10000 rows"),
    ];
    for (arguments, place) in refused {
        let error = data(arguments).unwrap_err();
        assert!(error.contains(place), "{error} does not name {place}");
    }
}
