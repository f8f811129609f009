//! A handler that a config file describes: which events, and what takes them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use highwater_core::Error;
use highwater_core::model::{Filter, ProjectionName};
use highwater_core::ports::DynHandler;
use highwater_core::settings::{CatchUpSettings, PersistenceSettings};
use highwater_runtime::catch_up::CheckpointBoard;
use highwater_sinks::{ExecSettings, ExecSink, HttpSettings, HttpSink, StdoutSink};

use crate::handlers::{HandlerOptions, HandlerPlan, PlannedHandler};
use crate::stage::Close;

/// What takes the events of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkSpec {
    /// An HTTP receiver.
    Http(HttpSettings),
    /// A command that runs beside.
    Exec(ExecSettings),
    /// Standard output.
    Stdout,
}

/// A handler.
#[derive(Debug, Clone)]
pub struct HandlerSpec {
    /// Its name, which is the key of its checkpoint.
    pub name: ProjectionName,
    /// `types` and `streams` as they are written.
    pub filter: Filter,
    /// What takes the events.
    pub sink: SinkSpec,
    /// How it is run.
    pub settings: CatchUpSettings,
}

/// All handlers, and how their checkpoints are written.
#[derive(Debug, Clone)]
pub struct HandlerSpecs {
    /// The handlers.
    pub handlers: Vec<HandlerSpec>,
    /// The worker that writes their checkpoints.
    pub persistence: PersistenceSettings,
    /// How long a claim holds without being renewed.
    pub lease: Duration,
}

impl Default for HandlerSpecs {
    fn default() -> Self {
        Self {
            handlers: Vec::new(),
            persistence: PersistenceSettings::default(),
            lease: CheckpointBoard::LEASE,
        }
    }
}

/// A sink that is ready to take events.
pub struct OpenSink {
    /// What takes them.
    pub handler: Arc<dyn DynHandler>,
    /// What is left to do when it has taken the last one.
    pub close: Option<Close>,
}

impl SinkSpec {
    /// Sets the sink up. No event goes out by this, and a command is only started with the first one.
    ///
    /// # Errors
    /// When its settings are not valid, or the system gives no thread.
    pub fn open(&self) -> Result<OpenSink, Error> {
        Ok(match self {
            Self::Http(settings) => {
                OpenSink { handler: Arc::new(HttpSink::new(settings.clone())?), close: None }
            }
            Self::Exec(settings) => {
                let sink = Arc::new(ExecSink::new(settings.clone())?);
                let closes = sink.clone();
                let close: Close = Box::new(move || Box::pin(async move { closes.close().await }));
                OpenSink { handler: Arc::new(Shared(sink)), close: Some(close) }
            }
            Self::Stdout => OpenSink { handler: Arc::new(StdoutSink::new()?), close: None },
        })
    }
}

/// A handler that is closed by somebody else.
struct Shared(Arc<ExecSink>);

#[async_trait::async_trait]
impl DynHandler for Shared {
    async fn handle_slice(
        &self,
        events: &[highwater_core::model::RecordedEvent],
    ) -> Result<(), highwater_core::Failure> {
        self.0.handle_slice(events).await
    }
}

impl HandlerSpecs {
    /// As a builder wants it; `trust` are the handlers whose checkpoint is not held against the log.
    pub(super) fn plan(self, trust: &[ProjectionName]) -> Result<HandlerPlan, Error> {
        let mut planned = Vec::with_capacity(self.handlers.len());
        for spec in self.handlers {
            let OpenSink { handler, close } =
                spec.sink.open().map_err(|error| error.with("handler", &spec.name))?;
            let trust = trust.contains(&spec.name);
            planned.push(PlannedHandler {
                name: spec.name.as_str().into(),
                handler,
                options: HandlerOptions { filter: spec.filter, settings: spec.settings, trust },
                close,
            });
        }
        Ok(HandlerPlan {
            planned,
            persistence: self.persistence,
            lease: self.lease,
            ..HandlerPlan::default()
        })
    }
}

impl fmt::Debug for OpenSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSink").finish_non_exhaustive()
    }
}
