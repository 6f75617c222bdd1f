use serde_json::json;

use super::*;
use crate::plan::{OnFailure, Step, ToolCall, Work};

fn identity(role: &str) -> Identity {
    Identity { role: role.to_owned(), ..Identity::default() }
}

fn call(tool: &str) -> ToolCall {
    ToolCall { tool: tool.to_owned(), arguments: json!({}).into() }
}

/// Tools that need what the matrix of roles tells apart.
fn catalogue() -> Catalogue {
    let tools = [("metrics", Some("advanced")), ("matchup", Some("opponent")), ("search", None)];
    let spec = |(name, permission): (&str, Option<&str>)| {
        let permission = permission.map(str::to_owned);
        (name.to_owned(), ToolSpec { permission, ..ToolSpec::new(name, "") })
    };
    Catalogue(tools.into_iter().map(spec).collect())
}

fn plan(tools: &[&str]) -> Plan {
    let steps = tools.iter().map(|tool| Step::new(*tool, Work::Call(call(tool))));
    Plan { steps: steps.collect(), ..Plan::default() }
}

#[test]
fn the_usual_roles_may_what_the_matrix_says() {
    let roles = Roles::usual();
    let matrix = [
        ("coach", [true, true, true]),
        ("player", [true, false, false]),
        ("analyst", [true, true, true]),
        ("staff", [false, false, false]),
        ("scout", [true, true, true]),
    ];
    for (role, expected) in matrix {
        let may = ["advanced", "opponent", "tactical"].map(|wanted| roles.permit(role, wanted));
        assert_eq!(may, expected, "{role}");
        assert!(roles.permit(role, "queries"), "{role}");
        assert!(!roles.permit(role, "keys") && !roles.permit(role, "queries_all"), "{role}");
    }
    assert!(roles.permit(ADMIN, "whatever there is"));
    assert!(!roles.permit("nobody", "queries"));
    assert_eq!(roles.problems(), [""; 0]);
}

#[test]
fn every_tool_that_a_role_may_not_call_is_named_also_where_it_stands_in() {
    let (roles, catalogue) = (Roles::usual(), catalogue());
    let named =
        |role: &str, plan: &Plan| roles.denied(&identity(role), plan, &catalogue).join("; ");
    let all = plan(&["matchup", "metrics", "search", "metrics"]);
    assert_eq!(named("coach", &all), "");
    let player = named("player", &all);
    assert!(player.contains("`matchup` needs") && !player.contains("metrics"), "{player}");
    assert_eq!(named("staff", &all).matches("no permission").count(), 2);
    let mut standing_in = plan(&["search"]);
    standing_in.steps[0].on_failure = OnFailure::Fallback(vec![call("metrics")]);
    assert!(named("staff", &standing_in).contains("`metrics` needs"));
}

#[test]
fn a_role_gives_away_only_what_it_has() {
    let roles = Roles::usual();
    assert!(roles.covers(ADMIN, "coach") && roles.covers("coach", "staff"));
    assert!(!roles.covers("coach", "scout") && !roles.covers("coach", ADMIN));
}

#[test]
fn roles_of_the_configuration_are_added_to_the_usual_ones_or_replace_them() {
    let given = json!({"coach": [], "clerk": ["queries"]});
    let roles = Roles::over_usual(given).unwrap();
    assert!(!roles.permit("coach", "queries") && roles.permit("clerk", "queries"));
    assert!(roles.permit("scout", "queries") && roles.permit(ADMIN, "keys"));
    for wrong in [json!({"admin": ["queries"]}), json!({"a b": []}), json!({"clerk": [""]})] {
        assert_eq!(Roles::over_usual(wrong.clone()).unwrap().problems().len(), 1, "{wrong}");
    }
}
