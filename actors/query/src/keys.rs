//! Keys: one per node. Gives out API keys and takes them back; whoever reads its rows knows who asks.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use perennial_runtime::{Durable, Failure, Kind, Table, Timestamp, Turn};
use serde::{Deserialize, Serialize};

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
    Create(NewKey),
    /// The key of this number is to be good for nothing. Answered with [`Revoked`].
    Revoke(u64),
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
    type Message = KeysMessage;
    type Settings = Settings;

    fn handle(&mut self, message: KeysMessage, turn: &mut Turn<'_, Self>) -> Result<(), Failure> {
        match message {
            KeysMessage::Create(new) => {
                let created = self.create(new, turn);
                turn.reply(&created);
            }
            KeysMessage::Revoke(number) => {
                let revoked = self.revoke(number, turn)?;
                turn.reply(&revoked);
            }
        }
        Ok(())
    }
}

impl Keys {
    fn create(&mut self, new: NewKey, turn: &mut Turn<'_, Self>) -> Created {
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
        Created::Key(row)
    }

    fn revoke(&mut self, number: u64, turn: &mut Turn<'_, Self>) -> Result<Revoked, Failure> {
        let Some(row) = turn.get(&API_KEYS, &number)? else { return Ok(Revoked::Unknown) };
        if row.revoked_at.is_none() {
            self.good -= 1;
            let row = KeyRow { revoked_at: Some(turn.now()), ..row };
            turn.put(&API_KEYS, &number, &row);
        }
        Ok(Revoked::Done)
    }
}
