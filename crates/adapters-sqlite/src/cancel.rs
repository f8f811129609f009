//! A dropped future, as blocking code sees it.
//!
//! A future that waits for a blocking thread can be dropped; the thread cannot. So the future keeps a
//! [`CancelOnDrop`], and the thread asks [`Cancelled`] now and then: through SQLite's progress handler where
//! a statement runs, as a future where it waits for one. One pair a job: a flag for a whole store would let a
//! dropped job that only waits in the queue interrupt the one that runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use tokio::sync::oneshot;

use highwater_core::error::{Error, ErrorKind};

use crate::error::During;

/// How many instructions of its virtual machine SQLite runs between two looks at the handler: some tens of
/// microseconds.
pub(crate) const INSTRUCTIONS: i32 = 1000;

/// Kept by the future.
#[derive(Debug)]
pub(crate) struct CancelOnDrop {
    flag: Arc<AtomicBool>,
    /// Dropped behind the flag's change: the other side wakes and finds the flag set.
    _tell: oneshot::Sender<Infallible>,
}

/// Asked by the thread.
#[derive(Debug)]
pub(crate) struct Cancelled {
    flag: Arc<AtomicBool>,
    told: oneshot::Receiver<Infallible>,
}

pub(crate) fn pair() -> (CancelOnDrop, Cancelled) {
    let flag = Arc::new(AtomicBool::new(false));
    let (tell, told) = oneshot::channel();
    (CancelOnDrop { flag: flag.clone(), _tell: tell }, Cancelled { flag, told })
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.flag.store(true, Ordering::Relaxed);
    }
}

impl Cancelled {
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        self.flag.clone()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.flag.load(Ordering::Relaxed) { Err(cancelled()) } else { Ok(()) }
    }

    /// Ends when the other side is dropped.
    pub(crate) async fn wait(&mut self) {
        match (&mut self.told).await {
            Ok(never) => match never {},
            Err(_sender_dropped) => {}
        }
    }

    /// Runs `work` on a connection whose statements end when the other side is dropped.
    pub(crate) fn interrupting<T>(
        &self,
        conn: &Connection,
        work: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.check()?;
        let flag = self.flag();
        set_handler(conn, INSTRUCTIONS, move || flag.load(Ordering::Relaxed))?;
        let result = work(conn);
        clear_handler(conn)?;
        result
    }
}

pub(crate) fn set_handler(
    conn: &Connection,
    instructions: i32,
    stop: impl FnMut() -> bool + Send + 'static,
) -> Result<(), Error> {
    conn.progress_handler(instructions, Some(stop)).during("set the progress handler")
}

pub(crate) fn clear_handler(conn: &Connection) -> Result<(), Error> {
    conn.progress_handler(0, None::<fn() -> bool>).during("clear the progress handler")
}

pub(crate) fn cancelled() -> Error {
    Error::new(ErrorKind::Closed, "run a job on the database").because("the caller no longer waits for it")
}

/// Runs `work` on a thread that may block. A panic goes on in the caller.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(ended) => Err(Error::new(ErrorKind::Closed, "run a job on the database").because(ended)),
    }
}
