//! One `[[handler]]`.

use highwater::compose::{HandlerSpec, SinkSpec};
use highwater_core::model::{Filter, Pattern};
use highwater_core::settings::CatchUpSettings;

use super::durations::show_duration;
use super::node::{Node, Origin};
use super::problems::Problems;
use super::projection::{list, name, path};
use super::settings::{Keyed, Layered};
use super::shown::Shown;
use super::sink::{self, Reading, SINKS};
use super::table::Table;

const OWN_KEYS: [&str; 3] = ["name", "types", "streams"];

/// The names of the settings of a handler.
pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    CatchUpSettings::KEYS.iter().map(|key| key.name)
}

/// A handler of the config.
#[derive(Debug, Clone)]
pub(crate) struct HandlerConfig {
    /// What is started.
    pub(crate) spec: HandlerSpec,
    /// Where its name stands.
    pub(super) origin: Origin,
    /// Its effective values.
    pub(super) shown: Vec<Shown>,
}

/// Reads the `index`-th handler over the settings of `[handler_defaults]`.
pub(super) fn read(
    index: usize,
    node: &Node,
    defaults: &Layered<CatchUpSettings>,
    with: &Reading<'_>,
    problems: &mut Problems,
) -> Option<HandlerConfig> {
    let path = path("handler", index, node);
    let table = Table::of(&path, node, problems)?;
    table.finish(OWN_KEYS.into_iter().chain(SINKS).chain(names()), problems);
    let name = name(&table, "[[handler]]", problems);
    let origin = table.get("name").map_or_else(|| table.origin().clone(), |node| node.origin.clone());
    let mut patterns = |key: &str| {
        let texts = table.strings(key, problems).unwrap_or_default();
        texts.into_iter().map(Pattern::parse).collect::<Vec<_>>()
    };
    let filter = Filter { types: patterns("types"), streams: patterns("streams"), ..Filter::all() };
    let sink = sink::read(&table, with, problems);
    let mut layered = defaults.clone();
    layered.lay(&table, problems);
    if let Some(sink) = &sink {
        fit(&table, sink, &mut layered, problems);
    }
    layered.validate(&path, problems);
    let spec = HandlerSpec { name: name?, filter, sink: sink?, settings: layered.settings.clone() };
    let shown = shown(&table, &spec, &layered, problems.file());
    Some(HandlerConfig { spec, origin, shown })
}

/// What the sink has to do with the runner: a batch of the sink is filled by the runner's, and the sink's time-out,
/// which can say what was waited for, is to be met first.
fn fit(table: &Table<'_>, sink: &SinkSpec, layered: &mut Layered<CatchUpSettings>, problems: &mut Problems) {
    let (key, timeout) = match sink {
        SinkSpec::Http(http) => ("http", http.timeout),
        SinkSpec::Exec(exec) => ("exec", exec.timeout),
        SinkSpec::Stdout => return,
    };
    let Some(node) = table.get(key) else { return };
    let limit = layered.settings.handler_timeout;
    if timeout >= limit {
        let what = format!(
            "`{}` is {}: it must be shorter than `handler_timeout`, which is {}",
            table.name(&format!("{key}.timeout")),
            show_duration(timeout),
            show_duration(limit)
        );
        problems.add(&node.origin, what);
    }
    let place = CatchUpSettings::KEYS.iter().position(|key| key.name == "batch");
    if let SinkSpec::Http(http) = sink
        && let Some(batch) = http.batch
        && let Some(origin) = place.and_then(|place| layered.origins.get_mut(place))
        && *origin == Origin::Default
    {
        layered.settings.batch = batch.max_events;
        *origin = node.origin.clone();
    }
}

fn shown(
    table: &Table<'_>,
    spec: &HandlerSpec,
    layered: &Layered<CatchUpSettings>,
    file: &str,
) -> Vec<Shown> {
    let row = |key: &str, value: String, origin: &Origin| Shown {
        key: table.name(key),
        value,
        origin: origin.place(file),
    };
    let origin_of = |key: &str| table.get(key).map_or(Origin::Default, |node| node.origin.clone());
    let mut rows = vec![
        row("types", list(&spec.filter.types), &origin_of("types")),
        row("streams", list(&spec.filter.streams), &origin_of("streams")),
    ];
    for (key, value) in sink::shown(&spec.sink) {
        let mut parts = key.split('.');
        let sink = parts.next().unwrap_or_default();
        let inner = parts.next().map(|inner| {
            let table = table.table(sink, &mut Problems::new(file));
            table.and_then(|table| table.get(inner).map(|node| node.origin.clone()))
        });
        let origin = inner.unwrap_or_else(|| Some(origin_of(sink))).unwrap_or(Origin::Default);
        rows.push(row(key, value, &origin));
    }
    for (key, origin) in CatchUpSettings::KEYS.iter().zip(&layered.origins) {
        rows.push(row(key.name, (key.show)(&layered.settings), origin));
    }
    rows
}
