//! `highwater rewind`: set a projection back to an earlier position, with its read model as it is.
//!
//! JSON: `{"name", "from", "to", "events_again", "failed_forgotten", "dry_run"}`. `from` and `to` are null before the
//! first event; `events_again` is how many events the next run applies that were applied before, null where the log
//! cannot count; `failed_forgotten` is the number of failed events behind `to`, which are met again.

use serde::Serialize;

use highwater::{RewindTo, Rewound};
use highwater_core::model::Position;

use crate::cli::args::{Global, Rewind, RewindTarget};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::output::{Ui, confirm, count};
use crate::cli::patience::patiently;
use crate::cli::session::{Access, Session};

#[derive(Serialize)]
struct Done {
    name: String,
    from: Option<Position>,
    to: Option<Position>,
    events_again: Option<u64>,
    failed_forgotten: u64,
    dry_run: bool,
}

pub(super) async fn run(global: &Global, args: Rewind, ui: &Ui) -> Result<Exit, CliError> {
    let Rewind { name, to, consent } = args;
    let session =
        Session::open_without_checkpoints(global, if consent.dry_run { Access::Read } else { Access::Write })
            .await?;
    let spec = &session.projection(&name)?.spec;
    let position = match to {
        RewindTarget::Start => None,
        RewindTarget::Head => session.head().await?,
        RewindTarget::Position(position) => Some(position),
    };
    let rewind = async |dry_run| {
        let rewound = patiently(|| session.backends.rewind(spec, RewindTo { position, dry_run })).await?;
        let Rewound { from, to, events_again, failed_forgotten } = rewound;
        Ok::<_, CliError>(Done { name: name.to_string(), from, to, events_again, failed_forgotten, dry_run })
    };
    let planned = rewind(true).await?;
    if consent.dry_run {
        ui.result(&planned, |planned| format!("would rewind {}\nnothing was changed", planned.text()))?;
        return Ok(Exit::Ok);
    }
    if !consent.yes {
        ui.say(&planned.text())?;
    }
    confirm(ui, &format!("rewind {name} to {}", place(position)), consent.yes)?;
    ui.result(&rewind(false).await?, |done| format!("rewound {}", done.text()))?;
    Ok(Exit::Ok)
}

impl Done {
    fn text(&self) -> String {
        let events = match self.events_again {
            Some(0) => {
                return format!(
                    "{} from {} to {}: no event is applied again",
                    self.name,
                    place(self.from),
                    place(self.to)
                ) + &self.forgotten();
            }
            Some(1) => "1 event".to_owned(),
            Some(events) => format!("{} events", count(events)),
            None => "all events".to_owned(),
        };
        format!(
            "{} from {} to {}: {events} behind it will be applied again, to a read model that keeps what it has; \
             that is right where applying an event twice does no harm, or where the read model was restored to \
             there as well",
            self.name,
            place(self.from),
            place(self.to),
        ) + &self.forgotten()
    }

    fn forgotten(&self) -> String {
        match self.failed_forgotten {
            0 => String::new(),
            1 => "; 1 failed event behind it is forgotten, and met again".to_owned(),
            many => format!("; {} failed events behind it are forgotten, and met again", count(many)),
        }
    }
}

fn place(position: Option<Position>) -> String {
    position.map_or_else(|| "the start".to_owned(), |position| position.to_string())
}
