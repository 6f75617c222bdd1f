//! How long an answer may be given again, and how long a host asks to wait. Pure.

use std::time::Duration;

use perennial_runtime::Timestamp;
use reqwest::header::{AGE, CACHE_CONTROL, EXPIRES, HeaderMap, HeaderName, RETRY_AFTER, VARY};

/// The longest wait that a host may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// The longest time for which an answer is kept.
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);

/// How long an answer of these headers is fresh (RFC 9111, as a cache that several share); `ttl` where it
/// says nothing itself. Nothing if it must not be kept.
pub(super) fn lifetime(headers: &HeaderMap, ttl: Duration, now: Timestamp) -> Option<Duration> {
    // Requests of one URL and the same headers are one; on what else would it depend?
    if texts(headers, &VARY).any(|text| text.contains('*')) {
        return None;
    }
    let mut said = None;
    let mut shared = None;
    for directive in texts(headers, &CACHE_CONTROL).flat_map(|text| text.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let seconds = || value.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
        match name.trim().to_ascii_lowercase().as_str() {
            "no-store" | "no-cache" | "private" => return None,
            "max-age" => said = Some(seconds()?),
            "s-maxage" => shared = Some(seconds()?),
            _ => {}
        }
    }
    let life = match shared.or(said) {
        Some(life) => {
            let age = text(headers, &AGE).and_then(|age| age.trim().parse().ok());
            life.saturating_sub(Duration::from_secs(age.unwrap_or_default()))
        }
        None => match text(headers, &EXPIRES) {
            Some(expires) => date(expires)?.since(now),
            None => ttl,
        },
    };
    (!life.is_zero()).then(|| life.min(LONGEST_LIFE))
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3).
pub(in crate::tools) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let asked = text(headers, &RETRY_AFTER)?.trim();
    let wait = match asked.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => date(asked)?.since(now),
    };
    Some(wait.min(LONGEST_WAIT))
}

fn date(text: &str) -> Option<Timestamp> {
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    u64::try_from(date.as_microsecond()).ok().map(Timestamp::from_micros)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:30 GMT.
    const NOW: Timestamp = Timestamp::from_micros(784_111_770_000_000);

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn an_answer_is_fresh_for_as_long_as_it_says_or_else_as_the_operator_says() {
        let life = |lines: &[(&'static str, &str)]| {
            lifetime(&headers(lines), Duration::from_secs(12), NOW).map(|life| life.as_secs())
        };
        assert_eq!(life(&[]), Some(12));
        assert_eq!(life(&[("cache-control", "public, max-age=300")]), Some(300));
        assert_eq!(life(&[("cache-control", "max-age=300, s-maxage=60")]), Some(60));
        assert_eq!(life(&[("cache-control", "max-age=300"), ("age", "100")]), Some(200));
        assert_eq!(life(&[("cache-control", "max-age=300"), ("age", "400")]), None);
        assert_eq!(life(&[("cache-control", "max-age=9999999")]), Some(86_400));
        assert_eq!(life(&[("expires", "Sun, 06 Nov 1994 08:49:37 GMT")]), Some(7));
        for never in
            ["no-store", "max-age=9, no-cache", "private, max-age=60", "max-age=0", "max-age=x"]
        {
            assert_eq!(life(&[("cache-control", never)]), None, "{never}");
        }
        assert_eq!(life(&[("expires", "0")]), None);
        assert_eq!(life(&[("cache-control", "max-age=300"), ("vary", "*")]), None);
    }

    #[test]
    fn a_host_may_ask_for_a_wait_in_seconds_or_until_a_date_of_at_most_an_hour() {
        let wait = |text| retry_after(&headers(&[("retry-after", text)]), NOW);
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("99999"), Some(LONGEST_WAIT));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(wait("soon"), None);
    }
}
