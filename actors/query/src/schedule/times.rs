//! When something is due: a cron expression where it is midnight somewhere. Pure.

use std::collections::VecDeque;
use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, ToSpan, Zoned};
use perennial_runtime::Timestamp;

/// The times that are counted of those that were missed. A node that was down for longer than they reach back
/// says that there were more.
pub const COUNTED: u64 = 1_000;

/// The times of a schedule.
///
/// Where clocks are set, a time of the expression that does not exist is the moment of setting, and one that
/// exists twice is the first of the two: it is due once either way. An expression that holds in every hour goes by
/// the time that passes instead, in both of two hours that look the same, and in none that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    cron: Cron,
    zone: TimeZone,
    /// Whether it holds in every hour.
    hourly: bool,
    /// The expression and the zone, as they were written.
    text: String,
}

impl Times {
    /// The times of the expression `cron`, of five fields or, with seconds before them, six, in `zone`.
    ///
    /// # Errors
    /// What is wrong with each, one by one.
    pub fn read(cron: &str, zone: &str) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let parser =
            CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let parsed = parser.parse(cron).map_err(|error| {
            problems.push(format!(
                "cron: `{cron}` is no expression of five fields, or of six with seconds before them, such as \
                 `30 2 * * 1-5`: {error}"
            ));
        });
        let found = TimeZone::get(zone).map_err(|_| {
            let why = format!("zone: `{zone}` is no time zone of the IANA database, such as UTC");
            problems.push(why);
        });
        let (Ok(cron), Ok(zone_found)) = (parsed, found) else { return Err(problems) };
        let hourly = (0..24).all(|hour| matches!(cron.pattern.hour_match(hour), Ok(true)));
        let text = format!("{} {zone}", cron.as_str());
        let times = Self { cron, zone: zone_found, hourly, text };
        // Any moment would do: what is never due is not due from here on either.
        if times.after(Timestamp::from_micros(1_700_000_000_000_000)).is_none() {
            return Err(vec![format!("cron: `{}` is never due", times.cron.as_str())]);
        }
        Ok(times)
    }

    /// The first time after `moment`.
    #[must_use]
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let here = self.zoned(moment)?;
        if self.hourly {
            return timestamp(&self.cron.find_next_occurrence(&here, false).ok()?);
        }
        let mut civil = here.datetime();
        loop {
            civil = self.cron.find_next_occurrence(&civil, false).ok()?;
            let due = self.instant(civil)?;
            if due > moment {
                return Some(due);
            }
        }
    }

    /// The last time up to `moment`, itself included.
    #[must_use]
    pub fn until(&self, moment: Timestamp) -> Option<Timestamp> {
        let here = self.zoned(moment)?;
        if self.hourly {
            return timestamp(&self.cron.find_previous_occurrence(&here, true).ok()?);
        }
        // What the clock showed before it was set back has been due by now.
        let ambiguous = self.zone.to_ambiguous_timestamp(here.datetime());
        let mut civil = match ambiguous.offset() {
            AmbiguousOffset::Fold { before, after } if here.offset() == after => {
                let repeated = i64::from(before.seconds()) - i64::from(after.seconds());
                here.datetime().checked_add(SignedDuration::from_secs(repeated)).ok()?
            }
            AmbiguousOffset::Unambiguous { .. }
            | AmbiguousOffset::Gap { .. }
            | AmbiguousOffset::Fold { .. } => here.datetime(),
        };
        let mut inclusive = true;
        loop {
            civil = self.cron.find_previous_occurrence(&civil, inclusive).ok()?;
            let due = self.instant(civil)?;
            if due <= moment {
                return Some(due);
            }
            inclusive = false;
        }
    }

    /// The times from `first` to `last`, both included.
    #[must_use]
    pub fn between(&self, first: Timestamp, last: Timestamp, keep: usize) -> Between {
        let mut between = Between::default();
        let mut next = self.until(last);
        while let Some(due) = next.filter(|due| *due >= first) {
            if between.count == COUNTED {
                between.more = true;
                break;
            }
            between.count += 1;
            between.first = Some(due);
            if between.latest.len() < keep {
                between.latest.push_front(due);
            }
            next = due.as_micros().checked_sub(1).map(Timestamp::from_micros);
            next = next.and_then(|before| self.until(before));
        }
        between
    }

    /// The moment at which the clock shows `civil`, or passes over it, for the first time.
    fn instant(&self, civil: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(civil);
        let micros = match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                ambiguous.earlier().ok()?.as_microsecond()
            }
            AmbiguousOffset::Gap { .. } => {
                // By the offset after it, the moment lies before it: what follows is the setting.
                let before = ambiguous.earlier().ok()?;
                self.zone.following(before).next()?.timestamp().as_microsecond()
            }
        };
        u64::try_from(micros).ok().map(Timestamp::from_micros)
    }

    fn zoned(&self, moment: Timestamp) -> Option<Zoned> {
        Some(jiff_of(moment)?.to_zoned(self.zone.clone()))
    }
}

impl fmt::Display for Times {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Times between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Between {
    /// The latest of them, as many as were to be kept, in their order.
    pub latest: VecDeque<Timestamp>,
    /// How many there are, up to [`COUNTED`].
    pub count: u64,
    /// The first that was counted.
    pub first: Option<Timestamp>,
    /// Whether there are more than were counted.
    pub more: bool,
}

fn jiff_of(moment: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(i64::try_from(moment.as_micros()).ok()?).ok()
}

fn timestamp(zoned: &Zoned) -> Option<Timestamp> {
    u64::try_from(zoned.timestamp().as_microsecond()).ok().map(Timestamp::from_micros)
}

/// A moment as it is written in sentences: by the clock of Greenwich, to the second.
#[must_use]
pub fn shown(moment: Timestamp) -> String {
    let zoned = jiff_of(moment).and_then(|at| {
        let whole = at.checked_sub(i64::from(at.subsec_nanosecond()).nanoseconds()).ok()?;
        Some(whole.to_string())
    });
    zoned.unwrap_or_else(|| moment.to_string())
}

#[cfg(test)]
mod tests;
