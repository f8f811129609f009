//! What the program says on standard error: into the log, line by line, and its last words into the error.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::ChildStderr;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::lines::Lines;

/// How long the pipe may stay open after the program has ended: somebody who left its group may hold it.
const LINGER: Duration = Duration::from_millis(500);

/// The longest last words that are kept, in characters.
const LONGEST_WORDS: usize = 300;

/// A task that forwards standard error.
#[derive(Debug)]
pub(super) struct Stderr {
    task: JoinHandle<()>,
    last: Arc<Mutex<String>>,
}

impl Stderr {
    /// Forwards every line to the log at level INFO, with the program's name and process id.
    pub(super) fn forward(pipe: ChildStderr, program: Arc<str>, pid: u32) -> Self {
        let last = Arc::new(Mutex::new(String::new()));
        let words = Arc::clone(&last);
        let task = tokio::spawn(async move {
            let mut lines = Lines::new(pipe);
            loop {
                match lines.next().await {
                    Ok(Some(line)) => {
                        let text = String::from_utf8_lossy(&line.bytes);
                        let text = text.trim_end();
                        tracing::info!(command = %program, pid, line = text, "the command says");
                        if !text.is_empty() {
                            *words.lock().unwrap_or_else(PoisonError::into_inner) =
                                text.chars().take(LONGEST_WORDS).flat_map(char::escape_debug).collect();
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(command = %program, pid, %error, "cannot read what the command says");
                        break;
                    }
                }
            }
        });
        Self { task, last }
    }

    /// The last line that was not empty, once the program has ended.
    pub(super) async fn last_words(mut self) -> String {
        if timeout(LINGER, &mut self.task).await.is_err() {
            self.task.abort();
        }
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
