//! The fields of a head: an ordered list of lines over one buffer.
//!
//! A `HeaderMap` hashes every name and counts references to every value, though a proxy reads six
//! fields and passes the rest on. Here the lines stay in the buffer they were read into; a field is
//! five numbers; what is passed on is copied out in as few runs as there are gaps. Order and spelling
//! stay the sender's.

use crate::name::{Name, NameSet};

/// Fields of one message, in the order they came or were added.
///
/// Two allocations for any number of fields; [`Fields::clear`] keeps them for the next message.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    /// Whole lines, `Name: value\r\n`, not necessarily adjacent.
    text: Vec<u8>,
    lines: Vec<Line>,
    /// No other names are there; some of these may have been removed. What is not there is the usual
    /// question, and needs no look at the lines.
    names: NameSet,
}

/// Where a line stands in the text. Its last value byte is followed by CR LF, always.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: u32,
    value: u32,
    end: u32,
    name_length: u16,
    name: Name,
}

/// Room for so many fields that are added to those of a head that was read.
const USUALLY_ADDED: usize = 6;

/// One field as it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// Its name, if it is one that matters to a proxy.
    pub name: Name,
    /// Its name as it is spelled.
    pub spelled: &'a [u8],
    /// Its value, without surrounding white space.
    pub value: &'a [u8],
}

/// A name that is no token, or a value with a byte that would end or break its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a field name must be a token, and a value may hold no control bytes")]
pub struct InvalidField;

impl Fields {
    /// No fields.
    pub fn new() -> Fields {
        Fields::default()
    }

    /// Forgets all fields and keeps the buffers.
    pub fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
        self.names = NameSet::default();
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines.iter().map(|line| self.field(line))
    }

    /// The first field of that name.
    pub fn get(&self, name: Name) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The values of all fields of that name, in order.
    pub fn get_all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        let lines = if self.names.has(name) { &self.lines[..] } else { &[] };
        lines.iter().filter(move |line| line.name == name).map(|line| self.value(line))
    }

    /// Whether there is a field of that name.
    pub fn has(&self, name: Name) -> bool {
        self.get_all(name).next().is_some()
    }

    /// The first field of any name, compared without case.
    pub fn find(&self, spelled: &str) -> Option<&[u8]> {
        self.iter().find(|field| field.spelled.eq_ignore_ascii_case(spelled.as_bytes())).map(|f| f.value)
    }

    /// Adds a field at the end.
    pub fn push(&mut self, spelled: &str, value: &[u8]) -> Result<(), InvalidField> {
        self.push_with(spelled, |text| text.extend_from_slice(value))
    }

    /// Adds a field at the end whose value `write` appends to the buffer it is given: for a value put
    /// together from parts, without a buffer of its own. `write` may only append.
    pub fn push_with(&mut self, spelled: &str, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), InvalidField> {
        if !is_token(spelled.as_bytes()) || spelled.len() > usize::from(u16::MAX) {
            return Err(InvalidField);
        }
        self.push_line(Name::of(spelled.as_bytes()), spelled, write)
    }

    /// Adds a field of a known name.
    pub fn push_known(&mut self, name: Name, value: &[u8]) -> Result<(), InvalidField> {
        self.push_known_with(name, |text| text.extend_from_slice(value))
    }

    /// Adds a field of a known name whose value `write` appends, as in [`Fields::push_with`].
    pub fn push_known_with(
        &mut self,
        name: Name,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), InvalidField> {
        match name.as_str() {
            "" => Err(InvalidField),
            spelled => self.push_line(name, spelled, write),
        }
    }

    fn push_line(
        &mut self,
        name: Name,
        spelled: &str,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), InvalidField> {
        let start = self.text.len();
        self.text.extend_from_slice(spelled.as_bytes());
        self.text.extend_from_slice(b": ");
        let value = self.text.len();
        write(&mut self.text);
        let end = self.text.len();
        if end < value || !is_value(&self.text[value..]) || u32::try_from(end + 2).is_err() {
            self.text.truncate(start);
            return Err(InvalidField);
        }
        self.text.extend_from_slice(b"\r\n");
        self.names = self.names.with(name);
        self.lines.push(Line {
            start: start as u32,
            value: value as u32,
            end: end as u32,
            name_length: spelled.len() as u16,
            name,
        });
        Ok(())
    }

    /// Adds a field with the value of another one, if there is that.
    pub fn push_copy(&mut self, name: Name, of: Name) -> Result<(), InvalidField> {
        match self.lines.iter().find(|line| line.name == of) {
            Some(&Line { value, end, .. }) => self.push_known_with(name, |text| {
                text.extend_from_within(value as usize..end as usize);
            }),
            None => Ok(()),
        }
    }

    /// Puts one field in the place of all of that name.
    pub fn set(&mut self, spelled: &str, value: &[u8]) -> Result<(), InvalidField> {
        self.remove_spelled(spelled.as_bytes());
        self.push(spelled, value)
    }

    /// Removes every field of that name.
    pub fn remove(&mut self, name: Name) {
        self.remove_all(NameSet::of(&[name]));
    }

    /// Removes every field whose name is in the set.
    pub fn remove_all(&mut self, names: NameSet) {
        if self.names.meets(names) {
            self.lines.retain(|line| !names.has(line.name));
        }
    }

    /// Whether there may be a field whose name is in the set; if not, there is none.
    pub fn may_have(&self, names: NameSet) -> bool {
        self.names.meets(names)
    }

    /// Removes every field of that spelling, compared without case.
    pub fn remove_spelled(&mut self, spelled: &[u8]) {
        let text = &self.text;
        self.lines.retain(|line| !spelling(text, line).eq_ignore_ascii_case(spelled));
    }

    /// Keeps the fields for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let text = &self.text;
        self.lines.retain(|line| keep(field(text, line)));
    }

    /// Appends all fields to `out` as they stand on the wire, without the empty line that ends a head.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut lines = self.lines.iter();
        let Some(first) = lines.next() else { return };
        let (mut start, mut end) = (first.start, first.end + 2);
        for line in lines {
            if line.start != end {
                out.extend_from_slice(&self.text[start as usize..end as usize]);
                start = line.start;
            }
            end = line.end + 2;
        }
        out.extend_from_slice(&self.text[start as usize..end as usize]);
    }

    /// The bytes behind the fields, for the head they were read from to keep its first line in.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Appends bytes that are no field and returns where they stand.
    pub(crate) fn keep_text(&mut self, bytes: &[u8]) -> (u32, u32) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(bytes);
        (start, self.text.len() as u32)
    }

    /// Takes over a head whose lines have been checked: `head` is copied once, and each of `parsed`
    /// lies in it. A line that is not written `Name: value` is written so behind the others.
    /// Fails on a name of more than 64 KiB.
    pub(crate) fn load(&mut self, head: &[u8], parsed: &[httparse::Header<'_>]) -> Result<(), InvalidField> {
        self.clear();
        // A sender's head and what is added to it, in one allocation.
        self.text.reserve(head.len() + 256);
        self.text.extend_from_slice(head);
        self.lines.reserve(parsed.len() + USUALLY_ADDED);
        let base = head.as_ptr() as usize;
        for header in parsed {
            let (spelled, value) = (header.name.as_bytes(), trim(header.value));
            let name_length = u16::try_from(spelled.len()).map_err(|_| InvalidField)?;
            let name = Name::of(spelled);
            let start = spelled.as_ptr() as usize - base;
            let value_start = if value.is_empty() { 0 } else { value.as_ptr() as usize - base };
            let end = value_start + value.len();
            let canonical = value_start == start + spelled.len() + 2
                && self.text[value_start - 1] == b' '
                && self.text[end..].starts_with(b"\r\n");
            let (start, value_start, end) = if canonical {
                (start, value_start, end)
            } else {
                let start = self.text.len();
                self.text.extend_from_slice(spelled);
                self.text.extend_from_slice(b": ");
                let value_start = self.text.len();
                self.text.extend_from_slice(value);
                self.text.extend_from_slice(b"\r\n");
                (start, value_start, value_start + value.len())
            };
            self.names = self.names.with(name);
            self.lines.push(Line {
                start: start as u32,
                value: value_start as u32,
                end: end as u32,
                name_length,
                name,
            });
        }
        Ok(())
    }

    fn field(&self, line: &Line) -> Field<'_> {
        field(&self.text, line)
    }

    fn value(&self, line: &Line) -> &[u8] {
        &self.text[line.value as usize..line.end as usize]
    }
}

fn field<'a>(text: &'a [u8], line: &Line) -> Field<'a> {
    Field {
        name: line.name,
        spelled: spelling(text, line),
        value: &text[line.value as usize..line.end as usize],
    }
}

fn spelling<'a>(text: &'a [u8], line: &Line) -> &'a [u8] {
    &text[line.start as usize..line.start as usize + usize::from(line.name_length)]
}

/// Takes optional white space (RFC 9110 §5.6.3) off both ends.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The elements of a comma-separated list (RFC 9110 §5.6.1), trimmed, empty ones left out.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty()
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn is_value(value: &[u8]) -> bool {
    // Without an early way out, so that many bytes are looked at in one step.
    value.iter().fold(true, |good, &byte| good & ((byte >= b' ' && byte != 0x7f) | (byte == b'\t')))
}

impl Field<'_> {
    /// The elements of a comma-separated value, trimmed, empty ones left out.
    pub fn elements(&self) -> impl Iterator<Item = &[u8]> {
        list(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &Fields) -> String {
        let mut out = Vec::new();
        fields.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn loaded(head: &str) -> Fields {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let (_, parsed) = httparse::parse_headers(head.as_bytes(), &mut headers).unwrap().unwrap();
        let mut fields = Fields::new();
        fields.load(head.as_bytes(), parsed).unwrap();
        fields
    }

    #[test]
    fn lines_are_written_as_they_came_and_untidy_ones_tidied() {
        let fields = loaded("Host: a\r\nX-A:1\r\nX-B:  2 \t\r\nX-C:\r\nX-D: 4\r\n\r\n");
        assert_eq!(written(&fields), "Host: a\r\nX-A: 1\r\nX-B: 2\r\nX-C: \r\nX-D: 4\r\n");
        assert_eq!(fields.get(Name::Host), Some(&b"a"[..]));
        assert_eq!(fields.find("x-c"), Some(&b""[..]));
    }

    #[test]
    fn removing_and_adding_keeps_the_order_of_the_rest() {
        let mut fields = loaded("A: 1\r\nConnection: x\r\nB: 2\r\nVia: v\r\nC: 3\r\n\r\n");
        fields.remove(Name::Connection);
        fields.set("a", b"9").unwrap();
        assert_eq!(written(&fields), "B: 2\r\nVia: v\r\nC: 3\r\na: 9\r\n");
    }

    #[test]
    fn a_field_that_would_break_its_line_is_refused_and_leaves_nothing() {
        let mut fields = loaded("A: 1\r\n\r\n");
        assert_eq!(fields.push("B", b"x\r\nEvil: 1"), Err(InvalidField));
        assert_eq!(fields.push("B\r\n", b"x"), Err(InvalidField));
        assert_eq!(fields.push("", b"x"), Err(InvalidField));
        assert_eq!(fields.push("B", b"\0"), Err(InvalidField));
        assert_eq!(written(&fields), "A: 1\r\n");
    }
}
