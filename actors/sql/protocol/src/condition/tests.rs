use super::*;

fn column(name: &str) -> Operand {
    Operand::Column(name.to_owned())
}

fn refused(text: &str) -> ConditionError {
    parse(text).expect_err(text)
}

#[test]
fn comparisons_lists_teams_and_missing_values_are_read() {
    use Comparison::{AtLeast, Equal, Unequal};
    let compare = |left, how, right| Condition::Compare(left, how, right);
    let read = [
        ("team = ANY(identity.teams)", Condition::OfTeams(column("team"))),
        ("player = identity.name", compare(column("player"), Equal, Operand::Name)),
        (
            "identity.role <> 'scout'",
            compare(Operand::Role, Unequal, Operand::Text("scout".into())),
        ),
        ("\"Shot Share\" >= 0.5", compare(column("Shot Share"), AtLeast, Operand::Number(0.5))),
        ("n=-3", compare(column("n"), Equal, Operand::Integer(-3))),
        ("team is null", Condition::Missing(column("team"))),
        ("TRUE", Condition::Always(true)),
        (
            "kind IN ('a', 'it''s')",
            Condition::OneOf(
                column("kind"),
                vec![Operand::Text("a".into()), Operand::Text("it's".into())],
            ),
        ),
    ];
    for (text, condition) in read {
        assert_eq!(parse(text), Ok(condition), "{text}");
    }
}

#[test]
fn and_binds_closer_than_or_and_not_closest() {
    let [a, b, c] = ["a", "b", "c"].map(|name| Condition::Missing(column(name)));
    let text = "a IS NULL OR b IS NULL AND NOT c IS NULL";
    let not_c = Condition::Not(Box::new(c));
    assert_eq!(
        parse(text),
        Ok(Condition::Any(vec![a.clone(), Condition::All(vec![b.clone(), not_c.clone()])]))
    );
    let text = "(a IS NULL OR b IS NULL) AND c IS NOT NULL";
    assert_eq!(parse(text), Ok(Condition::All(vec![Condition::Any(vec![a, b]), not_c])));
}

#[test]
fn what_is_no_condition_is_refused_with_its_place() {
    let wrong = [
        ("", 1),
        ("team", 5),
        ("team =", 7),
        ("team = ANY(teams)", 12),
        ("team = ANY(identity.team)", 21),
        ("team < ANY(identity.teams)", 11),
        ("identity.key = 1", 10),
        ("a = 1 b", 7),
        ("a = 1; DROP TABLE x", 6),
        ("(a = 1", 7),
        ("a = 'x", 5),
        ("a = 1e400", 5),
        ("a = 1 OR", 9),
        ("lower(a) = 'x'", 6),
        ("a NOT = 1", 7),
        ("= 1", 1),
    ];
    for (text, at) in wrong {
        let error = refused(text);
        assert_eq!(error.at, at, "{error}");
    }
}

#[test]
fn conditions_within_conditions_are_bounded() {
    let deep = |n: usize| format!("{}a = 1{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&deep(30)).is_ok());
    assert!(refused(&deep(100_000)).why.contains("within each other"));
    assert!(refused(&"NOT ".repeat(100_000)).why.contains("within each other"));
}

#[test]
fn the_columns_it_looks_at_are_known() {
    let text = "a = 1 AND (b = ANY(identity.teams) OR NOT c IN (d, 'x')) AND identity.name = e";
    assert_eq!(parse(text).unwrap().columns(), ["a", "b", "c", "d", "e"]);
}
