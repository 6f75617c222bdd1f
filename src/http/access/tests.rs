use super::*;

fn caller(role: &str, key: Option<u64>) -> Caller {
    let roles = Arc::new(Roles::usual());
    let identity =
        Identity { name: "ann".into(), role: role.into(), teams: vec!["reds".into()], key };
    Access::new(roles, 1_000).caller(identity)
}

/// Every method and path of the router, as its source says.
fn routes() -> Vec<(Method, String)> {
    let source = include_str!("../../http.rs");
    let mut routes = Vec::new();
    for rest in source.split(".route(\"").skip(1) {
        let (path, rest) = rest.split_once('"').unwrap();
        let line = rest.lines().next().unwrap();
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let call = format!("{}(", method.as_str().to_lowercase());
            if line.contains(&format!(" {call}")) || line.contains(&format!(".{call}")) {
                routes.push((method, path.to_owned()));
            }
        }
    }
    routes
}

#[test]
fn every_route_behind_the_guard_has_a_rule() {
    let guarded: Vec<_> = routes()
        .into_iter()
        .filter(|(_, path)| path.starts_with("/v1/") || path == "/metrics")
        .collect();
    assert!(guarded.len() > 30, "{guarded:?}");
    assert!(guarded.contains(&(Method::DELETE, "/v1/keys/{id}".to_owned())), "{guarded:?}");
    for (method, path) in guarded {
        assert!(needed(&method, &path).is_some(), "no rule says who may {method} {path}");
    }
}

#[test]
fn a_route_without_a_rule_is_the_operators_alone() {
    let access = Access::new(Arc::new(Roles::usual()), 1_000);
    let admit = |caller: &Caller| access.admit(caller, &Method::GET, "/v1/new");
    assert!(admit(&access.operator()).is_ok());
    // Not even a key that may do everything.
    assert!(matches!(admit(&caller("admin", Some(1))), Err(ApiError::Forbidden(_))));
    let changed = access.admit(&caller("admin", Some(1)), &Method::PUT, "/v1/queries");
    assert!(matches!(changed, Err(ApiError::Forbidden(_))));
}

#[test]
fn a_query_is_seen_by_who_asked_it_and_by_who_may_see_all() {
    let of = |key| {
        let identity = Identity { name: "ann".into(), key, ..Identity::default() };
        QueryRow { identity, ..QueryRow::default() }
    };
    let ann = caller("player", Some(1));
    assert!(ann.sees(&of(Some(1))));
    assert!(!ann.sees(&of(Some(2))), "another key of the same name");
    assert!(!ann.sees(&of(None)), "what the node did by itself");
    assert!(caller("admin", Some(2)).sees(&of(Some(1))) && caller("admin", None).sees(&of(None)));
}

#[test]
fn who_holds_a_key_cannot_sign_as_somebody_else() {
    let ann = caller("player", Some(1));
    assert_eq!(ann.signs(String::new()).unwrap(), "ann");
    assert_eq!(ann.signs("ann".to_owned()).unwrap(), "ann");
    assert!(ann.signs("bob".to_owned()).is_err());
    let operator = Access::new(Arc::default(), 1).operator();
    assert_eq!(operator.signs("bob".to_owned()).unwrap(), "bob");
    assert_eq!(operator.signs(String::new()).unwrap(), "operator");
}

#[test]
fn nobody_gives_away_more_than_they_have() {
    let (reds, blues) = (["reds".to_owned()], ["blues".to_owned()]);
    let coach = caller("coach", Some(1));
    assert!(coach.commands("staff", reds.iter()).is_ok());
    assert!(coach.commands("admin", reds.iter()).is_err());
    assert!(coach.commands("staff", blues.iter()).is_err());
    assert!(coach.commands("staff", [EVERY_TEAM.to_owned()].iter()).is_err());
    let operator = Access::new(Arc::new(Roles::usual()), 1).operator();
    assert!(operator.commands("admin", blues.iter()).is_ok());
}

#[test]
fn names_given_by_two_keys_are_two_names() {
    let names = [Some(1), Some(2), None].map(|key| caller("player", key).names("query"));
    assert_eq!(names, ["query@1", "query@2", "query"]);
}
