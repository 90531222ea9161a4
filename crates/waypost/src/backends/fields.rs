//! Fields of messages as a configuration writes them.

use http::{HeaderName, HeaderValue};
use toml::Spanned;
use toml::de::DeValue;

use crate::config::{Setting, Wrong, expected, quoted};

/// Fields and their values, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTexts(pub Vec<(HeaderName, HeaderValue)>);

/// Fields that say where a message ends, or belong to the connection: never from a file.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Refuses the fields that are the router's own.
fn own(name: &HeaderName) -> Result<(), String> {
    if FRAMING.contains(&name.as_str()) {
        return Err(format!("the field {name} is the router's own: take it out"));
    }
    Ok(())
}

/// Reads one field.
fn field(name: &str, value: &DeValue<'_>) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} is not the name of a field"))?;
    own(&name)?;
    let text = value.as_str().ok_or_else(|| format!("the field {name}: {}", expected("a string", value)))?;
    let text = HeaderValue::from_str(text)
        .map_err(|_| format!("the field {name} has a value with a control character"))?;
    Ok((name, text))
}

impl FieldTexts {
    /// Each field's name and its value as text.
    pub fn iter(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
    }
}

impl Setting for FieldTexts {
    fn kind() -> String {
        "a table as { name = \"value\" }".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Err(format!("expected {}, found {text:?}", Self::kind()))
    }

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let table = value.as_table().ok_or_else(|| expected(&Self::kind(), value))?;
        let fields = table.iter().map(|(name, value)| field(name.get_ref(), value.get_ref()));
        fields.collect::<Result<_, _>>().map(Self)
    }

    fn read_whole(value: &Spanned<DeValue<'_>>, wrong: &mut Wrong) -> Option<Self> {
        let Some(table) = value.get_ref().as_table() else {
            wrong.push((value.span(), expected(&Self::kind(), value.get_ref())));
            return None;
        };
        let before = wrong.len();
        let mut fields = Vec::with_capacity(table.len());
        for (name, value) in table {
            match field(name.get_ref(), value.get_ref()) {
                Ok(field) => fields.push(field),
                Err(message) => wrong.push((name.span(), message)),
            }
        }
        (wrong.len() == before).then_some(Self(fields))
    }

    fn show(&self) -> Option<String> {
        let field = |(name, value): &(HeaderName, HeaderValue)| {
            Some(format!("{name} = {}", quoted(value.to_str().ok()?)?))
        };
        let fields: Vec<String> = self.0.iter().filter_map(field).collect();
        Some(if fields.is_empty() { "{}".into() } else { format!("{{ {} }}", fields.join(", ")) })
    }
}

/// The name of a field that may be taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName(pub HeaderName);

impl Setting for FieldName {
    fn kind() -> String {
        "the name of a field".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let name = HeaderName::from_bytes(text.as_bytes())
            .map_err(|_| format!("{text:?} is not the name of a field"))?;
        own(&name)?;
        Ok(Self(name))
    }

    fn show(&self) -> Option<String> {
        quoted(self.0.as_str())
    }
}

impl Setting for HeaderValue {
    fn kind() -> String {
        "the value of a field".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        Self::from_str(text)
            .ok()
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("expected {}, found {text:?}", <Self as Setting>::kind()))
    }

    fn show(&self) -> Option<String> {
        self.to_str().ok().and_then(quoted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(toml: &str) -> Result<FieldTexts, String> {
        let text = format!("key = {toml}");
        let table = toml::de::DeTable::parse(&text).unwrap();
        FieldTexts::read(table.get_ref().get("key").unwrap().get_ref())
    }

    #[test]
    fn fields_that_frame_a_message_are_refused() {
        assert_eq!(headers("{ Content-Type = \"text/plain\" }").unwrap().0.len(), 1);
        for toml in [
            "{ Content-Length = \"1\" }",
            "{ transfer-encoding = \"chunked\" }",
            "{ \"a b\" = \"1\" }",
            "{ x = \"a\\nb\" }",
            "{ x = 1 }",
            "[]",
        ] {
            assert!(headers(toml).is_err(), "{toml} was accepted");
        }
    }
}
