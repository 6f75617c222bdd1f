//! Who is told what: the configuration of the Alert.

use std::path::PathBuf;
use std::time::Duration;

use perennial_secret::Secret;
use serde::{Deserialize, Serialize};

use crate::alert::webhook::address;
use crate::model::Severity;

/// The Slack channel's name.
pub const SLACK: &str = "slack";
/// The e-mail channel's name.
pub const EMAIL: &str = "email";
/// The generic webhook's name.
pub const WEBHOOK: &str = "webhook";

/// `[alert]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which installation this is; shown in every notification.
    pub environment: String,
    /// How long news of a group that was quiet are collected before they are told. Critical
    /// incidents do not wait.
    #[serde(with = "humantime_serde")]
    pub group_wait: Duration,
    /// How long further news of the same group are collected.
    #[serde(with = "humantime_serde")]
    pub group_interval: Duration,
    /// How often people are reminded of an incident that is open and not acknowledged; 0 is never.
    #[serde(with = "humantime_serde")]
    pub repeat_interval: Duration,
    /// How long closed incidents and their journals are kept.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// How long a notification is tried before it becomes a dead letter.
    #[serde(with = "humantime_serde")]
    pub expires: Duration,
    /// The channel that also gets a critical notification that another one did not take in time.
    pub fallback: String,
    /// How long is in time; 0 switches the fallback off.
    #[serde(with = "humantime_serde")]
    pub fallback_after: Duration,
    /// Slack, by an incoming webhook.
    pub slack: Slack,
    /// E-mail, by SMTP.
    pub email: Email,
    /// Any other receiver, by signed JSON over HTTP.
    pub webhook: Webhook,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            environment: "local".to_owned(),
            group_wait: Duration::from_secs(30),
            group_interval: Duration::from_secs(300),
            repeat_interval: Duration::from_secs(4 * 3600),
            retention: Duration::from_secs(7 * 86_400),
            expires: Duration::from_secs(86_400),
            fallback: EMAIL.to_owned(),
            fallback_after: Duration::from_secs(120),
            slack: Slack::default(),
            email: Email::default(),
            webhook: Webhook::default(),
        }
    }
}

/// `[alert.slack]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Slack {
    /// The incoming webhook's address, a secret. Empty switches the channel off.
    pub url: Secret,
    /// A file that holds `url`.
    pub url_file: PathBuf,
    /// What is less severe is not told here.
    pub min_severity: Severity,
}

/// `[alert.email]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Email {
    /// The mail server. Empty switches the channel off.
    pub host: String,
    /// Its port; 0 is the usual one for `tls` (587, 465 or 25).
    pub port: u16,
    /// How the connection is protected: `starttls` (required), `implicit` or `none`.
    pub tls: Tls,
    /// A PEM file with the authority that signed the server's certificate, if it is not a public
    /// one.
    pub ca_file: PathBuf,
    /// The user to log in as; empty does not log in.
    pub user: String,
    /// That user's password.
    pub password: Secret,
    /// A file that holds `password`.
    pub password_file: PathBuf,
    /// The sender's address.
    pub from: String,
    /// The receivers' addresses.
    pub to: Vec<String>,
    /// What is less severe is not told here.
    pub min_severity: Severity,
    /// Tells only what another channel did not take in time.
    pub fallback_only: bool,
}

impl Default for Email {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 0,
            tls: Tls::StartTls,
            ca_file: PathBuf::new(),
            user: String::new(),
            password: Secret::default(),
            password_file: PathBuf::new(),
            from: String::new(),
            to: Vec::new(),
            min_severity: Severity::Warning,
            fallback_only: false,
        }
    }
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Begins in clear and must switch to TLS before anything is said.
    StartTls,
    /// TLS from the first byte.
    Implicit,
    /// Not at all.
    None,
}

/// `[alert.webhook]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Webhook {
    /// Where to POST, a secret. Empty switches the channel off.
    pub url: Secret,
    /// A file that holds `url`.
    pub url_file: PathBuf,
    /// The key that signs each request (HMAC-SHA256).
    pub key: Secret,
    /// A file that holds `key`.
    pub key_file: PathBuf,
    /// What is less severe is not told here.
    pub min_severity: Severity,
}

/// A channel that is configured, and what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The channel's name.
    pub channel: &'static str,
    /// What is less severe is not told there.
    pub min_severity: Severity,
    /// It is told only what another channel did not take in time.
    pub fallback_only: bool,
}

impl Config {
    /// The channels that are configured.
    #[must_use]
    pub fn routes(&self) -> Vec<Route> {
        let (slack, email, webhook) = (&self.slack, &self.email, &self.webhook);
        let all = [
            (slack.url.is_set(), SLACK, slack.min_severity, false),
            (email.is_complete(), EMAIL, email.min_severity, email.fallback_only),
            (webhook.url.is_set(), WEBHOOK, webhook.min_severity, false),
        ];
        let configured = all.into_iter().filter(|channel| channel.0);
        configured
            .map(|(_, channel, min_severity, fallback_only)| Route {
                channel,
                min_severity,
                fallback_only,
            })
            .collect()
    }

    /// The channels that are told what is this severe at first hand.
    #[must_use]
    pub fn routes_for(&self, severity: Severity) -> Vec<Route> {
        let told = |route: &Route| !route.fallback_only && route.min_severity <= severity;
        self.routes().into_iter().filter(told).collect()
    }

    /// The channel that critical notifications fall back to, if it is configured.
    #[must_use]
    pub fn fallback_route(&self) -> Option<Route> {
        let on = !self.fallback_after.is_zero();
        self.routes().into_iter().find(|route| on && route.channel == self.fallback)
    }

    /// Options to which nothing can be sent, by their dotted names, and why.
    #[must_use]
    pub fn refusals(&self) -> Vec<(&'static str, String)> {
        let urls = [("alert.slack.url", &self.slack.url), ("alert.webhook.url", &self.webhook.url)];
        let wrong = urls.into_iter().filter(|(_, url)| url.is_set() && address(url).is_none());
        // The value is a secret.
        let why = "is not an http(s) address, such as https://example.org/path";
        wrong.map(|(key, _)| (key, why.to_owned())).collect()
    }

    /// Warnings about receivers that do not exist and limits that can never trip.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        self.check_receivers(&mut warnings);
        self.check_fallback(&mut warnings);
        self.check_times(&mut warnings);
        warnings
    }

    fn check_receivers(&self, warnings: &mut Vec<String>) {
        let mut warn = |wrong: bool, text: &str| {
            if wrong {
                warnings.push(text.to_owned());
            }
        };
        let (email, webhook) = (&self.email, &self.webhook);
        let on = !email.host.is_empty();
        let told = email.from.contains('@') && !email.to.is_empty();
        warn(on && email.to.is_empty(), "alert.email.to is empty: e-mail reaches nobody");
        warn(
            on && !email.from.contains('@'),
            "alert.email.from is not an address: no e-mail is sent",
        );
        warn(
            email.to.iter().any(|to| !to.contains('@')),
            "alert.email.to has an entry that is not an address",
        );
        warn(
            !on && !email.to.is_empty(),
            "alert.email.host is empty: alert.email.to is told nothing",
        );
        warn(
            on && told && email.user.is_empty() == email.password.is_set(),
            "alert.email needs both user and password to log in, or neither",
        );
        warn(
            on && email.tls == Tls::None && email.password.is_set(),
            "alert.email.tls is \"none\": the password is sent in clear",
        );
        let unsigned = webhook.url.is_set() && !webhook.key.is_set();
        warn(unsigned, "alert.webhook.key is empty: requests are not signed");
        let idle = !webhook.url.is_set() && webhook.key.is_set();
        warn(idle, "alert.webhook.key is set but alert.webhook.url is not: nothing is sent");
    }

    fn check_fallback(&self, warnings: &mut Vec<String>) {
        let fallback = &self.fallback;
        let routes = self.routes();
        if !routes.is_empty() && routes.iter().all(|route| route.fallback_only) {
            warnings.push(
                "alert.email.fallback_only is set, but there is no other channel: nothing is told"
                    .to_owned(),
            );
        }
        if self.fallback_after.is_zero() {
            if self.email.fallback_only && self.email.is_complete() {
                warnings
                    .push("alert.email.fallback_only is set, but the fallback is off".to_owned());
            }
            return;
        }
        if ![SLACK, EMAIL, WEBHOOK].contains(&fallback.as_str()) {
            warnings.push(format!(
                "alert.fallback = \"{fallback}\" names no channel; known are slack, email, webhook"
            ));
        } else if self.fallback_route().is_none() && !routes.is_empty() {
            warnings.push(format!(
                "alert.fallback = \"{fallback}\" is not configured: a critical notification that \
                 its channel does not take has no second way"
            ));
        }
        if self.email.fallback_only && fallback != EMAIL {
            warnings.push(
                "alert.email.fallback_only is set, but e-mail is not alert.fallback".to_owned(),
            );
        }
        if self.fallback_after >= self.expires {
            warnings.push("alert.fallback_after is not below alert.expires".to_owned());
        }
    }

    fn check_times(&self, warnings: &mut Vec<String>) {
        if self.group_wait > self.group_interval {
            warnings.push("alert.group_wait is above alert.group_interval".to_owned());
        }
        if !self.repeat_interval.is_zero() && self.repeat_interval < self.group_interval {
            warnings.push("alert.repeat_interval is below alert.group_interval".to_owned());
        }
        if self.retention < self.expires {
            warnings.push(
                "alert.retention is below alert.expires: an incident can be forgotten before its \
                 notifications end"
                    .to_owned(),
            );
        }
        if self.expires.is_zero() {
            warnings.push("alert.expires is 0: no notification is ever delivered".to_owned());
        }
    }
}

impl Email {
    /// Whether mail can be sent at all.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.host.is_empty() && self.from.contains('@') && !self.to.is_empty()
    }
}

#[cfg(test)]
mod tests;
