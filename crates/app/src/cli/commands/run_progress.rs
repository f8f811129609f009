//! A bar for each projection that is catching up.

use highwater::ProjectionSpec;

use crate::cli::error::CliError;
use crate::cli::output::{Progress, Ui};
use crate::cli::session::Session;

/// Shows a bar for each projection, as long as what it has before it; none where nobody sees them: then the
/// log lines of the runners tell the progress.
pub(super) async fn show_progress(
    session: &Session,
    specs: &[ProjectionSpec],
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
        let total = match head.filter(|head| after.is_none_or(|after| after < *head)) {
            Some(head) => session.backends.log.count_between(after, Some(head), &spec.filter).await?,
            None => Some(0),
        };
        session.watcher.show(spec.name.clone(), Progress::events(ui, spec.name.as_str(), total));
    }
    Ok(())
}
