//! What drives a handler as a runner does: an event at a time, again as long as its failure is a passing one.

use std::slice;

use highwater_core::model::{ContentType, EventParts, RecordedEvent};
use highwater_core::policy::{Class, Classifier};
use highwater_core::ports::DynHandler;
use highwater_core::{Error, Failure, Retry};
use highwater_testkit::fixtures::{NastyPayload, event_with};

/// More attempts than any test needs: a handler that never comes through fails its test.
const MOST_ATTEMPTS: usize = 200;

/// Hands over each event until it is taken; says how many attempts that took in all.
pub(crate) async fn deliver(handler: &dyn DynHandler, events: &[RecordedEvent]) -> usize {
    let mut attempts = 0;
    for event in events {
        loop {
            attempts += 1;
            assert!(attempts < MOST_ATTEMPTS, "the handler never comes through");
            match handler.handle_slice(slice::from_ref(event)).await {
                Ok(()) => break,
                Err(failure) => assert_eq!(class(&failure), Class::Transient, "{failure}"),
            }
        }
    }
    attempts
}

/// Hands over one event, which must fail.
pub(crate) async fn failure(handler: &dyn DynHandler, event: &RecordedEvent) -> Failure {
    handler.handle_slice(slice::from_ref(event)).await.expect_err("a failure")
}

/// What a runner makes of a failure.
pub(crate) fn class(failure: &Failure) -> Class {
    Classifier::new().failure(failure).class
}

/// When the failed call may be tried again.
pub(crate) fn retry(failure: &Failure) -> Retry {
    failure.source().downcast_ref::<Error>().expect("a sink answers with the error of the ports").retryable()
}

/// An event with this payload.
pub(crate) fn nasty_event(n: u64, nasty: &NastyPayload) -> RecordedEvent {
    let event = event_with(n, "Nasty", "nasty-1", nasty.data.clone());
    RecordedEvent::new(EventParts { content_type: nasty.content_type, ..event.parts().clone() })
}

/// Whether a payload can be spliced into JSON.
pub(crate) fn is_json(nasty: &NastyPayload) -> bool {
    nasty.content_type == ContentType::Json
        && serde_json::from_slice::<&serde_json::value::RawValue>(&nasty.data).is_ok()
}
