//! Text from containers made fit for a place: cleaned, shortened, escaped. Pure.

use perennial_runtime::Timestamp;

/// `text` without characters that change how their surroundings look (control characters but for
/// line ends, direction overrides), and no longer than `limit` characters.
#[must_use]
pub(super) fn clean(text: &str, limit: usize) -> String {
    let mut kept = text.chars().filter(|c| !misleads(*c));
    let mut short: String = kept.by_ref().take(limit).collect();
    if kept.next().is_some() {
        short.pop();
        short.push('\u{2026}');
    }
    short
}

/// The same on one line.
#[must_use]
pub(super) fn line(text: &str, limit: usize) -> String {
    clean(&text.replace(['\n', '\r', '\u{2028}', '\u{2029}'], " "), limit)
}

fn misleads(c: char) -> bool {
    let overrides_direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    overrides_direction || (c.is_control() && c != '\n')
}

/// Escapes what HTML gives a meaning to, in text and in quoted attributes.
#[must_use]
pub(super) fn html(text: &str) -> String {
    slack(text).replace('"', "&quot;").replace('\'', "&#39;")
}

/// Escapes the three characters Slack gives a meaning to; links and mentions need one of them.
#[must_use]
pub(super) fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `at` to the second, in UTC.
#[must_use]
pub(super) fn time(at: Timestamp) -> String {
    let micros = i64::try_from(at.as_micros()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_microsecond(micros) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => "never".to_owned(),
    }
}

/// Whole seconds since the Unix epoch.
#[must_use]
pub(super) fn unix_seconds(at: Timestamp) -> u64 {
    at.as_micros() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_direction_overrides_are_dropped() {
        assert_eq!(clean("a\u{1b}[31mb\r\nc\u{202e}d\0", 99), "a[31mb\ncd");
        assert_eq!(line("a\r\nb", 99), "a  b");
    }

    #[test]
    fn long_text_ends_in_an_ellipsis_within_the_limit() {
        assert_eq!(clean("abcdef", 6), "abcdef");
        assert_eq!(clean("abcdefg", 6), "abcde\u{2026}");
        assert_eq!(clean("\u{e4}\u{f6}\u{fc}\u{df}", 3), "\u{e4}\u{f6}\u{2026}");
    }

    #[test]
    fn markup_is_escaped() {
        assert_eq!(html("<b a=\"1\">'&"), "&lt;b a=&quot;1&quot;&gt;&#39;&amp;");
        assert_eq!(slack("<!channel> & <http://x|y>"), "&lt;!channel&gt; &amp; &lt;http://x|y&gt;");
    }

    #[test]
    fn times_print_in_utc_to_the_second() {
        assert_eq!(time(Timestamp::from_micros(1_000_000_999_999)), "1970-01-12T13:46:40Z");
        assert_eq!(time(Timestamp::MAX), "never");
    }
}
