//! `highwater verify`: is the read model what the log says?
//!
//! JSON: `{"name", "through", "events", "not_applied": [{"position", "message"}], "equal", "tables": [{"name",
//! "differences": [text]}]}`. Code 1 where something differs.

use serde::Serialize;

use highwater_core::model::Position;

use crate::cli::args::{Global, Verify};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Table, Ui, count, plain};
use crate::cli::session::{Access, Session};

#[derive(Serialize)]
struct Done {
    name: String,
    through: Option<Position>,
    events: u64,
    not_applied: Vec<LeftOut>,
    equal: bool,
    tables: Vec<Compared>,
}

#[derive(Serialize)]
struct LeftOut {
    position: Position,
    message: String,
}

#[derive(Serialize)]
struct Compared {
    name: String,
    differences: Vec<String>,
}

pub(super) async fn run(global: &Global, args: Verify, ui: &Ui) -> Result<Exit, CliError> {
    let session = Session::open_without_checkpoints(global, Access::Read).await?;
    let projection = session.projection(&args.name)?;
    let mut ignore = projection.ignore.clone();
    ignore.extend(args.ignore);
    let report = session.backends.verify(&projection.spec, &ignore).await?;
    let tables: Vec<Compared> = report
        .tables
        .into_iter()
        .map(|table| Compared { name: table.name, differences: table.differences })
        .collect();
    let equal = tables.iter().all(|table| table.differences.is_empty());
    let not_applied = report
        .not_applied
        .into_iter()
        .map(|event| LeftOut { position: event.position, message: event.message })
        .collect();
    let done = Done {
        name: args.name.to_string(),
        through: report.through,
        events: report.events,
        not_applied,
        equal,
        tables,
    };
    ui.result(&done, text)?;
    Ok(if equal { Exit::Ok } else { Exit::Failed })
}

fn text(done: &Done) -> String {
    let mut table = Table::new(&["table", "result"]);
    for compared in &done.tables {
        let result = if compared.differences.is_empty() { "equal" } else { "differs" };
        table.row([compared.name.clone(), result.to_owned()]);
    }
    let through = done.through.map_or_else(|| "nothing".to_owned(), |through| format!("through {through}"));
    let mut text = format!("{}: {} events applied again, {through}\n", done.name, count(done.events));
    text.push_str(&table.text("no tables to compare"));
    for event in &done.not_applied {
        text.push_str(&format!(
            "\nleft out, since it cannot be applied: {}: {}",
            event.position,
            plain(&event.message)
        ));
    }
    for compared in &done.tables {
        for difference in &compared.differences {
            text.push_str(&format!("\n{}: {}", compared.name, plain(difference)));
        }
    }
    text
}
