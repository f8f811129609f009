//! Fourth stage: what is given up is written down before the runner moves past it (B-3).
//!
//! There may be `max_dead_letters` open ones. They are counted when the first one of a run is written, and
//! again when the limit seems to be reached, since an operator may have removed some.

use std::sync::Arc;

use highwater_core::Error;
use highwater_core::model::{FailedState, RecordedEvent};
use highwater_core::policy::Decided;
use highwater_core::ports::{DeadLetters, HandlerLetter};
use tokio::sync::Mutex;

/// Letters in one page of the count.
const PAGE: usize = 500;

/// A letter that is to be written.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) letter: HandlerLetter,
    /// Left out by the policy or the handler's word, rather than given up.
    pub(super) skipped: bool,
    /// How often writing it has failed.
    pub(super) tries: u32,
}

impl Pending {
    /// The letter of an event that is set aside in this state.
    pub(super) fn new(
        group: &Arc<str>,
        generation: u64,
        event: &RecordedEvent,
        judged: Judged,
        becomes: FailedState,
    ) -> Self {
        let skipped = becomes == FailedState::Recorded;
        let message = if skipped { format!("skipped: {}", judged.message) } else { judged.message };
        let letter = HandlerLetter {
            group: group.to_string(),
            generation,
            event: event.detached(),
            class: judged.decided.class,
            message,
            attempts: judged.attempts,
        };
        Self { letter, skipped, tries: 0 }
    }
}

/// Why an event is set aside.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) decided: Decided,
    pub(super) message: String,
    pub(super) attempts: u32,
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is durable.
    Yes,
    /// So many are open already that it was not written.
    TooMany { open: u64 },
}

/// The dead letters of one group.
pub(super) struct LetterBox {
    sink: Arc<dyn DeadLetters>,
    group: Arc<str>,
    most: u64,
    /// How many are open; `None` before they were counted.
    open: Mutex<Option<u64>>,
}

impl LetterBox {
    pub(super) fn new(sink: Arc<dyn DeadLetters>, group: Arc<str>, most: u64) -> Self {
        Self { sink, group, most, open: Mutex::new(None) }
    }

    /// Makes a letter durable, unless there are too many.
    pub(super) async fn keep(&self, letter: &HandlerLetter) -> Result<Kept, Error> {
        let mut counted = self.open.lock().await;
        let open = match *counted {
            Some(open) if open < self.most => open,
            _ => self.count().await?,
        };
        *counted = Some(open);
        if open >= self.most {
            return Ok(Kept::TooMany { open });
        }
        self.sink.publish(letter).await?;
        *counted = Some(open + 1);
        Ok(Kept::Yes)
    }

    /// Counts as far as it matters.
    async fn count(&self) -> Result<u64, Error> {
        let (mut open, mut after) = (0, None);
        while open < self.most {
            let page = self.sink.list(&self.group, after, PAGE).await?;
            open += u64::try_from(page.len()).unwrap_or(u64::MAX);
            let next = page.last().map(|letter| letter.event.position());
            if page.len() < PAGE || next <= after {
                break;
            }
            after = next;
        }
        Ok(open)
    }
}

#[cfg(test)]
mod tests {
    use highwater_core::policy::Class;
    use highwater_testkit::fixtures::event;
    use highwater_testkit::memory::MemoryDeadLetters;

    use super::*;

    fn letter(n: u64) -> HandlerLetter {
        let judged =
            Judged { decided: Decided::new(Class::Permanent, "test"), message: "no".into(), attempts: 1 };
        Pending::new(&"g".into(), 1, &event(n, "T", "s"), judged, FailedState::Parked).letter
    }

    #[tokio::test]
    async fn the_limit_is_kept_across_runs_and_counted_again_when_it_is_reached() {
        let sink = MemoryDeadLetters::new();
        let open = || LetterBox::new(Arc::new(sink.clone()), "g".into(), 3);
        let first = open();
        for n in 1..=2 {
            assert_eq!(first.keep(&letter(n)).await.unwrap(), Kept::Yes);
        }
        let second = open();
        assert_eq!(second.keep(&letter(3)).await.unwrap(), Kept::Yes);
        assert_eq!(second.keep(&letter(4)).await.unwrap(), Kept::TooMany { open: 3 });
        assert_eq!(sink.all().len(), 3, "it is not written");
        assert!(sink.remove("g", 1, letter(1).event.position()).await.unwrap());
        assert_eq!(second.keep(&letter(4)).await.unwrap(), Kept::Yes, "an operator has made room");
    }

    #[tokio::test]
    async fn more_than_a_page_is_counted() {
        let sink = MemoryDeadLetters::new();
        for n in 1..=1_200 {
            sink.publish(&letter(n)).await.unwrap();
        }
        let box_of = |most| LetterBox::new(Arc::new(sink.clone()), "g".into(), most);
        assert_eq!(box_of(5_000).count().await.unwrap(), 1_200);
        assert!(matches!(box_of(1_200).keep(&letter(9_999)).await, Ok(Kept::TooMany { .. })));
    }
}
