//! What a configuration key can hold. A [`Setting`] reads itself from TOML and from the text of a flag or
//! an environment variable, and shows itself as TOML for the reference, so that one type carries a key
//! everywhere it appears.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeValue;
use uuid::Uuid;

/// A type that a configuration key can have.
pub trait Setting: Sized {
    /// What to call such a value, for errors and the reference.
    fn kind() -> String;

    /// Reads the value as a flag or the environment gives it.
    fn parse(text: &str) -> Result<Self, String>;

    /// Reads the value from TOML; a string unless the type says otherwise.
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => Self::parse(text),
            other => Err(expected(&Self::kind(), other)),
        }
    }

    /// Reads the value from TOML and tells of all that is wrong with it, each with its part of the text; of a
    /// value that is one piece that is what [`Setting::read`] says.
    fn read_whole(value: &Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<Self> {
        Self::read(value.get_ref()).map_err(|message| wrong.push((value.span(), message))).ok()
    }

    /// The value as it would be written in TOML, or none when it is not set.
    fn show(&self) -> Option<String>;
}

/// What is wrong with a value, and which part of the text it is.
pub(crate) type Wrong = Vec<(Range<usize>, String)>;

/// The error for a value of the wrong TOML type.
pub(crate) fn expected(kind: &str, found: &DeValue<'_>) -> String {
    let found = match found {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    format!("expected {kind}, found {found}")
}

/// The text as a TOML string.
pub(crate) fn quoted(text: impl ToString) -> Option<String> {
    Some(toml::Value::String(text.to_string()).to_string())
}

/// An integer of TOML as text with no underscores, for the parser of the type it is meant to be.
pub(crate) fn integer<T: std::str::FromStr>(value: &DeValue<'_>, kind: &str) -> Result<T, String> {
    let DeValue::Integer(number) = value else { return Err(expected(kind, value)) };
    let wide =
        i128::from_str_radix(number.as_str(), number.radix()).map_err(|_| format!("expected {kind}"))?;
    wide.to_string().parse().map_err(|_| format!("expected {kind}, found {wide}"))
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Setting for $type {
            fn kind() -> String {
                "a number".into()
            }

            fn parse(text: &str) -> Result<Self, String> {
                let range = format!("a number from 0 to {}", Self::MAX);
                text.trim().parse().map_err(|_| format!("expected {range}, found {text:?}"))
            }

            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                integer(value, &format!("a number from 0 to {}", Self::MAX))
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

numbers!(u16 u32);

impl Setting for bool {
    fn kind() -> String {
        "true or false".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("expected {}, found {text:?}", Self::kind()))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| expected(&Self::kind(), value))
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for String {
    fn kind() -> String {
        "a string".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

impl Setting for PathBuf {
    fn kind() -> String {
        "a path".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err(format!("expected a path, found {text:?}"));
        }
        Ok(text.into())
    }

    fn show(&self) -> Option<String> {
        quoted(self.display())
    }
}

impl Setting for SocketAddr {
    fn kind() -> String {
        "an address as 127.0.0.1:8080 or [::1]:8080".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("expected {}, found {text:?}", Self::kind()))
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

impl Setting for Uuid {
    fn kind() -> String {
        "an UUID".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("expected an UUID, found {text:?}"))
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

/// A range of addresses, or one address, which is a range of itself.
impl Setting for IpNet {
    fn kind() -> String {
        "a range of addresses as 10.0.0.0/8 or fd00::/8".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            return Ok(address.into());
        }
        let range: IpNet =
            text.parse().map_err(|_| format!("expected {}, found {text:?}", <Self as Setting>::kind()))?;
        // 10.1.2.3/8 may be a slip of either part: guessing which could trust too many.
        if range.addr() != range.network() {
            return Err(format!(
                "{text} has bits behind its prefix: write {} or {}",
                range.trunc(),
                range.addr()
            ));
        }
        Ok(range)
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

/// Not set unless written.
impl<T: Setting> Setting for Option<T> {
    fn kind() -> String {
        T::kind()
    }

    fn parse(text: &str) -> Result<Self, String> {
        T::parse(text).map(Some)
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        T::read(value).map(Some)
    }

    fn read_whole(value: &Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<Self> {
        T::read_whole(value, wrong).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }
}

/// A list; in a flag or the environment parted by commas.
impl<T: Setting> Setting for Vec<T> {
    fn kind() -> String {
        format!("a list, each {}", T::kind())
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',').map(T::parse).collect()
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let items = value.as_array().ok_or_else(|| expected(&Self::kind(), value))?;
        items.iter().map(|item| T::read(item.get_ref())).collect()
    }

    fn read_whole(value: &Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<Self> {
        let Some(items) = value.get_ref().as_array() else {
            wrong.push((value.span(), expected(&Self::kind(), value.get_ref())));
            return None;
        };
        // Each is read, whatever is wrong with those before it.
        let items: Vec<Option<T>> = items.iter().map(|item| T::read_whole(item, wrong)).collect();
        items.into_iter().collect()
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(T::show).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

/// Makes an enum a setting whose values are a few fixed words: `words! { Balance { P2c = "p2c", … } }`.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal,)* }) => {
        impl $crate::config::Setting for $type {
            fn kind() -> String {
                format!("one of {}", [$($word),*].join(", "))
            }

            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $( $word => Ok(Self::$variant), )*
                    other => Err(format!(
                        "{other:?} is not {}{}",
                        <Self as $crate::config::Setting>::kind(),
                        $crate::config::did_you_mean(other, [$($word),*])
                    )),
                }
            }

            fn show(&self) -> Option<String> {
                $crate::config::quoted(match self { $( Self::$variant => $word, )* })
            }
        }
    };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Setting>(toml: &str) -> Result<T, String> {
        let text = format!("key = {toml}");
        let table = toml::de::DeTable::parse(&text).unwrap();
        T::read(table.get_ref().get("key").unwrap().get_ref())
    }

    #[test]
    fn a_range_is_read_and_one_address_is_a_range_of_itself() {
        let range = <IpNet as Setting>::parse;
        assert_eq!(range("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(range("192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert_eq!(range("::1").unwrap().to_string(), "::1/128");
        assert_eq!(range("fd00::/8").unwrap().to_string(), "fd00::/8");
        assert_eq!(range("0.0.0.0/0").unwrap().to_string(), "0.0.0.0/0");
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "fd00::/129", "example.com", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(<IpNet as Setting>::parse(text).is_err(), "{text} was accepted");
        }
        let error = <IpNet as Setting>::parse("10.1.2.3/8").unwrap_err();
        assert_eq!(error, "10.1.2.3/8 has bits behind its prefix: write 10.0.0.0/8 or 10.1.2.3");
    }

    #[test]
    fn numbers_keep_their_bounds() {
        assert_eq!(read::<u16>("8_080"), Ok(8080));
        assert_eq!(read::<u32>("0x10"), Ok(16));
        assert_eq!(read::<u16>("70000").unwrap_err(), "expected a number from 0 to 65535, found 70000");
        assert!(read::<u32>("-1").is_err());
        assert!(read::<u32>("1.5").is_err());
        assert!(read::<u32>("\"1\"").is_err());
        assert!(read::<u32>("9999999999999999999999999999999999999999999").is_err());
    }

    #[test]
    fn a_list_reads_each_and_names_what_it_expected() {
        assert_eq!(read::<Vec<u32>>("[1, 2]"), Ok(vec![1, 2]));
        assert_eq!(<Vec<u32> as Setting>::parse("1,2"), Ok(vec![1, 2]));
        let error = read::<Vec<SocketAddr>>("\"127.0.0.1:80\"").unwrap_err();
        assert!(error.starts_with("expected a list"), "{error}");
        let error = read::<Vec<SocketAddr>>("[\"localhost\"]").unwrap_err();
        assert!(error.contains("\"localhost\""), "{error}");
    }

    #[test]
    fn what_is_shown_reads_back() {
        let list = vec!["10.0.0.0/8".parse::<IpNet>().unwrap()];
        assert_eq!(read::<Vec<IpNet>>(&list.show().unwrap()), Ok(list));
        let text = "a \"quoted\" word".to_owned();
        assert_eq!(read::<String>(&text.show().unwrap()), Ok(text));
    }
}
