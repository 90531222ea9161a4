//! Durations as the configuration of Waypost writes them: a whole number and `ms`, `s`, `m`, `h` or `d`.

use std::time::Duration;

/// Units, smallest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// What to write.
pub(super) const EXPECTED: &str = "a duration as 500ms, 5s, 2m or 1h";

/// Reads `500ms`; none when it is malformed or too large.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor).map(Duration::from_millis)
}

/// In the largest unit that is exact to the millisecond.
pub(super) fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    let exact = |factor: &u64| millis >= u128::from(*factor) && millis.is_multiple_of(u128::from(*factor));
    match UNITS.iter().rev().find(|(_, factor)| exact(factor)) {
        Some((unit, factor)) => format!("{}{unit}", millis / u128::from(*factor)),
        None => "0s".into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse("2m"), Some(Duration::from_secs(120)));
        for text in ["", "5", "s", "1.5s", "-1s", "5 s", "99999999999999999999s", "9999999999999999d"] {
            assert_eq!(parse(text), None, "{text} was accepted");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(duration)), Some(duration));
        }
    }
}
