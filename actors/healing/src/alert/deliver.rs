//! A notification to be delivered on one channel, as data.

use std::time::Duration;

use perennial_runtime::{Effect, EffectPolicy, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Notice};

/// One attempt may take this long.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// The first wait between attempts.
const BACKOFF_BASE: Duration = Duration::from_secs(1);
/// The longest wait between attempts.
const BACKOFF_CAP: Duration = Duration::from_secs(300);

/// Delivers one notice on one channel. Tried until it expires, then kept as a dead letter; notices
/// of one thread arrive on a channel in the order they were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deliver {
    /// The channel's name.
    pub channel: String,
    /// What to tell.
    pub notice: Notice,
    /// It is of no use after this.
    pub expires: Timestamp,
}

impl Effect for Deliver {
    const NAME: &'static str = "deliver";
    type Owner = Alert;
    /// What the channel answered.
    type Outcome = String;

    fn lane(&self) -> Option<String> {
        Some(format!("{}/{}", self.channel, self.notice.thread))
    }

    fn policy(&self) -> EffectPolicy {
        EffectPolicy {
            timeout: TIMEOUT,
            attempts: u32::MAX,
            backoff_base: BACKOFF_BASE,
            backoff_cap: BACKOFF_CAP,
            expires: Some(self.expires),
            keep_failures: true,
        }
    }
}
