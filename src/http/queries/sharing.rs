//! Whose results are given to whom.

use std::collections::BTreeSet;

use perennial_query::plan::Plan;
use perennial_query::record::{QUERIES, SUBMISSIONS, Submission};
use perennial_query::tool::{Catalogue, Identity};
use sha2::{Digest, Sha256};

use super::unknown;
use crate::http::App;
use crate::http::access::Caller;
use crate::http::error::ApiError;

/// What makes two queries the same if `identity` asks: what is done, and for which role and teams. Where a tool
/// looks at who asks, also for whom. Then `@`, and the version of the data, and [what may be read](under_grants).
pub(super) fn cache_key(
    submission: &Submission,
    identity: &Identity,
    catalogue: &Catalogue,
    data_version: u64,
) -> Result<String, ApiError> {
    let Submission { plan, inputs, .. } = submission;
    let whom = whom(plan, identity, catalogue);
    let same = (plan, inputs, &identity.role, &identity.teams, whom);
    let text = serde_json::to_vec(&same).map_err(|e| ApiError::Internal(e.to_string()))?;
    let digest = Sha256::digest(text);
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(under_grants(format!("{hash}@{data_version:x}"), plan, catalogue))
}

/// `key` with `.` and what may be read through the tools of `plan` behind the version of the data, where they tell.
pub(super) fn under_grants(key: String, plan: &Plan, catalogue: &Catalogue) -> String {
    let grants = grants(plan, catalogue);
    if grants.is_empty() { key } else { format!("{key}.{grants}") }
}

fn grants(plan: &Plan, catalogue: &Catalogue) -> String {
    let names: BTreeSet<&str> = plan.tools().collect();
    let specs = names.into_iter().filter_map(|name| catalogue.get(name));
    let told = specs.filter(|spec| spec.access != 0);
    told.map(|spec| format!("{}={:x}", spec.name, spec.access)).collect::<Vec<_>>().join(",")
}

/// The grants that are part of `key`.
fn grants_of(key: &str) -> &str {
    let behind = key.rsplit_once('@').and_then(|(_, behind)| behind.split_once('.'));
    behind.map_or("", |(_, grants)| grants)
}

/// Whether two queries are the same, though the data, and who may read them, may have changed between them.
pub(super) fn same_apart_from_data(one: &Submission, other: &Submission) -> bool {
    let what = |submission: &Submission| {
        let key = submission.cache_key.as_ref()?;
        Some(key.rsplit_once('@').map_or(key.as_str(), |(what, _)| what).to_owned())
    };
    what(one).is_some() && what(one) == what(other)
}

/// Who asks, if a tool that `plan` calls looks at that.
pub(super) fn whom(plan: &Plan, identity: &Identity, catalogue: &Catalogue) -> Option<String> {
    let personal = |tool: &str| catalogue.get(tool).is_none_or(|spec| spec.personal);
    plan.tools().any(personal).then(|| format!("{}/{:?}", identity.name, identity.key))
}

/// Refuses to show a query to `caller` as if it was not there, unless they see it, or would be given its result
/// if they asked the same.
pub(super) fn readable(app: &App, caller: &Caller, id: &str) -> Result<(), ApiError> {
    let tables = app.runtime.tables();
    let row = tables.get(&QUERIES, id)?.ok_or_else(|| unknown(id))?;
    if caller.sees(&row) {
        return Ok(());
    }
    let submission = tables.get(&SUBMISSIONS, id)?.unwrap_or_default();
    let given = is_given(&submission, caller, &app.queries.catalogue);
    if given { Ok(()) } else { Err(unknown(id)) }
}

/// Whether the result of `submission` is shared, with those of its role and teams, and `caller` is of them and may still
/// ask for it and read what was read for it.
fn is_given(submission: &Submission, caller: &Caller, catalogue: &Catalogue) -> bool {
    let Submission { plan, cache_key: Some(key), identity: asked, .. } = submission else {
        return false;
    };
    let asks = caller.identity();
    (&asks.role, &asks.teams) == (&asked.role, &asked.teams)
        && whom(plan, asks, catalogue).is_none()
        && caller.roles().denied(asks, plan, catalogue).is_empty()
        && grants_of(key) == grants(plan, catalogue)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use perennial_query::pipeline;
    use perennial_query::roles::Roles;
    use perennial_query::tool::ToolSpec;

    use super::*;
    use crate::http::Access;

    fn asks(name: &str, role: &str, teams: &[&str], key: u64) -> Identity {
        let teams = teams.iter().map(|team| (*team).to_owned()).collect();
        Identity { name: name.into(), role: role.into(), teams, key: Some(key) }
    }

    /// A catalogue of this tool alone.
    fn of(spec: ToolSpec) -> Catalogue {
        Catalogue([(spec.name.clone(), spec)].into())
    }

    fn look() -> ToolSpec {
        ToolSpec::new("look", "Looks.")
    }

    /// A query by `identity` that calls the tool of a catalogue, and whose result may be shared.
    fn asked(identity: &Identity, catalogue: &Catalogue) -> Submission {
        let text = "name: a\nsteps:\n  - id: s\n    tool: look\n";
        let plan = pipeline::read(text, catalogue).unwrap().plan;
        let draft = Submission { plan, identity: identity.clone(), ..Submission::default() };
        let key = cache_key(&draft, identity, catalogue, 0).unwrap();
        Submission { cache_key: Some(key), ..draft }
    }

    /// What `identity` shares with whoever has the same, calling a tool that is personal or not.
    fn shared(identity: &Identity, personal: bool) -> String {
        asked(identity, &of(ToolSpec { personal, ..look() })).cache_key.unwrap()
    }

    /// Somebody in a role with these permissions.
    fn caller(identity: Identity, permissions: &[&str]) -> Caller {
        let permissions = permissions.iter().map(|name| (*name).to_owned()).collect();
        let roles = Roles([(identity.role.clone(), permissions)].into());
        Access::new(Arc::new(roles), 1).caller(identity)
    }

    #[test]
    fn what_was_shared_is_read_no_more_by_whoever_may_not_ask_for_it_any_more() {
        let catalogue = of(ToolSpec { permission: Some("secrets".to_owned()), ..look() });
        let query = asked(&asks("ann", "coach", &["reds"], 1), &catalogue);
        let reads = |role: &str, teams: &[&str], permissions: &[&str]| {
            let bob = caller(asks("bob", role, teams, 2), permissions);
            is_given(&query, &bob, &catalogue)
        };
        assert!(reads("coach", &["reds"], &["queries", "secrets"]));
        assert!(!reads("coach", &["reds"], &["queries"]), "the permission was taken away");
        assert!(!reads("coach", &["blues"], &["queries", "secrets"]));
        assert!(!reads("scout", &["reds"], &["queries", "secrets"]));
        let unshared = Submission { cache_key: None, ..query.clone() };
        let bob = caller(asks("bob", "coach", &["reds"], 2), &["secrets"]);
        assert!(!is_given(&unshared, &bob, &catalogue));
    }

    #[test]
    fn what_was_read_under_other_grants_is_given_again_to_nobody() {
        let (ann, bob) = (asks("ann", "coach", &[], 1), asks("bob", "coach", &[], 2));
        let (before, now) =
            (of(ToolSpec { access: 7, ..look() }), of(ToolSpec { access: 8, ..look() }));
        let query = asked(&ann, &before);
        assert_eq!(query.cache_key, asked(&bob, &before).cache_key);
        assert_ne!(query.cache_key, asked(&bob, &now).cache_key);
        assert!(is_given(&query, &caller(bob.clone(), &[]), &before));
        assert!(!is_given(&query, &caller(bob, &[]), &now));
        let again = asked(&ann, &now);
        assert!(same_apart_from_data(&query, &again), "under its name it is the same query");
    }

    #[test]
    fn who_gives_a_query_again_gives_the_same_though_the_data_have_changed() {
        let of = |key: &str| Submission { cache_key: Some(key.into()), ..Submission::default() };
        assert!(same_apart_from_data(&of("ann@x/abc@0"), &of("ann@x/abc@1f")));
        assert!(!same_apart_from_data(&of("abc@0"), &of("abd@0")));
        assert!(!same_apart_from_data(&Submission::default(), &Submission::default()));
    }

    #[test]
    fn results_are_shared_by_those_of_one_role_and_the_same_teams() {
        let ann = asks("ann", "coach", &["blues", "reds"], 1);
        assert_eq!(
            shared(&ann, false),
            shared(&asks("bob", "coach", &["blues", "reds"], 2), false)
        );
        assert_ne!(
            shared(&ann, false),
            shared(&asks("bob", "scout", &["blues", "reds"], 2), false)
        );
        assert_ne!(shared(&ann, false), shared(&asks("bob", "coach", &["reds"], 2), false));
    }

    #[test]
    fn what_a_tool_says_to_one_person_is_shared_with_nobody_else() {
        let ann = asks("ann", "player", &[], 1);
        assert_eq!(shared(&ann, true), shared(&ann, true));
        assert_ne!(shared(&ann, true), shared(&asks("bob", "player", &[], 2), true));
        assert_ne!(shared(&ann, true), shared(&asks("ann", "player", &[], 2), true));
        assert_ne!(shared(&ann, true), shared(&ann, false));
    }
}
