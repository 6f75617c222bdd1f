//! Times in which the operator wants nothing done: pure. A window is read and refused when the
//! configuration is loaded, so none that cannot be understood is ever in force.

use std::fmt::{self, Formatter};

use jiff::Zoned;
use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use perennial_runtime::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::responder::ladder::moment;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// A maintenance window, as it stands in the configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "Raw")]
pub struct Window {
    raw: Raw,
    when: When,
}

/// The fields of a window: `days`, `from`, `to` and `timezone`, or `start` and `end`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// Days on which it begins: `all`, or some of `mon` to `sun`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<Days>,
    /// When it begins, `HH:MM`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When it ends, `HH:MM`; on the next day when that is not later than `from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// IANA name of the time zone of `from` and `to`; UTC without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Begin of a window that happens once, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// Its end, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// Names of the containers, as a glob with `*` and `?`; all without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<String>,
    /// For the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `all`, or a list of days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Days {
    /// `all`.
    Word(String),
    /// Some of `mon` to `sun`.
    List(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
enum When {
    Weekly { days: Vec<Weekday>, from: Time, to: Time, zone: TimeZone },
    Once { start: Timestamp, end: Timestamp },
}

impl Window {
    /// When the window ends, if `now` is in it and it is for the container `name`.
    #[must_use]
    pub fn until(&self, name: &str, now: Timestamp) -> Option<Timestamp> {
        let pattern = self.raw.containers.as_deref().unwrap_or("*");
        if !matches(pattern, name) {
            return None;
        }
        match &self.when {
            When::Once { start, end } => (*start <= now && now < *end).then_some(*end),
            When::Weekly { days, from, to, zone } => weekly(days, (*from, *to), zone, now),
        }
    }

    /// Why the operator wants nothing done.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.raw.reason.as_deref().unwrap_or("no reason given")
    }

    /// Why it never matches, if it never does.
    #[must_use]
    pub fn check(&self) -> Option<&'static str> {
        let no_day = matches!(&self.when, When::Weekly { days, .. } if days.is_empty());
        let no_name = self.raw.containers.as_deref() == Some("");
        match (no_day, no_name) {
            (true, _) => Some("never matches: its list of days is empty"),
            (_, true) => Some("never matches: its glob of containers is empty"),
            (false, false) => None,
        }
    }
}

/// The window that began today or yesterday, by the zone's own calendar.
fn weekly(
    days: &[Weekday],
    (from, to): (Time, Time),
    zone: &TimeZone,
    now: Timestamp,
) -> Option<Timestamp> {
    let micros = i64::try_from(now.as_micros()).ok()?;
    let here = jiff::Timestamp::from_microsecond(micros).ok()?.to_zoned(zone.clone());
    let today = here.date();
    let begins = [Some(today), today.yesterday().ok()];
    begins.into_iter().flatten().find_map(|day| {
        let ends = if to > from { day } else { day.tomorrow().ok()? };
        let begin = day.to_datetime(from).to_zoned(zone.clone()).ok()?;
        let end = ends.to_datetime(to).to_zoned(zone.clone()).ok()?;
        let inside = days.contains(&day.weekday()) && begin <= here && here < end;
        if inside { micros_of(&end) } else { None }
    })
}

fn micros_of(at: &Zoned) -> Option<Timestamp> {
    u64::try_from(at.timestamp().as_microsecond()).ok().map(Timestamp::from_micros)
}

/// Whether `pattern`, in which `*` is any text and `?` any character, is all of `name`.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    // `row[n]`: the pattern so far matches the first `n` characters.
    let mut row = vec![false; name.len() + 1];
    row[0] = true;
    for wanted in pattern {
        let before = row.clone();
        for at in 0..row.len() {
            row[at] = match wanted {
                '*' => before[at] || (at > 0 && row[at - 1]),
                '?' => at > 0 && before[at - 1],
                letter => at > 0 && before[at - 1] && name[at - 1] == letter,
            };
        }
    }
    row[name.len()]
}

impl TryFrom<Raw> for Window {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        let when = match (&raw.from, &raw.to, &raw.start, &raw.end) {
            (Some(from), Some(to), None, None) => every_week(&raw, from, to)?,
            (None, None, Some(start), Some(end)) if raw.days.is_none() => once(start, end)?,
            _ => {
                return Err("a maintenance window needs `from` and `to` (with `days` and \
                            `timezone`), or `start` and `end`, and not both"
                    .to_owned());
            }
        };
        Ok(Self { raw, when })
    }
}

/// Converts while the entry is being read, so that the reader knows the place of what is wrong with it.
impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Window;

    fn expecting(&self, text: &mut Formatter<'_>) -> fmt::Result {
        text.write_str("a maintenance window")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Window, A::Error> {
        let raw = Raw::deserialize(MapAccessDeserializer::new(fields))?;
        Window::try_from(raw).map_err(A::Error::custom)
    }
}

impl From<Window> for Raw {
    fn from(window: Window) -> Self {
        window.raw
    }
}

/// Everything that is wrong is said at once.
fn every_week(raw: &Raw, from: &str, to: &str) -> Result<When, String> {
    let zone = zone(raw.timezone.as_deref().unwrap_or("UTC"));
    match (days(raw.days.as_ref()), time(from), time(to), zone) {
        (Ok(days), Ok(from), Ok(to), Ok(zone)) => Ok(When::Weekly { days, from, to, zone }),
        (days, from, to, zone) => Err(all([days.err(), from.err(), to.err(), zone.err()])),
    }
}

fn all(wrong: impl IntoIterator<Item = Option<String>>) -> String {
    wrong.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn once(start: &str, end: &str) -> Result<When, String> {
    let read = |text: &str| {
        moment(text)
            .ok_or_else(|| format!("{text:?} is not an RFC 3339 time such as 2026-01-31T02:00:00Z"))
    };
    let (start, end) = match (read(start), read(end)) {
        (Ok(start), Ok(end)) => (start, end),
        (start, end) => return Err(all([start.err(), end.err()])),
    };
    if end <= start {
        return Err("a maintenance window's `end` must be later than its `start`".to_owned());
    }
    Ok(When::Once { start, end })
}

fn days(days: Option<&Days>) -> Result<Vec<Weekday>, String> {
    match days {
        None => Ok(DAYS.map(|(_, day)| day).to_vec()),
        Some(Days::Word(word)) if word == "all" => Ok(DAYS.map(|(_, day)| day).to_vec()),
        Some(Days::Word(word)) => Ok(vec![day(word)?]),
        Some(Days::List(names)) => {
            let read: Result<_, String> = names.iter().map(|name| day(name)).collect();
            read.map_err(|_| all(names.iter().map(|name| day(name).err())))
        }
    }
}

fn day(name: &str) -> Result<Weekday, String> {
    let known = DAYS.iter().find(|(short, _)| *short == name);
    known.map(|(_, day)| *day).ok_or_else(|| {
        format!("{name:?} is not a day: mon, tue, wed, thu, fri, sat, sun, or days = \"all\"")
    })
}

fn time(text: &str) -> Result<Time, String> {
    let read = || {
        let (hour, minute) = text.split_once(':')?;
        Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
    };
    read().ok_or_else(|| format!("{text:?} is not a time of day such as \"02:00\""))
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name)
        .map_err(|_| format!("{name:?} is not a time zone of the IANA database, such as UTC"))
}

#[cfg(test)]
mod tests;
