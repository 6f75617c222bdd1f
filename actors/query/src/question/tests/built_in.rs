//! What can be asked of a node without a table of its own.

use super::*;

fn with(tools: &[(&str, &str)]) -> Planner {
    let tools = tools.iter().map(|(name, parameter)| {
        let parameter = Parameter::required(parameter, ValueType::String, "");
        let spec = ToolSpec::new(name, "");
        let spec = if parameter.name.is_empty() { spec } else { spec.parameter(parameter) };
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
    let searches = [("search", "query"), ("hybrid", "query")];
    let others = [("file_read", "path"), ("file_list", ""), ("fleet", "about")];
    let all = with(&[&searches[..], &others].concat());
    let cases = [
        ("Which tools are there?", vec!["tools"]),
        ("Please read the file notes/a.txt.", vec!["read"]),
        ("What files are there?", vec!["files"]),
        (
            "Which containers are there, and what was wrong with them?",
            vec!["containers", "incidents"],
        ),
        ("What was done?", vec!["actions"]),
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
fn what_is_true_now_is_not_given_again_later() {
    let all = with(&[("file_read", "path"), ("search", "query"), ("fleet", "about")]);
    let shareable = |question| match ask(&all, question) {
        Planned::Plan(planned) => planned.shareable,
        Planned::Clarification(clarification) => panic!("{clarification:?}"),
    };
    assert!(shareable("Who is Suzuki?"));
    assert!(!shareable("Which containers are there?"));
    assert!(!shareable("read the file a.txt"));
    let mut changing = with(&[("search", "query")]);
    let mut tools = (*changing.catalogue).clone();
    tools.0.values_mut().for_each(|tool| tool.changes_world = true);
    changing.catalogue = Arc::new(tools);
    let Planned::Plan(planned) = ask(&changing, "Who is Suzuki?") else { panic!() };
    assert!(!planned.shareable);
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
