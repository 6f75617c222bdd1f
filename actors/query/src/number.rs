//! The order of JSON's numbers: by what they are worth, however they are written, and exactly. Compared as
//! floating-point ones, whole numbers beyond 2^53 would be equal to their neighbours, and what is equal to the
//! same would not be equal: an order that sorting cannot rely on. Pure.

use std::cmp::Ordering;

use serde_json::Number;

/// No whole number in JSON is as great, 2^64.
const BEYOND: f64 = 18_446_744_073_709_551_616.0;

/// Which of two numbers is the greater.
pub(crate) fn order(left: &Number, right: &Number) -> Ordering {
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(left), None) => beside(left, float(right)),
        (None, Some(right)) => beside(right, float(left)).reverse(),
        (None, None) => float(left).partial_cmp(&float(right)).unwrap_or(Ordering::Equal),
    }
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or_default()
}

fn beside(whole: i128, other: f64) -> Ordering {
    if other.abs() >= BEYOND {
        return if other > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    let floor = other.floor();
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and has fewer than 66 bits")]
    let by_whole = whole.cmp(&(floor as i128));
    by_whole.then(if other > floor { Ordering::Less } else { Ordering::Equal })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_have_one_order_however_they_are_written() {
        let rising = [
            "-1e300",
            "-9223372036854775808",
            "-1.5",
            "-1",
            "-0.5",
            "0",
            "0.5",
            "1",
            "1.5",
            "9007199254740992",
            "9007199254740993",
            "9007199254740994.0",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616.0",
            "1e300",
        ];
        for (at, left) in rising.iter().enumerate() {
            for (place, right) in rising.iter().enumerate() {
                let found = order(&number(left), &number(right));
                assert_eq!(found, at.cmp(&place), "{left} and {right}");
            }
        }
    }

    #[test]
    fn a_number_is_the_same_with_and_without_a_fraction_of_nothing() {
        for (left, right) in
            [("1", "1.0"), ("0", "-0.0"), ("9007199254740992", "9007199254740992.0")]
        {
            assert_eq!(order(&number(left), &number(right)), Ordering::Equal, "{left} and {right}");
        }
    }
}
