//! A distribution of times, told by a few of them.

use std::fmt;
use std::time::Duration;

/// Times, sorted. Shown as a JSON object, in milliseconds.
pub(crate) struct Quantiles {
    times: Vec<Duration>,
}

impl Quantiles {
    /// Takes times in any order.
    pub(crate) fn of(mut times: Vec<Duration>) -> Quantiles {
        times.sort_unstable();
        Quantiles { times }
    }

    /// The time that this part of all stays at or below, in milliseconds; 0 of none.
    fn at(&self, part: f64) -> f64 {
        let rank = (self.times.len() as f64 * part).ceil() as usize;
        self.times.get(rank.saturating_sub(1)).map_or(0.0, |time| time.as_secs_f64() * 1e3)
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{\"count\":{}", self.times.len())?;
        for (name, part) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
            write!(f, ",\"{name}\":{:.3}", self.at(part))?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_times() {
        let quantiles = Quantiles::of((1..=1000).rev().map(Duration::from_millis).collect());
        assert_eq!(
            quantiles.to_string(),
            r#"{"count":1000,"p50":500.000,"p90":900.000,"p99":990.000,"p99.9":999.000,"max":1000.000}"#
        );
    }
}
