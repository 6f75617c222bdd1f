//! Keys: one per node. Gives out API keys and takes them back; whoever reads its rows knows who asks.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use perennial_runtime::{Durable, Failure, Kind, Table, Timestamp, Turn, decode};
use serde::{Deserialize, Serialize};

use crate::audit::{AUDIT, Act, Audit, AuditMessage, Deed};
use crate::record::older::known;
use crate::roles::Roles;
use crate::tool::Identity;

/// The key of the node's Keys.
pub const KEYS: &str = "local";
/// API keys that are good at a time; each may keep figures in memory at the edge.
pub const MOST: u64 = 10_000;

/// API keys by number, which rises with the time of creation. Revoked ones stay, for the record of who asked.
pub const API_KEYS: Table<KeyRow> = Table::new("api-keys", 1);

/// What is kept of a secret: its SHA-256. A slow hash would protect nothing here: it makes guessing dear where
/// people chose the secret, and this one is 256 bits of chance, which nobody guesses at any speed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretHash(..)")
    }
}

/// An API key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Given once, also after it was revoked.
    pub number: u64,
    /// Who holds it, for people and the audit.
    pub name: String,
    /// What decides on permissions.
    pub role: String,
    /// Whose rows may be seen, sorted.
    pub teams: Vec<String>,
    /// Of its secret, which is nowhere kept.
    pub hash: SecretHash,
    /// When it was given out.
    pub created_at: Timestamp,
    /// Since when it is good for nothing.
    pub revoked_at: Option<Timestamp>,
}

impl KeyRow {
    /// On whose behalf its holder asks.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let Self { number, name, role, teams, .. } = self.clone();
        Identity { name, role, teams, key: Some(number) }
    }
}

/// What the Keys are told.
#[derive(Debug, Default)]
pub struct Settings {
    /// The roles that there are.
    pub roles: Arc<Roles>,
}

/// A message to the Keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeysMessage {
    /// A key is to be given out. Answered with [`Created`].
    Create {
        /// What it is to be.
        new: NewKey,
        /// Who gives it out.
        by: Identity,
    },
    /// A key is to be good for nothing. Answered with [`Revoked`].
    Revoke {
        /// Its number.
        number: u64,
        /// Who takes it back.
        by: Identity,
    },
}

/// What version 1 was told: not who wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeysMessage1 {
    Create(NewKey),
    Revoke(u64),
}

impl From<KeysMessage1> for KeysMessage {
    fn from(old: KeysMessage1) -> Self {
        let by = Identity::default();
        match old {
            KeysMessage1::Create(new) => Self::Create { new, by },
            KeysMessage1::Revoke(number) => Self::Revoke { number, by },
        }
    }
}

/// A key to be given out. Its secret was made at the edge and stays there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// Who is to hold it.
    pub name: String,
    /// What decides on permissions.
    pub role: String,
    /// Whose rows may be seen.
    pub teams: BTreeSet<String>,
    /// Of the secret.
    pub hash: SecretHash,
}

/// What became of a key that was to be given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Created {
    /// It is good from now on.
    Key(KeyRow),
    /// There is no such role; these there are.
    UnknownRole(Vec<String>),
    /// There are as many keys as there may be.
    Full,
}

/// What became of a key that was to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revoked {
    /// It is good for nothing, now or since before.
    Done,
    /// There never was one of this number.
    Unknown,
}

/// The Keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Keys given out so far, which is the number of the last one.
    created: u64,
    /// Those of them that are good.
    good: u64,
}

impl Durable for Keys {
    const KIND: Kind = Kind::new("keys");
    /// It is told who wants something since version 2.
    const VERSION: u16 = 2;
    type Message = KeysMessage;
    type Settings = Settings;

    fn handle(&mut self, message: KeysMessage, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match message {
            KeysMessage::Create { new, by } => {
                let created = self.create(new, by, turn);
                turn.reply(&created);
            }
            KeysMessage::Revoke { number, by } => {
                let revoked = self.revoke(number, by, turn)?;
                turn.reply(&revoked);
            }
        }
        Ok(())
    }

    /// What it keeps is the same in version 1.
    fn migrate(version: u16, payload: &[u8]) -> Result<Self, Failure> {
        known(version)?;
        Ok(decode(payload)?)
    }

    fn migrate_message(version: u16, payload: &[u8]) -> Result<KeysMessage, Failure> {
        known(version)?;
        Ok(decode::<KeysMessage1>(payload)?.into())
    }
}

impl Keys {
    fn create(&mut self, new: NewKey, by: Identity, turn: &mut Turn<'_, Self>) -> Created {
        let roles = &turn.settings().roles;
        if !roles.0.contains_key(&new.role) {
            return Created::UnknownRole(roles.0.keys().cloned().collect());
        }
        if self.good >= MOST {
            return Created::Full;
        }
        self.created += 1;
        self.good += 1;
        let NewKey { name, role, teams, hash } = new;
        let row = KeyRow {
            number: self.created,
            name,
            role,
            teams: teams.into_iter().collect(),
            hash,
            created_at: turn.now(),
            revoked_at: None,
        };
        turn.put(&API_KEYS, &row.number, &row);
        record((Act::KeyCreated, "created"), &row, by, turn);
        Created::Key(row)
    }

    fn revoke(
        &mut self,
        number: u64,
        by: Identity,
        turn: &mut Turn<'_, Self>,
    ) -> Result<Revoked, Failure> {
        let Some(row) = turn.get(&API_KEYS, &number)? else { return Ok(Revoked::Unknown) };
        if row.revoked_at.is_none() {
            self.good -= 1;
            let row = KeyRow { revoked_at: Some(turn.now()), ..row };
            turn.put(&API_KEYS, &number, &row);
            record((Act::KeyRevoked, "revoked"), &row, by, turn);
        }
        Ok(Revoked::Done)
    }
}

/// Has the audit keep what was done, in the same commit. Nothing of the secret is told, not even its hash.
fn record((act, result): (Act, &str), row: &KeyRow, by: Identity, turn: &mut Turn<'_, Keys>) {
    let (object, name) = (row.number.to_string(), row.name.clone());
    let deed = Deed { act, object, name, by, result: Ok(result.to_owned()) };
    turn.send::<Audit>(AUDIT, &AuditMessage::Keep(deed));
}

#[cfg(test)]
impl Keys {
    /// One that has given out so many, of which so many are good.
    pub(crate) fn sample(created: u64, good: u64) -> Self {
        Self { created, good }
    }
}
