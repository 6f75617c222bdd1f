//! What can be asked of a node without a table of its own.

use super::*;

fn with(tools: &[(&str, &str)]) -> Planner {
    let tools = tools.iter().map(|(name, parameter)| {
        let parameter = Parameter::required(parameter, ValueType::String, "");
        let spec = ToolSpec::new(name, "");
        let spec = if *name == "file_list" { spec } else { spec.parameter(parameter) };
        ((*name).to_owned(), spec)
    });
    let catalogue = Catalogue(tools.collect());
    let table = built_in(&catalogue);
    Planner { table, catalogue: Arc::new(catalogue), roles: Arc::default() }
}

fn ask(planner: &Planner, question: &str) -> Planned {
    plan_question(planner, question, &role("staff"), Timestamp::default()).unwrap()
}

#[test]
fn a_node_can_be_asked_about_the_tools_that_it_has() {
    let all =
        with(&[("file_read", "path"), ("file_list", ""), ("search", "query"), ("hybrid", "query")]);
    let cases = [
        ("Which tools are there?", vec!["tools"]),
        ("Please read the file notes/a.txt.", vec!["read"]),
        ("What files are there?", vec!["files"]),
        ("Who is Suzuki?", vec!["search"]),
    ];
    for (question, intents) in cases {
        let Planned::Plan(planned) = ask(&all, question) else { panic!("{question}") };
        assert_eq!(planned.intents, intents, "{question}");
        match question {
            "Please read the file notes/a.txt." => {
                assert_eq!(planned.inputs.0["path"], "notes/a.txt");
            }
            "Who is Suzuki?" => assert_eq!(planned.tools(), ["hybrid"]),
            _ => {}
        }
    }
}

#[test]
fn what_a_node_has_no_tool_for_is_asked_back() {
    let none = with(&[]);
    let Planned::Clarification(clarification) = ask(&none, "Who is Suzuki?") else { panic!() };
    assert_eq!(clarification.examples, ["What tools there are, as in \"which tools are there\""]);
    assert!(matches!(ask(&none, "read the file a.txt"), Planned::Clarification(_)));
}

#[test]
fn a_table_of_ones_own_searches_too_unless_it_says_otherwise() {
    let searching = Catalogue([tool("search", None)].into());
    let mut catalogue = searching.clone();
    let spec = ToolSpec::new("search", "");
    let query = Parameter::required("query", ValueType::String, "");
    catalogue.0.insert("search".into(), spec.parameter(query));
    let table = "intents:\n  - {id: search, keywords: [a], steps: [{id: x, value: 1}]}\n";
    let own = read(table, &catalogue).unwrap().table;
    assert_eq!(own.by_default().unwrap().id, "search_2");
    // A tool of that name that takes something else is no search.
    assert!(read(table, &searching).unwrap().table.by_default().is_none());
    let table = format!("default: search\n{table}");
    assert_eq!(read(&table, &catalogue).unwrap().table.by_default().unwrap().id, "search");
}
