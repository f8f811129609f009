//! The settings of handlers, and of the worker that writes their checkpoints, as keys.

use highwater_core::settings::{CatchUpSettings, PersistenceSettings, StartFrom, Violation};

use super::node::Value;
use super::settings::{Keyed, SettingKey, boolean, bytes, duration, keys, number, plain, size, time, word};

impl Keyed for CatchUpSettings {
    // Whether a run ends when it has caught up is the command line's to say.
    const KEYS: &'static [SettingKey<Self>] = keys! {
        start_from: start, begin;
        lanes: number, plain;
        batch: number, plain;
        handler_timeout: duration, time;
        checkpoint_batch_size: number, plain;
        checkpoint_interval: duration, time;
        max_retries: number, plain;
        retry_delay: duration, time;
        retry_cap: duration, time;
        on_permanent: word, plain;
        max_dead_letters: number, plain;
        max_first_failures: number, plain;
        breaker_failure_threshold: number, plain;
        breaker_open_time: duration, time;
        intake_events: number, plain;
        intake_bytes: size, bytes;
        poll_interval: duration, time;
        drain: duration, time;
        flush_timeout: duration, time;
        progress_every: number, plain;
        message_patterns: boolean, plain;
    };

    fn violations(&self) -> Vec<Violation> {
        self.validate().err().unwrap_or_default()
    }
}

impl Keyed for PersistenceSettings {
    const KEYS: &'static [SettingKey<Self>] = keys! {
        persistence_interval: duration, time;
        operation_timeout: duration, time;
        force_persistence_timeout: duration, time;
        shutdown_timeout: duration, time;
        max_batch_size: number, plain;
        max_pending: number, plain;
        breaker_failure_threshold: number, plain;
        breaker_open_time: duration, time;
    };

    fn violations(&self) -> Vec<Violation> {
        self.validate().err().unwrap_or_default()
    }
}

fn start(value: &Value) -> Result<Option<StartFrom>, String> {
    word(value).map(Some)
}

fn begin(start: &Option<StartFrom>) -> String {
    start.unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads_what_it_shows<S: Keyed + PartialEq + std::fmt::Debug>(left_out: usize) {
        let defaults = S::default();
        let fields = format!("{defaults:?}").matches(": ").count();
        assert_eq!(S::KEYS.len() + left_out, fields, "a setting without a key: {defaults:?}");
        for key in S::KEYS {
            let mut settings = defaults.clone();
            let shown = (key.show)(&settings);
            (key.set)(&mut settings, &Value::Text(shown.clone()))
                .unwrap_or_else(|what| panic!("{shown} {what}"));
            assert_eq!((key.show)(&settings), shown, "{}", key.name);
        }
    }

    #[test]
    fn c_5_every_setting_has_a_key_that_reads_what_it_shows() {
        reads_what_it_shows::<CatchUpSettings>(1);
        reads_what_it_shows::<PersistenceSettings>(0);
    }
}
