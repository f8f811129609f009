//! What scripts and reads answer.

use deadpool_redis::redis::{Pipeline, Value};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Advance, Checkpoint};

use crate::error::corrupt;
use crate::reply::{Fields, checked, parse_u64};

/// What came of a move.
pub(super) enum Moved {
    /// It was decided.
    Advanced(Advance),
    /// There is no checkpoint, and none was to be created.
    Missing,
    /// The caller is not the owner.
    Lost,
    /// The lease is renewed, and nothing was to be moved.
    Renewed,
}

/// Reads the outcome of a script that moves: a word, or a list of a word and what belongs to it.
///
/// # Errors
/// `Corrupt` if what is stored is no position; `Invalid` if a time to live was given to a key with an owner.
pub(super) fn moved(operation: &'static str, answer: Value) -> Result<Moved, Error> {
    if let Value::BulkString(word) = &answer {
        return match word.as_slice() {
            b"applied" => Ok(Moved::Advanced(Advance::Applied)),
            b"unchanged" => Ok(Moved::Advanced(Advance::Unchanged)),
            b"missing" => Ok(Moved::Missing),
            b"lost" => Ok(Moved::Lost),
            b"renewed" => Ok(Moved::Renewed),
            other => Err(no_outcome(operation, &String::from_utf8_lossy(other))),
        };
    }
    let mut fields = Fields::of(operation, answer)?;
    Ok(match fields.text()?.as_str() {
        "stale" => Moved::Advanced(Advance::Stale { current: fields.position()? }),
        "owned" => {
            let owner = fields.text()?;
            return Err(Error::new(ErrorKind::Invalid, operation).because(format!(
                "{owner} owns it: what runs must not lose its checkpoint to a time to live; stop it first, or set \
                 the checkpoint without one"
            )));
        }
        "corrupt" => return Err(no_position(operation, &fields.text()?, &fields.text()?)),
        other => return Err(no_outcome(operation, other)),
    })
}

fn no_outcome(operation: &'static str, other: &str) -> Error {
    corrupt(operation, format!("`{other}` is no outcome"))
}

pub(super) fn no_position(operation: &'static str, commit: &str, prepare: &str) -> Error {
    corrupt(operation, format!("`{commit}:{prepare}` is no position: reset or delete the key"))
}

/// Asks for a checkpoint, in two commands.
pub(super) fn ask_for(commands: &mut Pipeline, name: &[u8]) {
    commands.cmd("HMGET").arg(name).arg("commit").arg("prepare").arg("updated_at").arg("epoch");
    commands.cmd("HLEN").arg(name);
}

/// The two answers to [`ask_for`]: `None` where there is no checkpoint, also if the key was claimed.
///
/// # Errors
/// `Corrupt` if there is something else, or a half of one.
pub(super) fn checkpoint_of(
    operation: &'static str,
    answers: &mut impl Iterator<Item = Value>,
) -> Result<Option<Checkpoint>, Error> {
    let next = answers.next().into_iter().chain(answers.next());
    let [hash, length]: [Value; 2] = next
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| corrupt(operation, "the server has not answered every command"))?;
    let mut fields = Fields::of(operation, hash)?;
    let position = fields.maybe_position()?;
    let written = fields.bytes()?;
    let claimed = fields.bytes()?.is_some();
    match position {
        Some(position) => Ok(Some(Checkpoint { position, updated_at_micros: micros(written.as_deref()) })),
        None if claimed => Ok(None),
        None => match checked(operation, length)? {
            Value::Int(0) => Ok(None),
            _ => Err(corrupt(operation, "the hash has neither half of a position")),
        },
    }
}

/// Informational: what is no time is 1970 (D-13).
pub(super) fn micros(stored: Option<&[u8]>) -> i64 {
    let number = stored.and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(parse_u64);
    number.and_then(|micros| i64::try_from(micros).ok()).unwrap_or(0)
}
