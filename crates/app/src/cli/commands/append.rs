//! `highwater append`: one event.
//!
//! JSON: `{"stream", "sequence", "position", "id", "duplicate"}`.

use std::io::Read as _;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use highwater_core::model::{Append, ContentType, NewEvent, Position};

use crate::cli::args::{self, Global};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Ui, plain};
use crate::cli::patience::patiently;
use crate::cli::session::{Access, Session};

#[derive(Serialize)]
struct Done {
    stream: String,
    sequence: u64,
    position: Position,
    id: Uuid,
    duplicate: bool,
}

pub(super) async fn run(global: &Global, args: args::Append, ui: &Ui) -> Result<Exit, CliError> {
    if args.data == "-" && args.metadata == "-" {
        return Err(CliError::usage("standard input can be --data or --metadata, not both"));
    }
    let data = payload("--data", &args.data)?;
    let metadata = payload("--metadata", &args.metadata)?;
    let id = args.id.unwrap_or_else(Uuid::new_v4);
    let append = Append {
        stream: args.stream.as_str().into(),
        category: args.category.as_deref().map(Into::into),
        expected: args.expected.0,
        events: vec![NewEvent {
            id,
            event_type: args.event_type.as_str().into(),
            time_micros: None,
            content_type: ContentType::Json,
            data,
            metadata,
        }],
    };
    let session = Session::open_without_checkpoints(global, Access::Write).await?;
    let appended = patiently(|| session.backends.append.append(std::slice::from_ref(&append))).await?;
    let one = appended.first().ok_or_else(|| CliError::failed("append: the log gave no answer"))?;
    let done = Done {
        stream: args.stream,
        sequence: one.next_sequence.saturating_sub(1),
        position: one.last,
        id,
        duplicate: one.duplicate,
    };
    ui.result(&done, |done| {
        let what = if done.duplicate { "was there already" } else { "appended" };
        format!("{what}: {} {} at {} (id {})", plain(&done.stream), done.sequence, done.position, done.id)
    })?;
    Ok(Exit::Ok)
}

/// The JSON that a payload argument names, kept as it is written; blanks around it are no part of it.
fn payload(flag: &str, argument: &str) -> Result<Bytes, CliError> {
    let reading = |what: &str, error: std::io::Error| {
        CliError::failed(format!("read {what} for {flag}")).because(&error)
    };
    let bytes = if argument == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map_err(|error| reading("standard input", error))?;
        bytes
    } else if let Some(file) = argument.strip_prefix('@') {
        std::fs::read(file).map_err(|error| reading(file, error))?
    } else {
        argument.as_bytes().to_vec()
    };
    match serde_json::from_slice::<&RawValue>(&bytes) {
        Ok(json) => Ok(Bytes::copy_from_slice(json.get().as_bytes())),
        Err(error) => Err(CliError::usage(format!("{flag} is not JSON: {error}"))
            .hint("quote it for the shell, such as --data '{\"a\": 1}', or give @FILE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_9_a_payload_is_kept_as_written_and_must_be_json() {
        assert_eq!(&payload("--data", " {\"a\" : 1}\n").unwrap()[..], b"{\"a\" : 1}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[1]").unwrap();
        assert_eq!(&payload("--data", &format!("@{}", file.path().display())).unwrap()[..], b"[1]");
        assert_eq!(payload("--data", "{a:1}").unwrap_err().exit(), Exit::Usage);
        assert_eq!(payload("--data", "@/nowhere").unwrap_err().exit(), Exit::Failed);
    }
}
