//! From what a port or an adapter's classifier answers to the action that is taken.

use std::sync::Arc;

use highwater_core::mocks::{MockCheckpointStore, MockClassifyError, MockDeadLetters};
use highwater_core::model::{FailedState, Position};
use highwater_core::policy::{Action, Class, Classifier, Decided, OnFailure, decide};
use highwater_core::ports::{CheckpointStore, DeadLetters};
use highwater_core::{Error, ErrorKind, Failure, OrVerdict};

use crate::run;

/// What is done when the checkpoint store answers with this kind, under the default policy.
fn action_for(kind: ErrorKind) -> Action {
    let mut store = MockCheckpointStore::new();
    store
        .expect_set_if_newer()
        .once()
        .returning(move |key, _to| Err(Error::new(kind, "write the checkpoint").with("key", key)));
    let error = run(store.set_if_newer("prod:delays", Position::new(1, 0))).expect_err("scripted");
    let decided = Classifier::new().error(&error);
    decide(OnFailure::default(), &decided, None, 1, 5)
}

#[test]
fn a_stores_answer_becomes_an_action() {
    assert_eq!(action_for(ErrorKind::Unavailable), Action::Wait);
    assert_eq!(action_for(ErrorKind::Timeout), Action::Wait, "no event is to blame for a slow port");
    assert_eq!(action_for(ErrorKind::LostOwnership), Action::Wait);
    assert_eq!(action_for(ErrorKind::Unstorable), Action::SetAside(FailedState::Parked));
    assert_eq!(action_for(ErrorKind::AccessDenied), Action::Fault);
    assert_eq!(action_for(ErrorKind::Other), Action::RetryLater);
}

#[test]
fn b_4_an_error_of_a_read_is_no_absence() {
    let mut store = MockCheckpointStore::new();
    store.expect_get().once().returning(|_key| Err(Error::new(ErrorKind::Corrupt, "read the checkpoint")));
    let error = run(store.get("prod:delays")).expect_err("not `None`");
    assert_eq!(Classifier::new().error(&error).class, Class::Fatal);
}

#[test]
fn an_adapter_is_asked_once_a_node_and_its_word_counts() {
    let mut adapter = MockClassifyError::new();
    adapter.expect_classify().times(2).returning(|node| {
        let is_inner = node.source().is_none();
        is_inner.then(|| Decided { code: Some("22012".to_owned()), ..Decided::new(Class::Permanent, "mock") })
    });
    let outer = Error::new(ErrorKind::Other, "apply the event").because("division by zero");
    let failure = Failure::new(outer);
    let decided = Classifier::new().with(Arc::new(adapter)).failure(&failure);
    assert_eq!(decided.code.as_deref(), Some("22012"));
    let action = decide(OnFailure::RecordAndContinue, &decided, failure.stated(), 1, 5);
    assert_eq!(action, Action::SetAside(FailedState::Recorded));
}

#[test]
fn what_the_call_site_states_outranks_the_port() {
    let mut letters = MockDeadLetters::new();
    letters.expect_remove().times(2).returning(|_group, _generation, _position| {
        Err(Error::new(ErrorKind::AccessDenied, "remove a letter"))
    });
    let remove = || run(letters.remove("billing", 1, Position::MIN));
    let classifier = Classifier::new();
    let action =
        |failure: Failure| decide(OnFailure::Halt, &classifier.failure(&failure), failure.stated(), 1, 5);
    assert_eq!(action(remove().or_retry().expect_err("scripted")), Action::Wait);
    assert_eq!(action(remove().or_skip().expect_err("scripted")), Action::SetAside(FailedState::Recorded));
}
