//! Durations and sizes as people write them: `"30s"`, `"500ms"`, `"32KiB"`.

use std::time::Duration;

use toml::de::DeValue;

use super::setting::{Setting, integer, quoted};

/// Units of time, smallest first, in milliseconds.
const TIMES: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of size in bytes. `K` and `KB` are left out: half of the readers would take them for 1,000.
const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Parts `12ms` into 12 and `ms`, and multiplies it out; none when it is malformed or too large.
fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The number in the largest unit that holds it exactly.
fn shortest(value: u64, units: &[(&str, u64)]) -> Option<String> {
    units
        .iter()
        .rev()
        .find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor))
        .map(|(unit, factor)| format!("{}{unit}", value / factor))
}

/// A whole number and a unit from milliseconds to days.
impl Setting for Duration {
    fn kind() -> String {
        "a duration as \"500ms\", \"30s\", \"2m\" or \"1h\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        measure(text, TIMES)
            .map(Self::from_millis)
            .ok_or_else(|| format!("expected {}, found {text:?}", Self::kind()))
    }

    fn show(&self) -> Option<String> {
        let millis = u64::try_from(self.as_millis()).ok()?;
        quoted(shortest(millis, TIMES).unwrap_or_else(|| "0s".into()))
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// So many times 1,024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// The size as an amount of memory on this machine.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Setting for Size {
    fn kind() -> String {
        "a size as \"32KiB\", \"8MiB\" or a number of bytes".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let bytes = text.trim().parse().ok().or_else(|| measure(text, SIZES));
        bytes.map(Self).ok_or_else(|| format!("expected {}, found {text:?}", Self::kind()))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::parse(text),
            other => integer(other, &Self::kind()).map(Self),
        }
    }

    fn show(&self) -> Option<String> {
        quoted(shortest(self.0, SIZES).unwrap_or_else(|| "0B".into()))
    }
}

/// A limit that can be `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit<T> {
    /// No limit.
    Off,
    /// At most so much.
    At(T),
}

impl<T: Copy> Limit<T> {
    /// The limit, or none when it is off.
    pub fn get(self) -> Option<T> {
        match self {
            Self::Off => None,
            Self::At(limit) => Some(limit),
        }
    }
}

impl<T: Setting> Setting for Limit<T> {
    fn kind() -> String {
        format!("{}, or \"off\"", T::kind())
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self::Off) } else { T::parse(text).map(Self::At) }
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) if text == "off" => Ok(Self::Off),
            other => T::read(other).map(Self::At),
        }
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Off => quoted("off"),
            Self::At(limit) => limit.show(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration(text: &str) -> Option<Duration> {
        Duration::parse(text).ok()
    }

    #[test]
    fn durations_are_read_in_each_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Some(Duration::from_secs(3600)));
        assert_eq!(duration("48h"), duration("2d"));
        assert_eq!(duration("0s"), Some(Duration::ZERO));
        assert_eq!(duration(" 30 s "), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_duration_without_unit_or_too_long_is_refused() {
        for text in [
            "",
            "30",
            "s",
            "1.5s",
            "-1s",
            "30S",
            "30 seconds",
            "1m30s",
            "99999999999999999999s",
            "9999999999999999d",
        ] {
            assert_eq!(duration(text), None, "{text} was accepted");
        }
    }

    #[test]
    fn sizes_are_read_in_each_unit_and_as_numbers() {
        assert_eq!(Size::parse("32KiB"), Ok(Size(32768)));
        assert_eq!(Size::parse("8 MiB"), Ok(Size(8 << 20)));
        assert_eq!(Size::parse("1GiB"), Ok(Size(1 << 30)));
        assert_eq!(Size::parse("100B"), Ok(Size(100)));
        assert_eq!(Size::parse("4096"), Ok(Size(4096)));
        for text in ["", "KiB", "1k", "1KB", "1.5MiB", "-1B", "99999999999999GiB"] {
            assert!(Size::parse(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for millis in [0, 1, 500, 1_000, 1_500, 60_000, 90_000, 86_400_000] {
            let duration = Duration::from_millis(millis);
            let shown = duration.show().unwrap();
            assert_eq!(Duration::parse(shown.trim_matches('"')), Ok(duration), "{shown}");
        }
        for bytes in [0, 1, 1023, 1024, 1 << 20, (1 << 30) + 1] {
            let shown = Size(bytes).show().unwrap();
            assert_eq!(Size::parse(shown.trim_matches('"')), Ok(Size(bytes)), "{shown}");
        }
    }

    #[test]
    fn a_limit_can_be_off() {
        assert_eq!(Limit::<Size>::parse("off"), Ok(Limit::Off));
        assert_eq!(Limit::<Size>::parse("1KiB"), Ok(Limit::At(Size(1024))));
        assert!(Limit::<Size>::parse("none").is_err());
    }
}
