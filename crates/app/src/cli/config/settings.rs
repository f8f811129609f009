//! Settings as keys: one table a component says their names, how each is read and how it is shown. Here is that of
//! projections.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use highwater_core::settings::{ProjectionSettings, Violation};

use super::durations::{parse_duration, parse_size, show_duration, show_size};
use super::node::{Node, Origin, Value};
use super::problems::Problems;
use super::table::Table;

/// A key of the settings `S`, such as stands in `[defaults]` and in each `[[projection]]`.
pub(crate) struct SettingKey<S> {
    /// The key.
    pub(crate) name: &'static str,
    pub(super) set: fn(&mut S, &Value) -> Result<(), String>,
    /// The value as it may be written.
    pub(crate) show: fn(&S) -> String,
}

/// Settings that a config file sets by keys.
pub(crate) trait Keyed: Clone + Default + 'static {
    /// The keys, in the order in which they are shown.
    const KEYS: &'static [SettingKey<Self>];

    /// What is wrong with them.
    fn violations(&self) -> Vec<Violation>;
}

macro_rules! keys {
    ($($field:ident: $read:ident, $show:expr;)*) => {
        &[$(SettingKey {
            name: stringify!($field),
            set: |settings, value| { settings.$field = $read(value)?; Ok(()) },
            show: |settings| $show(&settings.$field),
        }),*]
    };
}
pub(super) use keys;

impl Keyed for ProjectionSettings {
    const KEYS: &'static [SettingKey<Self>] = SETTINGS;

    fn violations(&self) -> Vec<Violation> {
        self.validate().err().unwrap_or_default()
    }
}

/// The keys of a projection, in the order in which they are shown.
pub(crate) const SETTINGS: &[SettingKey<ProjectionSettings>] = keys! {
    batch: number, plain;
    min_batch: number, plain;
    max_batch: number, plain;
    max_range_batch: number, plain;
    max_batch_bytes: size, bytes;
    max_range_bytes: size, bytes;
    poll_interval: duration, time;
    statement_timeout: duration, time;
    batch_deadline: duration, time;
    commit_grace: duration, time;
    max_failures: number, plain;
    retry_base: duration, time;
    retry_cap: duration, time;
    drain: duration, time;
    read_ahead: number, plain;
    partitions: number, plain;
    start_from: word, plain;
    on_failure: word, plain;
    savepoint: word, plain;
    max_dead_letters: number, plain;
    max_first_failures: number, plain;
    message_patterns: boolean, plain;
};

/// The names of all keys.
pub(crate) fn names() -> impl Iterator<Item = &'static str> + Clone {
    SETTINGS.iter().map(|key| key.name)
}

/// Settings with the origin of each, in the order of their keys.
#[derive(Debug, Clone)]
pub(crate) struct Layered<S = ProjectionSettings> {
    /// The settings.
    pub(crate) settings: S,
    /// Where each value comes from.
    pub(crate) origins: Vec<Origin>,
}

impl<S: Keyed> Default for Layered<S> {
    fn default() -> Self {
        Self { settings: S::default(), origins: vec![Origin::Default; S::KEYS.len()] }
    }
}

impl<S: Keyed> Layered<S> {
    /// Lays a table's settings over these. What a flag has set stays.
    pub(crate) fn lay(&mut self, table: &Table<'_>, problems: &mut Problems) {
        for (key, origin) in S::KEYS.iter().zip(&mut self.origins) {
            let Some(Node { value, origin: from }) = table.get(key.name) else { continue };
            if matches!(origin, Origin::Flag(_)) {
                continue;
            }
            match (key.set)(&mut self.settings, value) {
                Ok(()) => *origin = from.clone(),
                Err(what) => problems.add(from, format!("`{}` {what}", table.name(key.name))),
            }
        }
    }

    /// Notes what the validator says, at the place of the value; `whose` names the projection.
    pub(crate) fn validate(&self, whose: &str, problems: &mut Problems) {
        for violation in self.settings.violations() {
            let place = S::KEYS.iter().position(|key| key.name == violation.setting);
            let origin = place.map_or(&Origin::Default, |place| &self.origins[place]);
            problems.add(origin, format!("{whose}: {violation}"));
        }
    }
}

pub(super) fn number<N: TryFrom<i64> + FromStr>(value: &Value) -> Result<N, String> {
    match value {
        Value::Integer(number) => N::try_from(*number).ok(),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
    .ok_or_else(|| format!("must be a whole number from 0 that is not too large, not {value}"))
}

pub(super) fn size(value: &Value) -> Result<usize, String> {
    match value {
        Value::String(text, _) | Value::Text(text) => parse_size(text),
        other => number(other),
    }
}

pub(super) fn duration(value: &Value) -> Result<Duration, String> {
    match value {
        Value::String(text, _) | Value::Text(text) => parse_duration(text),
        other => Err(format!("must be a duration in quotes, such as \"500ms\" or \"30s\", not {other}")),
    }
}

pub(super) fn word<W: FromStr<Err = String>>(value: &Value) -> Result<W, String> {
    match value {
        Value::String(text, _) | Value::Text(text) => {
            text.parse().map_err(|what| format!("is not valid: {what}"))
        }
        other => Err(format!("must be a text in quotes, not {other}")),
    }
}

pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Boolean(value) => Some(*value),
        Value::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
    .ok_or_else(|| format!("must be true or false, not {value}"))
}

pub(super) fn plain(value: &impl Display) -> String {
    value.to_string()
}

pub(super) fn bytes(value: &usize) -> String {
    show_size(*value)
}

pub(super) fn time(value: &Duration) -> String {
    show_duration(*value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_setting_has_a_key_that_reads_what_it_shows() {
        let defaults = ProjectionSettings::default();
        let text = format!("{defaults:?}");
        let fields = text.matches(": ").count();
        assert_eq!(SETTINGS.len(), fields, "a setting without a key: {text}");
        for key in SETTINGS {
            let mut settings = defaults.clone();
            let shown = (key.show)(&settings);
            (key.set)(&mut settings, &Value::Text(shown.clone()))
                .unwrap_or_else(|what| panic!("{shown} {what}"));
            assert_eq!(settings, defaults, "{}", key.name);
        }
    }

    #[test]
    fn a_wrong_type_is_named_and_a_flag_wins() {
        let keys: BTreeMap<String, Node> = [
            ("batch", Value::String("many".to_owned(), 1)),
            ("max_failures", Value::Integer(-1)),
            ("drain", Value::Integer(3)),
            ("on_failure", Value::String("ignore".to_owned(), 1)),
            ("message_patterns", Value::Integer(1)),
            ("max_batch_bytes", Value::String("4MiB".to_owned(), 1)),
            ("poll_interval", Value::String("5s".to_owned(), 1)),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Node { value, origin: Origin::File(7) }))
        .collect();
        let node = Node { value: Value::Table(keys), origin: Origin::File(6) };
        let mut problems = Problems::new("c");
        let table = Table::of("defaults", &node, &mut problems).unwrap();
        let mut layered = Layered::<ProjectionSettings>::default();
        let poll = SETTINGS.iter().position(|key| key.name == "poll_interval").unwrap();
        layered.origins[poll] = Origin::Flag("--set defaults.poll_interval".to_owned());
        layered.lay(&table, &mut problems);
        assert_eq!(layered.settings.max_batch_bytes, 4 << 20);
        assert_eq!(layered.settings.poll_interval, ProjectionSettings::default().poll_interval);
        let found = problems.into_result::<()>(None).unwrap_err().problems;
        assert_eq!(found.len(), 5, "{found:#?}");
        assert!(found.iter().all(|problem| problem.starts_with("c:7: `defaults.")), "{found:#?}");
    }
}
