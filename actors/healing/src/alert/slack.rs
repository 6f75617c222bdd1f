//! Slack, by an incoming webhook: HemoStat's colours and fields.

use perennial_runtime::{Attempt, EffectError};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::alert::channels::ChannelError;
use crate::alert::text::{clean, line, slack, unix_seconds};
use crate::alert::webhook::Target;
use crate::alert::{Config, Item, Notice};

/// Attachments of one message; Slack discourages more than 20.
const ATTACHMENTS: usize = 20;
/// Characters of one text, before escaping.
const TEXT_LIMIT: usize = 1500;
/// Characters of one title, before escaping.
const TITLE_LIMIT: usize = 150;

/// The Slack channel.
pub(super) struct Slack {
    target: Target,
}

impl Slack {
    pub(super) fn new(config: &Config) -> Result<Self, ChannelError> {
        Ok(Self { target: Target::new(&config.slack.url, "alert.slack.url")? })
    }

    pub(super) async fn send(
        &self,
        notice: &Notice,
        attempt: &Attempt,
    ) -> Result<String, EffectError> {
        let body = message(notice).to_string();
        self.target.post(body, HeaderMap::new(), attempt.now).await
    }
}

/// The message: one attachment per incident.
fn message(notice: &Notice) -> Value {
    let shown = notice.items.iter().take(ATTACHMENTS);
    let mut attachments: Vec<Value> = shown.map(|item| attachment(item, notice)).collect();
    if !notice.coverage.is_empty() {
        attachments.push(coverage(notice));
    }
    json!({ "text": title(&notice.title), "attachments": attachments })
}

fn attachment(item: &Item, notice: &Notice) -> Value {
    let fields = item.fields.iter().map(|field| {
        let value = slack(&clean(&field.value, TEXT_LIMIT));
        json!({ "title": field.title, "value": value, "short": field.short })
    });
    json!({
        "color": item.change.colour(item.severity),
        "fallback": title(&item.title),
        "pretext": format!("Perennial {}: {}", item.change.source(), item.change.label()),
        "title": title(&item.title),
        "text": slack(&clean(&item.excerpt.join("\n"), TEXT_LIMIT)),
        "fields": fields.collect::<Vec<_>>(),
        "footer": footer(notice),
        "ts": unix_seconds(item.at),
        "mrkdwn_in": [],
    })
}

fn coverage(notice: &Notice) -> Value {
    let gaps = notice.coverage.iter();
    let mut lines: Vec<String> = gaps
        .map(|gap| format!("{} ({}): {}", gap.subject.name, gap.subject.id, gap.gaps.join(", ")))
        .collect();
    if notice.more_coverage > 0 {
        lines.push(format!("and {} more", notice.more_coverage));
    }
    json!({
        "color": notice.change.colour(notice.severity),
        "fallback": title(&notice.title),
        "title": title(&notice.title),
        "text": slack(&clean(&lines.join("\n"), 2 * TEXT_LIMIT)),
        "footer": footer(notice),
        "ts": unix_seconds(notice.at),
        "mrkdwn_in": [],
    })
}

fn title(text: &str) -> String {
    slack(&line(text, TITLE_LIMIT))
}

fn footer(notice: &Notice) -> String {
    slack(&format!("Perennial \u{2022} alert \u{2022} {}", line(&notice.environment, TITLE_LIMIT)))
}

#[cfg(test)]
mod tests;
