//! What the task and the handles share: the watches, and what is still to be told to other processes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

use super::names::News;

/// A pair of watches, each with a mark that says that others have not been told yet.
pub(super) struct Signals {
    pub(super) appended: watch::Sender<u64>,
    pub(super) committed: watch::Sender<u64>,
    append_due: AtomicBool,
    commit_due: AtomicBool,
    statements: AtomicU64,
    collisions: AtomicU64,
}

impl Signals {
    pub(super) fn new() -> Self {
        Self {
            appended: watch::Sender::new(0),
            committed: watch::Sender::new(0),
            append_due: AtomicBool::new(false),
            commit_due: AtomicBool::new(false),
            statements: AtomicU64::new(0),
            collisions: AtomicU64::new(0),
        }
    }

    /// Wakes those who wait in this process.
    pub(super) fn bump(&self, news: News) {
        let watch = match news {
            News::Appended => &self.appended,
            News::Committed => &self.committed,
            News::Released => return,
        };
        watch.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Marks that others are to be told; false if that was marked already.
    pub(super) fn mark(&self, news: News) -> bool {
        match news {
            News::Appended => !self.append_due.swap(true, Ordering::SeqCst),
            News::Committed => !self.commit_due.swap(true, Ordering::SeqCst),
            News::Released => false,
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.append_due.load(Ordering::SeqCst) || self.commit_due.load(Ordering::SeqCst)
    }

    /// Takes the marks. What is marked from here on is told by the next notification.
    pub(super) fn take_due(&self) -> Vec<News> {
        let mut news = Vec::new();
        for (mark, what) in [(&self.append_due, News::Appended), (&self.commit_due, News::Committed)] {
            if mark.swap(false, Ordering::SeqCst) {
                news.push(what);
            }
        }
        news
    }

    /// Counts a statement that is sent to the server.
    pub(super) fn count(&self) {
        self.statements.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Counts a batch whose advisory key somebody else holds; how many there were before.
    pub(super) fn collided(&self) -> u64 {
        self.collisions.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn collisions(&self) -> u64 {
        self.collisions.load(Ordering::Relaxed)
    }
}
