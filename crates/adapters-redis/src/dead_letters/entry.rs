//! A letter as an entry of a stream.

use std::collections::HashMap;

use bytes::Bytes;
use deadpool_redis::redis::Value;
use uuid::Uuid;

use highwater_core::error::Error;
use highwater_core::model::{ContentType, EventParts, Position, RecordedEvent};
use highwater_core::ports::HandlerLetter;

use crate::error::corrupt;
use crate::reply::parse_u64;
use crate::script::Call;

/// Digits of the greatest `u64`: padded to that, numbers sort as texts.
const DIGITS: usize = 20;

/// What tells one letter of a group from the others, in the order in which letters are listed.
pub(super) fn identity(position: Position, generation: u64) -> String {
    format!("{}{generation:0DIGITS$}", at(position))
}

/// The beginning of the identities of all letters at a position.
pub(super) fn at(position: Position) -> String {
    format!("{:0DIGITS$}{:0DIGITS$}", position.commit(), position.prepare())
}

/// Position and entry id of a member of the index.
pub(super) fn member(operation: &'static str, member: &str) -> Result<(Position, String), Error> {
    let read = || {
        let (identity, id) = member.split_once(':')?;
        let half = |from: usize| identity.get(from..from + DIGITS)?.parse().ok();
        Some((Position::new(half(0)?, half(DIGITS)?), id.to_owned()))
    };
    read().ok_or_else(|| corrupt(operation, format!("`{member}` is no member of an index of ours")))
}

/// The arguments of a call that publishes: the reason first, then the event, field by field.
pub(super) fn written(call: Call, letter: &HandlerLetter) -> Call {
    let event = letter.event.parts();
    let call = call.arg(letter.class.as_str()).arg(letter.message.as_str()).arg(letter.attempts.to_string());
    let fields: [(&str, Vec<u8>); 12] = [
        ("generation", letter.generation.to_string().into()),
        ("commit", event.position.commit().to_string().into()),
        ("prepare", event.position.prepare().to_string().into()),
        ("id", event.id.to_string().into()),
        ("stream", event.stream.as_bytes().into()),
        ("category", event.category.as_bytes().into()),
        ("sequence", event.sequence.to_string().into()),
        ("type", event.event_type.as_bytes().into()),
        ("time", event.time_micros.to_string().into()),
        ("content_type", word(event.content_type).into()),
        ("data", event.data.to_vec()),
        ("metadata", event.metadata.to_vec()),
    ];
    fields.into_iter().fold(call, |call, (name, value)| call.arg(name).arg(value))
}

/// An entry: its id, and its fields by name.
pub(super) struct Entry {
    operation: &'static str,
    pub(super) id: String,
    fields: HashMap<Vec<u8>, Vec<u8>>,
}

impl Entry {
    /// All entries of an answer to XRANGE.
    ///
    /// # Errors
    /// `Corrupt` if it is no such answer.
    pub(super) fn all(operation: &'static str, answer: Value) -> Result<Vec<Self>, Error> {
        let read = |answer| match answer {
            Value::Array(entries) => entries.into_iter().map(|entry| Self::of(operation, entry)).collect(),
            _ => None,
        };
        read(answer).ok_or_else(|| corrupt(operation, "XRANGE has answered with no list of entries"))
    }

    fn of(operation: &'static str, entry: Value) -> Option<Self> {
        let bytes = |value| match value {
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        };
        let Value::Array(parts) = entry else { return None };
        let [id, fields]: [Value; 2] = parts.try_into().ok()?;
        let Value::Array(fields) = fields else { return None };
        let mut fields = fields.into_iter().map(bytes);
        let mut by_name = HashMap::new();
        while let Some(name) = fields.next() {
            by_name.insert(name?, fields.next()??);
        }
        Some(Self { operation, id: String::from_utf8(bytes(id)?).ok()?, fields: by_name })
    }

    /// What tells it from others.
    pub(super) fn identity(&mut self) -> Result<String, Error> {
        let position = Position::new(self.number("commit")?, self.number("prepare")?);
        Ok(identity(position, self.number("generation")?))
    }

    /// The letter of a group.
    pub(super) fn letter(mut self, group: &str) -> Result<HandlerLetter, Error> {
        let content_type = self.text("content_type")?;
        let class = self.text("class")?;
        let id = self.text("id")?;
        Ok(HandlerLetter {
            group: group.to_owned(),
            generation: self.number("generation")?,
            class: class.parse().map_err(|error: String| self.corrupt(&error))?,
            message: self.text("message")?,
            attempts: u32::try_from(self.number("attempts")?)
                .map_err(|_| self.corrupt("too many attempts"))?,
            event: RecordedEvent::new(EventParts {
                position: Position::new(self.number("commit")?, self.number("prepare")?),
                id: Uuid::parse_str(&id).map_err(|_| self.corrupt(&format!("`{id}` is no event id")))?,
                stream: self.text("stream")?.into(),
                category: self.text("category")?.into(),
                sequence: self.number("sequence")?,
                event_type: self.text("type")?.into(),
                time_micros: self.time()?,
                content_type: from_word(&content_type)
                    .ok_or_else(|| self.corrupt(&format!("`{content_type}` is no content type")))?,
                data: Bytes::from(self.bytes("data")?),
                metadata: Bytes::from(self.bytes("metadata")?),
            }),
        })
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, Error> {
        self.fields.remove(name.as_bytes()).ok_or_else(|| self.corrupt(&format!("it has no `{name}`")))
    }

    fn text(&mut self, name: &str) -> Result<String, Error> {
        let bytes = self.bytes(name)?;
        String::from_utf8(bytes).map_err(|_| self.corrupt(&format!("its `{name}` is no text")))
    }

    fn number(&mut self, name: &str) -> Result<u64, Error> {
        let field = self.fields.get(name.as_bytes());
        let number = field.and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(parse_u64);
        number.ok_or_else(|| self.corrupt(&format!("its `{name}` is no number")))
    }

    fn time(&mut self) -> Result<i64, Error> {
        let text = self.text("time")?;
        text.parse().map_err(|_| self.corrupt(&format!("`{text}` is no time")))
    }

    fn corrupt(&self, what: &str) -> Error {
        corrupt(self.operation, what.to_owned()).with("entry", &self.id)
    }
}

/// The stored word.
fn word(content_type: ContentType) -> &'static str {
    match content_type {
        ContentType::Json => "json",
        ContentType::Binary => "binary",
    }
}

fn from_word(text: &str) -> Option<ContentType> {
    [ContentType::Json, ContentType::Binary].into_iter().find(|content_type| word(*content_type) == text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn identities_sort_as_positions_do_and_come_back(a: (u64, u64), b: (u64, u64), generation: u64) {
            let [one, other] = [a, b].map(|(commit, prepare)| Position::new(commit, prepare));
            prop_assert_eq!(identity(one, generation).cmp(&identity(other, generation)), one.cmp(&other));
            let stored = format!("{}:17-3", identity(one, generation));
            prop_assert_eq!(member("test", &stored).unwrap(), (one, "17-3".to_owned()));
            // Where the next page begins is behind every letter at the position.
            let behind = format!("{}\u{7f}", at(one));
            prop_assert!(behind > stored);
        }
    }
}
