//! Rates as a configuration writes them, and what they are counted by.

use std::time::Duration;

use waypost_http1::Fields;

use crate::config::{Setting, quoted};

/// So many requests in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many, at least one and at most a million a second.
    pub requests: u32,
    /// In what time.
    pub per: Duration,
}

const TIMES: &[(&str, u64)] = &[("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];

impl Setting for Rate {
    fn kind() -> String {
        "a rate as \"100/s\", \"10/m\" or \"1000/h\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected {}, found {text:?}", Self::kind());
        let (requests, unit) = text.trim().split_once('/').ok_or_else(wrong)?;
        let (_, seconds) = TIMES.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?;
        let requests: u32 = requests.trim().parse().map_err(|_| wrong())?;
        if requests == 0 || u64::from(requests) > 1_000_000 * seconds {
            return Err(format!("{text:?}: write at least 1, and at most 1000000 a second"));
        }
        Ok(Self { requests, per: Duration::from_secs(*seconds) })
    }

    fn show(&self) -> Option<String> {
        let (unit, _) = TIMES.iter().find(|(_, seconds)| *seconds == self.per.as_secs())?;
        quoted(format!("{}/{unit}", self.requests))
    }
}

/// What requests are counted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateKey(pub waypost_backend::RateKey);

impl Default for RateKey {
    fn default() -> Self {
        Self(waypost_backend::RateKey::Client)
    }
}

impl Setting for RateKey {
    fn kind() -> String {
        "one of client, host, header:NAME".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let key = match text {
            "client" => waypost_backend::RateKey::Client,
            "host" => waypost_backend::RateKey::Host,
            other => match other.strip_prefix("header:") {
                Some(name) if Fields::new().push(name, b"").is_ok() => {
                    waypost_backend::RateKey::Header(name.to_owned())
                }
                _ => return Err(format!("{text:?} is not {}", Self::kind())),
            },
        };
        Ok(Self(key))
    }

    fn show(&self) -> Option<String> {
        quoted(match &self.0 {
            waypost_backend::RateKey::Client => "client".to_owned(),
            waypost_backend::RateKey::Host => "host".to_owned(),
            waypost_backend::RateKey::Header(name) => format!("header:{name}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        let rate = |text: &str| Rate::parse(text).map(|rate| (rate.requests, rate.per.as_secs()));
        assert_eq!(rate("100/s"), Ok((100, 1)));
        assert_eq!(rate(" 5 / m "), Ok((5, 60)));
        assert_eq!(Rate::parse("7/h").unwrap().show().unwrap(), "\"7/h\"");
        for text in ["", "100", "0/s", "-1/s", "1.5/s", "5/w", "1000001/s", "/s"] {
            assert!(rate(text).is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn a_key_is_one_of_three() {
        for text in ["client", "host", "header:X-Api-Key"] {
            assert_eq!(RateKey::parse(text).unwrap().show().unwrap(), format!("\"{text}\""));
        }
        for text in ["", "header:", "header:a b", "cookie:x", "Client"] {
            assert!(RateKey::parse(text).is_err(), "{text} was accepted");
        }
    }
}
