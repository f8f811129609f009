//! From the layers to a config.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use highwater::compose::{Address, HandlerSpecs};
use highwater_core::model::ProjectionName;
use highwater_core::settings::CatchUpSettings;

use super::checkpoints::{self, CheckpointsConfig};
use super::document;
use super::handler::{self, HandlerConfig};
use super::layers::{lay_environment, lay_flags};
use super::node::{Node, Origin, Value};
use super::problems::{ConfigError, Problems};
use super::projection::{self, ProjectionConfig};
use super::server;
use super::settings::{Layered, names};
use super::shown::Shown;
use super::sink::Reading;
use super::table::Table;
use super::url::{self, BackendUrl};

/// The config file where none is named.
pub(crate) const DEFAULT_FILE: &str = "highwater.toml";

/// Logs that can keep read models, too.
const SQL_SCHEMES: [&str; 3] = ["sqlite", "postgres", "postgresql"];

/// What a config is read from.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigSource {
    /// The file that was named; `None` = [`DEFAULT_FILE`], which may be missing if the log's address is
    /// given.
    pub(crate) file: Option<PathBuf>,
    /// `key=value` of each `--set`.
    pub(crate) flags: Vec<String>,
    /// The environment.
    pub(crate) variables: Vec<(String, String)>,
}

/// Whether our own schema is migrated at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MigrateMode {
    /// Yes: the default.
    Auto,
    /// Only by `highwater migrate`.
    Manual,
}

impl MigrateMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Manual => "manual",
        }
    }
}

/// A config in which everything is valid.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The log.
    pub(crate) log: BackendUrl,
    /// The store of the read models.
    pub(crate) store: BackendUrl,
    /// Whether our own schema is migrated at start.
    pub(crate) migrate: MigrateMode,
    /// Where metrics and health are served; nowhere, if it is not said.
    pub(crate) listen: Option<SocketAddr>,
    /// The projections, in the order of the file.
    pub(crate) projections: Vec<ProjectionConfig>,
    /// Where handlers keep their checkpoints.
    pub(crate) checkpoints: CheckpointsConfig,
    /// The handlers, in the order of the file.
    pub(crate) handlers: Vec<HandlerConfig>,
    /// All effective values with their origins.
    pub(crate) shown: Vec<Shown>,
}

impl Config {
    /// A projection by name.
    pub(crate) fn projection(&self, name: &ProjectionName) -> Option<&ProjectionConfig> {
        self.projections.iter().find(|projection| projection.spec.name == *name)
    }

    /// A handler by name.
    pub(crate) fn handler(&self, name: &ProjectionName) -> Option<&HandlerConfig> {
        self.handlers.iter().find(|handler| handler.spec.name == *name)
    }

    /// Where handlers keep their checkpoints, if that is not the store.
    pub(crate) fn checkpoints_address(&self) -> Option<Address> {
        let url = self.checkpoints.url.as_ref()?;
        Some(url.address().prefix(self.checkpoints.prefix.clone()))
    }

    /// The handlers as they are started: those in `only`, or all where it is empty.
    pub(crate) fn handler_specs(&self, only: &[ProjectionName]) -> HandlerSpecs {
        let specs = self.handlers.iter().map(|handler| handler.spec.clone());
        HandlerSpecs {
            handlers: specs.filter(|spec| only.is_empty() || only.contains(&spec.name)).collect(),
            persistence: self.checkpoints.persistence.clone(),
            lease: self.checkpoints.lease,
        }
    }
}

/// Reads the layers.
///
/// # Errors
/// All that is wrong, each with its place.
pub(crate) fn load(source: &ConfigSource) -> Result<Config, ConfigError> {
    let path = source.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
    let shown_path = path.display().to_string();
    let mut problems = Problems::new(&shown_path);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && source.file.is_none() => String::new(),
        Err(error) => return Err(ConfigError::one(format!("{shown_path} cannot be read: {error}"))),
    };
    let missing = text.is_empty() && source.file.is_none() && !path.exists();
    let Some(mut tree) = document::parse(&text, &mut problems) else { return problems.into_result(None) };
    lay_environment(&mut tree, source.variables.iter().cloned(), &mut problems);
    lay_flags(&mut tree, &source.flags, &mut problems);
    if missing && !tree.contains_key("log") {
        return Err(ConfigError::one(format!(
            "there is no {DEFAULT_FILE} in this folder: name one with --config, or write one with \
             `highwater init`"
        )));
    }
    let variables: BTreeMap<&str, &str> =
        source.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let folder = path.parent().unwrap_or(Path::new(""));
    let config = read(&tree, folder, &variable, &mut problems);
    problems.into_result(config)
}

fn read(
    tree: &BTreeMap<String, Node>,
    folder: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Option<Config> {
    let top = Table::top(tree);
    top.finish(
        [
            "migrate",
            "log",
            "store",
            "defaults",
            "http",
            "projection",
            "checkpoints",
            "handler_defaults",
            "handler",
        ],
        problems,
    );
    let (migrate, migrate_origin) = migrate(&top, problems);

    let log = backend(&top, "log", folder, variable, problems);
    let store = backend(&top, "store", folder, variable, problems);
    if top.get("log").is_none() {
        problems.add(
            &Origin::Default,
            "`log.url` is missing: where the events are, such as \"sqlite:events.db\"",
        );
    }
    let store = match (&log, top.get("store").is_some()) {
        (_, true) => store,
        (Some((log, _)), false) if SQL_SCHEMES.contains(&log.scheme()) => {
            Some((log.clone(), Origin::Default))
        }
        (Some((log, origin)), false) => {
            let what = format!(
                "`store.url` is missing: a log at {}: cannot keep read models, so name an SQL database",
                log.scheme()
            );
            problems.add(origin, what);
            None
        }
        (None, false) => None,
    };

    let mut defaults = Layered::default();
    if let Some(table) = top.table("defaults", problems) {
        table.finish(names(), problems);
        defaults.lay(&table, problems);
        defaults.validate("defaults", problems);
    }
    let projections = projections(&top, &defaults, folder, problems);

    let checkpoints = checkpoints::read(&top, store.as_ref().map(|(url, _)| url), folder, variable, problems);
    let handlers = handlers(&top, &Reading { folder, variable }, &projections, problems);

    let listen = listen(&top, problems);

    let ((log, log_origin), (store, store_origin)) = (log?, store?);
    let file = problems.file().to_owned();
    let row = |key: &str, value: String, origin: &Origin| Shown {
        key: key.to_owned(),
        value,
        origin: origin.place(&file),
    };
    let store_place = match store_origin {
        Origin::Default => Shown {
            origin: "default (the log's)".to_owned(),
            ..row("store.url", store.to_string(), &store_origin)
        },
        _ => row("store.url", store.to_string(), &store_origin),
    };
    let mut shown = vec![
        row("migrate", migrate.as_str().to_owned(), &migrate_origin),
        row("log.url", log.to_string(), &log_origin),
        store_place,
    ];
    for (name, url) in [("log", &log), ("store", &store)] {
        // A store that is the log's database is told nothing of its own.
        let Some(table) = top.table(name, problems) else { continue };
        shown.extend(url.rows(&table, &file));
    }
    let (listen, listen_origin) = listen;
    let listen_text = listen.map_or_else(|| "nowhere".to_owned(), |at| at.to_string());
    shown.push(row("http.listen", listen_text, &listen_origin));
    shown.extend(projections.iter().flat_map(|projection| projection.shown.iter().cloned()));
    if !handlers.is_empty() || top.get("checkpoints").is_some() {
        shown.extend(checkpoints.shown.iter().cloned());
    }
    shown.extend(handlers.iter().flat_map(|handler| handler.shown.iter().cloned()));
    Some(Config { log, store, migrate, listen, projections, checkpoints, handlers, shown })
}

fn backend(
    top: &Table<'_>,
    key: &str,
    folder: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Option<(BackendUrl, Origin)> {
    let table = top.table(key, problems)?;
    table.finish(["schema", "url", "url_file"].into_iter().chain(server::KEYS), problems);
    if table.get("url").is_none() && table.get("url_file").is_none() {
        problems.add(table.origin(), format!("`{key}` needs `url` or `url_file`"));
        return None;
    }
    url::read(&table, folder, variable, problems)
}

fn migrate(top: &Table<'_>, problems: &mut Problems) -> (MigrateMode, Origin) {
    let origin = top.get("migrate").map_or(Origin::Default, |node| node.origin.clone());
    let mode = match top.string("migrate", problems) {
        None | Some("auto") => MigrateMode::Auto,
        Some("manual") => MigrateMode::Manual,
        Some(other) => {
            problems.add(&origin, format!("`migrate` must be \"auto\" or \"manual\", not {other:?}"));
            MigrateMode::Auto
        }
    };
    (mode, origin)
}

/// Where metrics and health are served.
fn listen(top: &Table<'_>, problems: &mut Problems) -> (Option<SocketAddr>, Origin) {
    let Some(table) = top.table("http", problems) else { return (None, Origin::Default) };
    table.finish(["listen"], problems);
    let Some(node) = table.get("listen") else {
        problems.add(table.origin(), "`http` needs `listen`, such as \"127.0.0.1:9464\"");
        return (None, Origin::Default);
    };
    let parsed = table.string("listen", problems).and_then(|text| match text.parse() {
        Ok(at) => Some(at),
        Err(_) => {
            let what = format!(
                "`http.listen` must be an address and a port, such as \"127.0.0.1:9464\", not {text:?}"
            );
            problems.add(&node.origin, what);
            None
        }
    });
    (parsed, node.origin.clone())
}

fn projections(
    top: &Table<'_>,
    defaults: &Layered,
    folder: &Path,
    problems: &mut Problems,
) -> Vec<ProjectionConfig> {
    let Some(node) = top.get("projection") else { return Vec::new() };
    let Value::Array(nodes) = &node.value else {
        problems.add(&node.origin, "write [[projection]], with two brackets: there may be several");
        return Vec::new();
    };
    let mut projections: Vec<ProjectionConfig> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(next) = projection::read(index, node, defaults, folder, problems) else { continue };
        match projections.iter().find(|earlier| earlier.spec.name == next.spec.name) {
            Some(earlier) => {
                let place = earlier.origin.place(problems.file());
                let what = format!("there is a projection `{}` already, at {place}", next.spec.name);
                problems.add(&next.origin, what);
            }
            None => projections.push(next),
        }
    }
    projections
}

/// The handlers over the settings of `[handler_defaults]`. Names are unlike those of projections, since commands take
/// either.
fn handlers(
    top: &Table<'_>,
    with: &Reading<'_>,
    projections: &[ProjectionConfig],
    problems: &mut Problems,
) -> Vec<HandlerConfig> {
    let mut defaults = Layered::<CatchUpSettings>::default();
    if let Some(table) = top.table("handler_defaults", problems) {
        table.finish(handler::names(), problems);
        defaults.lay(&table, problems);
        defaults.validate("handler_defaults", problems);
    }
    let Some(node) = top.get("handler") else { return Vec::new() };
    let Value::Array(nodes) = &node.value else {
        problems.add(&node.origin, "write [[handler]], with two brackets: there may be several");
        return Vec::new();
    };
    let mut handlers: Vec<HandlerConfig> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let Some(next) = handler::read(index, node, &defaults, with, problems) else { continue };
        let name = &next.spec.name;
        let projection = projections.iter().find(|earlier| earlier.spec.name == *name);
        let projection = projection.map(|earlier| ("projection", &earlier.origin));
        let handler = handlers.iter().find(|earlier| earlier.spec.name == *name);
        match projection.or_else(|| handler.map(|earlier| ("handler", &earlier.origin))) {
            Some((kind, origin)) => {
                let place = origin.place(problems.file());
                problems.add(&next.origin, format!("there is a {kind} `{name}` already, at {place}"));
            }
            None => handlers.push(next),
        }
    }
    handlers
}
