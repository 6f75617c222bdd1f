//! Who may call what.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::plan::ErrorKind;
use crate::tool::{Identity, ToolError, ToolSpec};

/// The permission to do everything.
pub const EVERYTHING: &str = "*";

/// What each role may, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roles(pub BTreeMap<String, BTreeSet<String>>);

impl Roles {
    /// Whether somebody in `role` has `permission`.
    #[must_use]
    pub fn permit(&self, role: &str, permission: &str) -> bool {
        let granted = self.0.get(role);
        granted.is_some_and(|all| all.contains(EVERYTHING) || all.contains(permission))
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
}
