//! What the server's answer to an append means.

use std::str::FromStr;

use sqlx::postgres::PgDatabaseError;

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Append, Expected};

use super::append::APPEND;
use crate::error::failed;
use crate::fault::{Fault, by_sqlstate};

/// Why a call did not happen.
#[derive(Debug)]
pub(super) enum Refused {
    /// Somebody else appended to the stream, or the same event, while the call was on its way: a second try
    /// sees it.
    Raced(Error),
    /// Some event has a content that the server does not take; it does not say which.
    Content(Error),
    /// It is final.
    Because(Error),
}

impl Refused {
    /// What a driver error means for a call whose first append is `appends[from]`.
    pub(super) fn of(error: sqlx::Error, appends: &[Append], from: usize) -> Self {
        let Some(answer) = error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>())
        else {
            return Self::Because(failed(APPEND, error));
        };
        let detail = answer.detail().unwrap_or_default();
        let index = from + word::<usize>(detail, "append").unwrap_or_default();
        match (answer.code(), answer.constraint()) {
            ("HW001", _) => {
                let actual = word::<u64>(detail, "actual").unwrap_or_default();
                Self::Because(wrong_sequence(appends, index).with("actual", actual).with("append", index))
            }
            ("HW002", _) => {
                let id = word::<String>(detail, "id").unwrap_or_default();
                Self::Because(
                    Error::new(ErrorKind::EventIdReused, APPEND)
                        .with("id", id)
                        .with("append", index)
                        .because(
                            "an event with this id was appended before, with other content or elsewhere; \
                         give it an id of its own",
                        ),
                )
            }
            ("HW003", _) => Self::Because(behind("HW003", error)),
            ("23505", Some("event_seq")) => {
                let index = culprit(detail, appends);
                let kind = match index.map(|index| appends[index].expected) {
                    Some(Expected::Next(_)) => ErrorKind::WrongExpectedSequence,
                    _ => ErrorKind::Contention,
                };
                Self::Raced(at(raced(kind, error), index))
            }
            ("23505", Some("event_id")) => {
                let index = (appends.len() == 1).then_some(0);
                Self::Raced(at(raced(ErrorKind::Contention, error), index))
            }
            ("23505", Some("event_position")) => Self::Because(behind("23505", error)),
            (code, _) if by_sqlstate(code) == Fault::Contention => {
                Self::Raced(raced(ErrorKind::Contention, error))
            }
            (code, _) if by_sqlstate(code) == Fault::Value || code.starts_with("54") => {
                let code = code.to_owned();
                Self::Content(Error::new(ErrorKind::Unstorable, APPEND).code(code).because(error))
            }
            _ => Self::Because(failed(APPEND, error)),
        }
    }

    /// As an error for a caller who decides himself whether to try again.
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Raced(error) | Self::Content(error) | Self::Because(error) => error,
        }
    }
}

fn wrong_sequence(appends: &[Append], index: usize) -> Error {
    let error = Error::new(ErrorKind::WrongExpectedSequence, APPEND);
    match appends.get(index) {
        Some(Append { stream, expected: Expected::Next(expected), .. }) => {
            error.with("stream", stream).with("expected", expected)
        }
        _ => error,
    }
}

/// The sequence stands behind what readers have passed.
fn behind(code: &str, error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Corrupt, APPEND).code(code).because(error).with(
        "sequence",
        "its numbers are behind the events, as after an incomplete restore: set it forward, by `highwater migrate` \
         or by setval to the highest position",
    )
}

fn raced(kind: ErrorKind, error: sqlx::Error) -> Error {
    let code = crate::fault::code_of(&error).unwrap_or_default();
    Error::new(kind, APPEND).code(code).because(error)
}

fn at(error: Error, index: Option<usize>) -> Error {
    match index {
        Some(index) => error.with("append", index),
        None => error,
    }
}

/// The first append whose stream stands in the answer: `Key (stream, sequence)=(a-1, 7) already exists.`
fn culprit(detail: &str, appends: &[Append]) -> Option<usize> {
    if appends.len() == 1 {
        return Some(0);
    }
    appends.iter().position(|append| detail.contains(&format!("=({}, ", append.stream)))
}

/// The value behind a word of the function's detail: `append 3 actual 7`.
fn word<T: FromStr>(detail: &str, key: &str) -> Option<T> {
    let mut words = detail.split(' ');
    words.find(|word| *word == key)?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_details_are_read_by_their_words() {
        assert_eq!(word::<u64>("append 3 actual 7", "actual"), Some(7));
        assert_eq!(word::<usize>("append 3 actual 7", "append"), Some(3));
        assert_eq!(word::<u64>("append 3", "actual"), None);
    }
}
