//! A bar for each projection and handler that is catching up.

use highwater::ProjectionSpec;
use highwater::compose::HandlerSpec;
use highwater_core::model::{Filter, Position};

use crate::cli::error::CliError;
use crate::cli::output::{Progress, Ui};
use crate::cli::session::Session;

/// Shows a bar for each projection and handler, as long as what it has before it; none where nobody sees them: then the
/// log lines of the runners tell the progress.
pub(super) async fn show_progress(
    session: &Session,
    specs: &[ProjectionSpec],
    handlers: &[HandlerSpec],
    ui: &Ui,
) -> Result<(), CliError> {
    if !ui.bars_shown() {
        return Ok(());
    }
    let head = session.head().await?;
    let states = session.backends.control.states().await?;
    for spec in specs {
        let state =
            states.iter().find(|state| state.key.name == spec.name && state.key.version == spec.version);
        let after = state.and_then(|state| state.scanned);
        show(session, spec.name.as_str(), &spec.filter, after, head, ui).await?;
    }
    for spec in handlers {
        let checkpoint = session.backends.checkpoints.get(spec.name.as_str()).await?;
        let after = checkpoint.map(|checkpoint| checkpoint.position);
        show(session, spec.name.as_str(), &spec.filter, after, head, ui).await?;
    }
    Ok(())
}

async fn show(
    session: &Session,
    name: &str,
    filter: &Filter,
    after: Option<Position>,
    head: Option<Position>,
    ui: &Ui,
) -> Result<(), CliError> {
    let total = match head.filter(|head| after.is_none_or(|after| after < *head)) {
        Some(head) => session.backends.log.count_between(after, Some(head), filter).await?,
        None => Some(0),
    };
    session.watcher.show(name, Progress::events(ui, name, total));
    Ok(())
}
