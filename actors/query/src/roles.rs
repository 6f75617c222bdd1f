//! Who may call what.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize};

use crate::plan::{ErrorKind, Plan};
use crate::tool::{Catalogue, Identity, ToolError, ToolSpec};

/// The permission to do everything.
pub const EVERYTHING: &str = "*";

/// The role of who holds the node's token. It may do everything.
pub const ADMIN: &str = "admin";

/// The roles that every node has, unless its configuration says otherwise, and what each may. `queries` is to
/// ask at all; `advanced`, `opponent` and `tactical` are for tools that need them, and `scope:…` for those that
/// look beyond a player's own figures, each by its width.
const USUAL: [(&str, &[&str]); 6] = [
    (ADMIN, &[EVERYTHING]),
    (
        "analyst",
        &[
            "queries",
            "advanced",
            "opponent",
            "tactical",
            "scope:team",
            "scope:player",
            "scope:game",
            "scope:league",
        ],
    ),
    (
        "coach",
        &[
            "queries",
            "advanced",
            "opponent",
            "tactical",
            "scope:team",
            "scope:player",
            "scope:game",
            "scope:strategy",
        ],
    ),
    ("player", &["queries", "advanced", "scope:personal", "scope:team", "scope:game"]),
    (
        "scout",
        &[
            "queries",
            "advanced",
            "opponent",
            "tactical",
            "scope:player",
            "scope:opponent",
            "scope:league",
        ],
    ),
    ("staff", &["queries", "scope:team", "scope:game"]),
];

/// What each role may, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roles(pub BTreeMap<String, BTreeSet<String>>);

impl Roles {
    /// Those that every node has.
    #[must_use]
    pub fn usual() -> Self {
        let owned = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        Self(USUAL.iter().map(|(role, all)| ((*role).to_owned(), owned(all))).collect())
    }

    /// Reads roles that are added to the usual ones; one of the same name replaces it.
    pub(crate) fn over_usual<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut roles = Self::usual();
        roles.0.extend(Self::deserialize(deserializer)?.0);
        Ok(roles)
    }

    /// What is wrong with them: the role, and why.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let everything = |all: &BTreeSet<String>| all.contains(EVERYTHING);
        if !self.0.get(ADMIN).is_some_and(everything) {
            let why = format!(
                "`{ADMIN}` is the role of who holds the node's token and must be [\"{EVERYTHING}\"]"
            );
            problems.push(why);
        }
        for (role, all) in &self.0 {
            let plain = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
            if let Some(odd) = std::iter::once(role).chain(all).find(|name| !plain(name)) {
                let why = format!("`{role}`: `{odd}` must be visible characters without spaces");
                problems.push(why);
            }
        }
        problems
    }

    /// Whether somebody in `role` has `permission`.
    #[must_use]
    pub fn permit(&self, role: &str, permission: &str) -> bool {
        let granted = self.0.get(role);
        granted.is_some_and(|all| all.contains(EVERYTHING) || all.contains(permission))
    }

    /// Whether somebody in `role` may do all that somebody in `other` may, so that they give nothing away that
    /// they do not have.
    #[must_use]
    pub fn covers(&self, role: &str, other: &str) -> bool {
        let wanted = self.0.get(other).into_iter().flatten();
        wanted.into_iter().all(|permission| self.permit(role, permission))
    }

    /// Refuses a call that `identity` may not make.
    ///
    /// # Errors
    /// Says which permission is wanting.
    pub fn check(&self, identity: &Identity, spec: &ToolSpec) -> Result<(), ToolError> {
        match &spec.permission {
            Some(permission) if !self.permit(&identity.role, permission) => {
                let why = format!(
                    "the role `{}` has no permission `{permission}`, which `{}` needs",
                    identity.role, spec.name
                );
                Err(ToolError::new(ErrorKind::Denied, why))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Why `identity` may not have `plan` done: a reason for each tool that it may not call, fallbacks included.
    #[must_use]
    pub fn denied(&self, identity: &Identity, plan: &Plan, catalogue: &Catalogue) -> Vec<String> {
        let names: BTreeSet<&str> = plan.tools().collect();
        let specs = names.into_iter().filter_map(|name| catalogue.get(name));
        specs
            .filter_map(|spec| self.check(identity, spec).err())
            .map(|error| error.message)
            .collect()
    }
}

#[cfg(test)]
mod tests;
