//! Who asks, and what they may: the node's operator everything, who holds an API key what its role may.

mod buckets;
mod open;
mod secret;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use perennial_query::record::QueryRow;
use perennial_query::roles::{ADMIN, Roles};
use perennial_query::tool::{EVERY_TEAM, Identity};
use perennial_runtime::instant;

use super::error::ApiError;
use buckets::Buckets;
use open::{Open, Place};
pub(super) use secret::{ApiKey, PREFIX};

/// The name of who holds the node's token. No key is given to somebody of this name.
pub(super) const OPERATOR: &str = "operator";

/// What decides on requests.
#[derive(Debug)]
pub(crate) struct Access {
    /// What each role may.
    roles: Arc<Roles>,
    buckets: Buckets,
    open: Open,
}

impl Access {
    pub(crate) fn new(roles: Arc<Roles>, requests_per_minute: u32) -> Self {
        Self { roles, buckets: Buckets::new(requests_per_minute), open: Open::default() }
    }

    /// Somebody of this identity.
    pub(super) fn caller(&self, identity: Identity) -> Caller {
        Caller { identity, roles: Arc::clone(&self.roles), _place: None }
    }

    /// Who holds the node's token, or asks a node without one.
    pub(super) fn operator(&self) -> Caller {
        self.caller(Identity {
            name: OPERATOR.to_owned(),
            role: ADMIN.to_owned(),
            teams: vec![EVERY_TEAM.to_owned()],
            key: None,
        })
    }

    /// `caller` with a place among the requests under way on a node with so many connections.
    pub(super) fn enter(&self, caller: Caller, connections: usize) -> Result<Caller, ApiError> {
        let place = self.open.enter(caller.identity.key, connections);
        let place = place.map_err(ApiError::TooManyOpen)?;
        Ok(Caller { _place: Some(Arc::new(place)), ..caller })
    }

    /// Lets `caller` through to a route, or says why not. A route that no rule knows is the operator's alone.
    pub(super) fn admit(
        &self,
        caller: &Caller,
        method: &Method,
        route: &str,
    ) -> Result<(), ApiError> {
        let Some(key) = caller.identity.key else { return Ok(()) };
        self.buckets.take(key, instant()).map_err(ApiError::RateLimited)?;
        match needed(method, route) {
            Some(permission) => caller.needs(permission),
            None => Err(ApiError::Forbidden(format!("no API key is let through to {route}"))),
        }
    }
}

/// What a role can be allowed to do on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    /// To ask, and to see and order one's own queries.
    Queries,
    /// The same of everybody's.
    QueriesAll,
    /// To see containers, incidents, actions and actors.
    Fleet,
    /// To put documents into the library and to take them out.
    Ingest,
    /// To act on containers and to take incidents on.
    Act,
    /// To take a backup, which holds all that the node knows.
    Backup,
    /// To give out API keys and to revoke them.
    Keys,
    /// To see, redrive and discard what was given up.
    DeadLetters,
    /// To read the metrics.
    Metrics,
    /// To do jobs of the node's tools outside of it: to see what they are called with, and to answer for them.
    Work,
}

impl Permission {
    /// The name in the configuration.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Queries => "queries",
            Self::QueriesAll => "queries_all",
            Self::Fleet => "fleet",
            Self::Ingest => "ingest",
            Self::Act => "act",
            Self::Backup => "backup",
            Self::Keys => "keys",
            Self::DeadLetters => "dead_letters",
            Self::Metrics => "metrics",
            Self::Work => "work",
        }
    }
}

/// What is needed for a route, given as the router writes it.
fn needed(method: &Method, route: &str) -> Option<Permission> {
    // What answers a GET answers a HEAD.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    Some(match (method, route) {
        ("GET", "/v1/tree" | "/v1/containers" | "/v1/actions")
        | ("GET", "/v1/incidents" | "/v1/incidents/{id}") => Permission::Fleet,
        ("POST", "/v1/actions" | "/v1/incidents/{id}/acknowledge") => Permission::Act,
        ("GET", "/v1/backup") => Permission::Backup,
        ("GET", "/v1/dead-letters" | "/v1/dead-letters/{id}")
        | ("DELETE", "/v1/dead-letters/{id}")
        | ("POST", "/v1/dead-letters/{id}/redrive") => Permission::DeadLetters,
        ("GET" | "POST", "/v1/keys") | ("DELETE", "/v1/keys/{id}") => Permission::Keys,
        ("POST", "/v1/documents") | ("DELETE", "/v1/documents/{id}") => Permission::Ingest,
        ("GET", "/metrics") => Permission::Metrics,
        ("GET", "/v1/workers")
        | ("POST", "/v1/workers/{pool}/poll")
        | ("POST", "/v1/workers/{pool}/jobs/{id}/heartbeat")
        | ("POST", "/v1/workers/{pool}/jobs/{id}/result") => Permission::Work,
        // It shows steps of everybody's queries.
        ("GET", "/v1/dead-steps") => Permission::QueriesAll,
        // It tells of everybody.
        ("GET", "/v1/audit") => Permission::QueriesAll,
        // They are of nobody's key, and what they do concerns everybody.
        ("GET", "/v1/schedules" | "/v1/schedules/{name}")
        | ("POST", "/v1/schedules/{name}/pause" | "/v1/schedules/{name}/resume")
        | ("POST", "/v1/schedules/{name}/fire") => Permission::QueriesAll,
        ("GET", "/v1/tools" | "/v1/pipelines" | "/v1/pipelines/{name}" | "/v1/rules")
        | ("GET", "/v1/documents" | "/v1/documents/{id}")
        | ("GET" | "POST", "/v1/queries" | "/v1/conversations")
        | ("GET" | "DELETE", "/v1/conversations/{id}")
        | ("GET", "/v1/queries/{id}" | "/v1/queries/{id}/events")
        | ("POST", "/v1/queries/{id}/cancel" | "/v1/queries/{id}/pause")
        | ("POST", "/v1/queries/{id}/resume" | "/v1/queries/{id}/retry")
        | ("POST", "/v1/queries/{id}/approve" | "/v1/queries/{id}/reject")
        | ("POST", "/v1/queries/{id}/discard") => Permission::Queries,
        (_, _) => return None,
    })
}

/// Who asks. Handlers take it as one of their arguments.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    identity: Identity,
    roles: Arc<Roles>,
    /// Held for as long as anybody holds this: a request, or the stream that answers it.
    _place: Option<Arc<Place>>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| ApiError::Internal("nobody was asked who they are".to_owned()))
    }
}

impl Caller {
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn roles(&self) -> &Roles {
        &self.roles
    }

    fn may(&self, permission: Permission) -> bool {
        self.roles.permit(&self.identity.role, permission.as_str())
    }

    fn needs(&self, permission: Permission) -> Result<(), ApiError> {
        if self.may(permission) {
            return Ok(());
        }
        let (role, name) = (&self.identity.role, permission.as_str());
        let why = format!("the role `{role}` has no permission `{name}`, which this needs");
        Err(ApiError::Forbidden(why))
    }

    /// Whether a query is their own, or they may see everybody's.
    pub(super) fn sees(&self, query: &QueryRow) -> bool {
        let own = self.identity.key.is_some() && self.identity.key == query.identity.key;
        own || self.may(Permission::QueriesAll)
    }

    /// Whose name is on record for what they do. Who holds a key cannot sign as somebody else.
    pub(super) fn signs(&self, by: String) -> Result<String, ApiError> {
        let own = &self.identity.name;
        if by.is_empty() || by == *own {
            return Ok(own.clone());
        }
        if self.identity.key.is_none() {
            return Ok(by);
        }
        let why = format!("`by` is {by}, and the API key is {own}'s; leave `by` out");
        Err(ApiError::Malformed(why))
    }

    /// Where names of things that are to be done once are their own: nobody meets what another one named so.
    pub(super) fn names(&self, what: &str) -> String {
        self.identity.key.map_or_else(|| what.to_owned(), |key| format!("{what}@{key}"))
    }

    /// Refuses to give a key to somebody who may do or see what the caller may not, or to take theirs.
    pub(super) fn commands<'a>(
        &self,
        role: &str,
        mut teams: impl Iterator<Item = &'a String>,
    ) -> Result<(), ApiError> {
        let own = &self.identity;
        if !self.roles.covers(&own.role, role) {
            let why = format!("the role `{role}` may do what your own, `{}`, may not", own.role);
            return Err(ApiError::Forbidden(why));
        }
        let every = own.teams.iter().any(|team| team == EVERY_TEAM);
        match teams.find(|team| !every && !own.teams.contains(team)) {
            Some(team) => Err(ApiError::Forbidden(format!("you are not of the team `{team}`"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
