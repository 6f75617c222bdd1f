//! Words for a time, such as "last week", as days of the calendar.

use jiff::civil::{Date, Weekday, date};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use perennial_runtime::Timestamp;

use super::words::Words;

/// Periods back that a word may lead.
pub(super) const FURTHEST: u32 = 1_000;

/// The inputs that a plan is told of it by: the first day, the one after the last, and the period's name.
pub(super) const NAMES: [&str; 3] = ["from", "to", "period"];

/// What every table knows, whatever it says of time itself.
const KNOWN: [(&str, Unit, u32); 10] = [
    ("today", Unit::Day, 0),
    ("yesterday", Unit::Day, 1),
    ("last night", Unit::Day, 1),
    ("this week", Unit::Week, 0),
    ("last week", Unit::Week, 1),
    ("this month", Unit::Month, 0),
    ("last month", Unit::Month, 1),
    ("this year", Unit::Year, 0),
    ("last year", Unit::Year, 1),
    ("tonight", Unit::Day, 0),
];

/// How long a period is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// From midnight to midnight.
    Day,
    /// From Monday on.
    Week,
    /// From the first on.
    Month,
    /// From the day on which it begins; a season is one.
    Year,
}

impl Unit {
    pub(super) const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Year];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// A word for a time, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    /// Ways to say it.
    pub(super) say: Vec<Words>,
    /// The period that it means.
    pub(super) unit: Unit,
    /// How many of them before the one that is now.
    pub(super) back: u32,
    /// Of a year: the month and the day on which it begins.
    pub(super) begins: (i8, i8),
}

/// What a table says of time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Calendar {
    /// Where it is midnight.
    pub(super) zone: TimeZone,
    /// The table's own words; they come before those that every table knows.
    pub(super) words: Vec<Word>,
    /// What is meant by a question without such a word.
    pub(super) default: Option<Words>,
}

impl Default for Calendar {
    fn default() -> Self {
        Self { zone: TimeZone::UTC, words: Vec::new(), default: None }
    }
}

/// Days of the calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Period {
    /// The first one.
    pub(super) from: Date,
    /// The one after the last.
    pub(super) to: Date,
    /// Its name: `2025-10-03`, `2025-W40`, `2025-10`, `2025` or, of a year that two have a part in,
    /// `2025-2026`.
    pub(super) name: String,
}

impl Calendar {
    /// Whether `phrase` is one that the calendar knows.
    pub(super) fn knows(&self, phrase: &Words) -> bool {
        self.word(|said| said == phrase).is_some()
    }

    /// The longest of the words for a time in a question, if it has any.
    pub(super) fn said(&self, question: &Words) -> Option<Words> {
        let known = KNOWN.iter().map(|(say, _, _)| Words::of(say));
        let own = self.words.iter().flat_map(|word| word.say.iter().cloned());
        own.chain(known).filter(|phrase| question.contain(phrase)).max_by_key(Words::len)
    }

    /// What a question of these words means, asked at `now`. Of several words for a time the longest counts,
    /// then the one that the table has first.
    pub(super) fn period(&self, question: &Words, now: Timestamp) -> Option<Period> {
        let said = self.word(|phrase| question.contain(phrase));
        let by_default = || {
            let default = self.default.as_ref()?;
            self.word(|phrase| phrase == default)
        };
        said.or_else(by_default)?.period(self.today(now)?)
    }

    fn today(&self, now: Timestamp) -> Option<Date> {
        let micros = i64::try_from(now.as_micros()).ok()?;
        let here = jiff::Timestamp::from_microsecond(micros).ok()?.to_zoned(self.zone.clone());
        Some(here.date())
    }

    fn word(&self, fits: impl Fn(&Words) -> bool) -> Option<Word> {
        let known = KNOWN.iter().map(|(say, unit, back)| Word {
            say: vec![Words::of(say)],
            unit: *unit,
            back: *back,
            begins: (1, 1),
        });
        let mut best: Option<(usize, Word)> = None;
        for word in self.words.iter().cloned().chain(known) {
            let lengths = word.say.iter().filter(|phrase| fits(phrase)).map(Words::len);
            let Some(length) = lengths.max() else { continue };
            if best.as_ref().is_none_or(|(longest, _)| length > *longest) {
                best = Some((length, word));
            }
        }
        best.map(|(_, word)| word)
    }
}

impl Word {
    /// The period that it means on the day `today`; none beyond the calendar.
    fn period(&self, today: Date) -> Option<Period> {
        let back = i64::from(self.back.min(FURTHEST));
        let one: Span = match self.unit {
            Unit::Day => 1.day(),
            Unit::Week => 1.week(),
            Unit::Month => 1.month(),
            Unit::Year => 1.year(),
        };
        let now = match self.unit {
            Unit::Day => today,
            Unit::Week => today.checked_sub(today.weekday().since(Weekday::Monday).days()).ok()?,
            Unit::Month => today.first_of_month(),
            Unit::Year => self.year(today)?,
        };
        let from = now.checked_sub(one.checked_mul(back).ok()?).ok()?;
        let to = from.checked_add(one).ok()?;
        Some(Period { from, to, name: self.name(from) })
    }

    /// When the year began of which `today` is a part.
    fn year(&self, today: Date) -> Option<Date> {
        let (month, day) = self.begins;
        let this = Date::new(today.year(), month, day).ok()?;
        if this <= today { Some(this) } else { Date::new(today.year() - 1, month, day).ok() }
    }

    fn name(&self, from: Date) -> String {
        match self.unit {
            Unit::Day => from.to_string(),
            Unit::Week => {
                let week = from.iso_week_date();
                format!("{}-W{:02}", week.year(), week.week())
            }
            Unit::Month => format!("{}-{:02}", from.year(), from.month()),
            Unit::Year if self.begins == (1, 1) => from.year().to_string(),
            Unit::Year => format!("{}-{}", from.year(), from.year() + 1),
        }
    }
}

/// A day of every year, as in `10-01`.
pub(super) fn day_of_year(text: &str) -> Option<(i8, i8)> {
    let (month, day) = text.split_once('-')?;
    let (month, day) = (month.parse().ok()?, day.parse().ok()?);
    // No leap year: a day that only some years have begins none.
    let there = Date::new(date(2001, 1, 1).year(), month, day);
    there.ok().map(|day| (day.month(), day.day()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_micros(u64::try_from(at.as_microsecond()).unwrap())
    }

    fn named(calendar: &Calendar, question: &str, now: &str) -> Option<(String, String, String)> {
        let period = calendar.period(&Words::of(question), at(now))?;
        Some((period.name, period.from.to_string(), period.to.to_string()))
    }

    fn said(question: &str, now: &str) -> Option<(String, String, String)> {
        named(&Calendar::default(), question, now)
    }

    fn days(name: &str, from: &str, to: &str) -> Option<(String, String, String)> {
        Some((name.to_owned(), from.to_owned(), to.to_owned()))
    }

    #[test]
    fn words_for_a_time_become_the_days_that_they_mean() {
        let now = "2025-10-04T12:00:00Z";
        let night = days("2025-10-03", "2025-10-03", "2025-10-04");
        assert_eq!(said("Who scored last night?", now), night);
        let week = days("2025-W39", "2025-09-22", "2025-09-29");
        assert_eq!(said("the games of last week", now), week);
        assert_eq!(said("this month", now), days("2025-10", "2025-10-01", "2025-11-01"));
        assert_eq!(said("LAST YEAR", now), days("2024", "2024-01-01", "2025-01-01"));
        assert_eq!(said("who is suzuki", now), None);
    }

    #[test]
    fn midnight_is_where_the_table_says() {
        let zone = TimeZone::get("America/Montreal").unwrap();
        let calendar = Calendar { zone, ..Calendar::default() };
        let today = days("2025-10-03", "2025-10-03", "2025-10-04");
        assert_eq!(named(&calendar, "today", "2025-10-04T02:00:00Z"), today);
    }

    #[test]
    fn a_year_can_begin_on_any_day_that_every_year_has() {
        assert_eq!(day_of_year("10-01"), Some((10, 1)));
        for text in ["02-29", "13-01", "10", "first"] {
            assert_eq!(day_of_year(text), None, "{text}");
        }
    }

    #[test]
    fn the_longest_word_counts_and_then_the_tables_own() {
        let word =
            |say: &str, unit| Word { say: vec![Words::of(say)], unit, back: 0, begins: (1, 1) };
        let words = vec![word("today", Unit::Year), word("last night of the year", Unit::Month)];
        let calendar = Calendar { words, ..Calendar::default() };
        let now = "2025-12-04T12:00:00Z";
        assert_eq!(named(&calendar, "today", now).unwrap().0, "2025");
        assert_eq!(named(&calendar, "the last night of the year", now).unwrap().0, "2025-12");
    }
}
