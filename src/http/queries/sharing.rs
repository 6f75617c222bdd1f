//! Whose results are given to whom.

use perennial_query::plan::Plan;
use perennial_query::record::{QUERIES, SUBMISSIONS, Submission};
use perennial_query::tool::{Catalogue, Identity};
use sha2::{Digest, Sha256};

use super::unknown;
use crate::http::App;
use crate::http::access::Caller;
use crate::http::error::ApiError;

/// What makes two queries the same if `identity` asks: what is done, and for which role and teams. Where a tool
/// looks at who asks, also for whom. Then `@`, and the version of the data.
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
    Ok(format!("{hash}@{data_version:x}"))
}

/// Whether two queries are the same, though the data may have changed between them.
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
/// if they asked the same: its result is shared, and they are of the same role and teams.
pub(super) fn readable(app: &App, caller: &Caller, id: &str) -> Result<(), ApiError> {
    let tables = app.runtime.tables();
    let row = tables.get(&QUERIES, id)?.ok_or_else(|| unknown(id))?;
    if caller.sees(&row) {
        return Ok(());
    }
    let submission = tables.get(&SUBMISSIONS, id)?.unwrap_or_default();
    let (asks, asked) = (caller.identity(), &row.identity);
    let alike = (&asks.role, &asks.teams) == (&asked.role, &asked.teams);
    let catalogue = &app.queries.catalogue;
    let of_all = whom(&submission.plan, asks, catalogue).is_none();
    if submission.cache_key.is_some() && alike && of_all { Ok(()) } else { Err(unknown(id)) }
}

#[cfg(test)]
mod tests {
    use perennial_query::pipeline;
    use perennial_query::tool::ToolSpec;

    use super::*;

    fn asks(name: &str, role: &str, teams: &[&str], key: u64) -> Identity {
        let teams = teams.iter().map(|team| (*team).to_owned()).collect();
        Identity { name: name.into(), role: role.into(), teams, key: Some(key) }
    }

    /// What `identity` shares with whoever has the same, calling a tool that is personal or not.
    fn shared(identity: &Identity, personal: bool) -> String {
        let spec = ToolSpec { personal, ..ToolSpec::new("look", "Looks.") };
        let catalogue = Catalogue([("look".to_owned(), spec)].into());
        let text = "name: a\nsteps:\n  - id: s\n    tool: look\n";
        let plan = pipeline::read(text, &catalogue).unwrap().plan;
        let submission = Submission { plan, ..Submission::default() };
        cache_key(&submission, identity, &catalogue, 0).unwrap()
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
