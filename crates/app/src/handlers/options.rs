//! How a handler is run.

use highwater_core::model::{Filter, Pattern};
use highwater_core::settings::{CatchUpSettings, OnPermanent, StartFrom};

/// Options of a handler.
#[derive(Debug, Clone, Default)]
pub struct HandlerOptions {
    pub(crate) filter: Filter,
    pub(crate) settings: CatchUpSettings,
    pub(crate) trust: bool,
}

impl HandlerOptions {
    /// Only events of these types, each exact or a prefix with a trailing `*`. Default: all.
    #[must_use]
    pub fn types<T: AsRef<str>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.filter.types = types.into_iter().map(|pattern| Pattern::parse(pattern.as_ref())).collect();
        self
    }

    /// Only events of these streams, by the same rule. Default: all.
    #[must_use]
    pub fn streams<T: AsRef<str>>(mut self, streams: impl IntoIterator<Item = T>) -> Self {
        self.filter.streams = streams.into_iter().map(|pattern| Pattern::parse(pattern.as_ref())).collect();
        self
    }

    /// How many events are handled at the same time; a stream is always in the same lane, so order holds within it.
    /// Default: 1, the order of the log.
    #[must_use]
    pub fn lanes(mut self, lanes: usize) -> Self {
        self.settings.lanes = lanes;
        self
    }

    /// What happens to an event that the handler cannot take. Default: it goes to the dead letters.
    #[must_use]
    pub fn on_permanent(mut self, on_permanent: OnPermanent) -> Self {
        self.settings.on_permanent = on_permanent;
        self
    }

    /// Where a handler without a checkpoint begins. Default: at the beginning of the log.
    #[must_use]
    pub fn start_from(mut self, start_from: StartFrom) -> Self {
        self.settings.start_from = Some(start_from);
        self
    }

    /// Any other setting.
    #[must_use]
    pub fn settings(mut self, change: impl FnOnce(&mut CatchUpSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Goes on although the stored checkpoint does not belong to this log. Default: faults.
    #[must_use]
    pub fn trust_checkpoint(mut self, trust: bool) -> Self {
        self.trust = trust;
        self
    }
}
