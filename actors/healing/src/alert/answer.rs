//! What an HTTP receiver's answer means for a notification. Pure.

use std::time::Duration;

use perennial_runtime::{EffectError, Timestamp};

use crate::alert::text::line;

/// The longest wait a receiver may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Characters of an answer's body that are worth repeating.
pub(super) const BODY_LIMIT: usize = 200;

/// Accepted, worth another attempt (408, 429, 5xx), or final (anything else).
pub(super) fn judge(
    status: u16,
    retry_after: Option<&str>,
    body: &str,
    now: Timestamp,
) -> Result<String, EffectError> {
    let said = format!("answered {status} {}", line(body.trim(), BODY_LIMIT));
    match status {
        200..=299 => Ok(said),
        408 | 429 | 500..=599 => Err(EffectError::Transient {
            message: said.trim_end().to_owned(),
            retry_after: retry_after.and_then(|text| wait(text, now)),
        }),
        _ => Err(EffectError::permanent(format!(
            "{}; it will not take this notification: check its address and secrets",
            said.trim_end()
        ))),
    }
}

/// Reads a `Retry-After` header: seconds, or a date (RFC 9110, section 10.2.3).
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    let date = Timestamp::from_micros(u64::try_from(date.as_microsecond()).ok()?);
    Some(date.since(now).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_after(text: &str) -> Option<Duration> {
        let now = Timestamp::from_micros(784_111_770_000_000);
        match judge(429, Some(text), "", now) {
            Err(EffectError::Transient { retry_after, .. }) => retry_after,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_receiver_may_ask_for_a_wait_in_seconds_or_until_a_date_of_at_most_an_hour() {
        assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("99999"), Some(LONGEST_WAIT));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("soon"), None);
    }

    #[test]
    fn a_refusal_without_a_body_is_told_by_its_status_alone() {
        let said = |status| match judge(status, None, " ", Timestamp::EPOCH) {
            Err(EffectError::Transient { message, .. } | EffectError::Permanent(message)) => {
                message
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(said(503), "answered 503");
        assert!(said(400).starts_with("answered 400; it will not take"), "{}", said(400));
    }

    #[test]
    fn only_timeouts_limits_and_server_faults_are_tried_again() {
        let judge = |status| judge(status, None, "no_service", Timestamp::EPOCH);
        assert_eq!(judge(204), Ok("answered 204 no_service".to_owned()));
        for status in [408, 429, 500, 503] {
            assert!(matches!(judge(status), Err(EffectError::Transient { .. })), "{status}");
        }
        for status in [301, 400, 403, 404, 410] {
            assert!(matches!(judge(status), Err(EffectError::Permanent(_))), "{status}");
        }
    }
}
