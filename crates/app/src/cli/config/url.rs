//! Where a backend is: expanded, resolved, and never printed with its secrets.

use std::fmt;
use std::path::{Path, PathBuf};

use highwater::compose::Address;

use super::node::Origin;
use super::problems::Problems;
use super::server::Server;
use super::shown::Shown;
use super::table::Table;

/// The schemes of PostgreSQL.
pub(super) const POSTGRES: [&str; 2] = ["postgres", "postgresql"];
/// The schemes of Redis.
const REDIS: [&str; 2] = ["redis", "rediss"];

/// The address of a backend. Printing it leaves the secrets out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BackendUrl {
    url: String,
    schema: Option<String>,
    server: Server,
}

impl BackendUrl {
    /// An address.
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), schema: None, server: Server::default() }
    }

    /// The whole URL, secrets included.
    #[cfg(test)]
    pub(crate) fn secret(&self) -> &str {
        &self.url
    }

    /// The whole address, secrets included: for the driver alone.
    pub(crate) fn address(&self) -> Address {
        let address = Address::new(&self.url).schema(self.schema.clone());
        if self.is_postgres() { self.server.at(address) } else { address }
    }

    /// Whether it is a Redis server.
    pub(crate) fn is_redis(&self) -> bool {
        REDIS.contains(&self.scheme())
    }

    fn is_postgres(&self) -> bool {
        POSTGRES.contains(&self.scheme())
    }

    /// What else the backend is told by its table: nothing for a file.
    pub(super) fn rows(&self, table: &Table<'_>, file: &str) -> Vec<Shown> {
        let schema = self.schema.clone().map(|schema| ("schema", schema));
        let server = if self.is_postgres() { self.server.shown() } else { Vec::new() };
        let row = |(key, value): (&str, String)| {
            let origin = table.get(key).map_or(&Origin::Default, |node| &node.origin);
            Shown { key: table.name(key), value, origin: origin.place(file) }
        };
        schema.into_iter().chain(server).map(row).collect()
    }

    /// The scheme: what stands before the first `:`.
    pub(crate) fn scheme(&self) -> &str {
        self.url.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// The file of an SQLite address; `None` for others and for one in memory.
    pub(crate) fn sqlite_file(&self) -> Option<PathBuf> {
        let (path, _) = sqlite_path(&self.url)?;
        (!path.is_empty() && !path.starts_with(":memory:")).then(|| PathBuf::from(path))
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.url))
    }
}

impl fmt::Debug for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", redacted(&self.url))
    }
}

/// Reads `url` or `url_file` of a table. The one from the higher layer wins; both in one layer is a mistake.
pub(crate) fn read(
    table: &Table<'_>,
    folder: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) -> Option<(BackendUrl, Origin)> {
    let layer = |key: &str| table.get(key).map(|node| std::mem::discriminant(&node.origin));
    let rank = |key: &str| table.get(key).map(|node| node.origin.clone());
    if layer("url").is_some() && layer("url") == layer("url_file") {
        let what = format!("give `{}` or `{}`, not both", table.name("url"), table.name("url_file"));
        problems.add(&table.get("url_file")?.origin, what);
        return None;
    }
    let key = if rank("url_file") > rank("url") { "url_file" } else { "url" };
    let origin = rank(key)?;
    let name = table.name(key);
    let text = table.string(key, problems)?;
    let folder = if matches!(origin, Origin::File(_)) { folder } else { Path::new("") };
    let url = if key == "url_file" { from_file(text, folder) } else { expanded(text, variable) };
    match url.and_then(|url| checked(&url, folder)) {
        Ok(url) => {
            let server = Server::read(table, url.is_postgres(), problems);
            let url = with_schema(url, table, problems)?;
            Some((BackendUrl { server, ..url }, origin))
        }
        Err(what) => {
            problems.add(&origin, format!("`{name}` {what}"));
            None
        }
    }
}

/// Only a server with schemas takes one.
fn with_schema(url: BackendUrl, table: &Table<'_>, problems: &mut Problems) -> Option<BackendUrl> {
    let Some(node) = table.get("schema") else { return Some(url) };
    let schema = table.string("schema", problems)?.to_owned();
    if !url.is_postgres() {
        let what = format!("`{}` is for PostgreSQL: remove it", table.name("schema"));
        problems.add(&node.origin, what);
        return None;
    }
    Some(BackendUrl { schema: Some(schema), ..url })
}

fn from_file(text: &str, folder: &Path) -> Result<String, String> {
    let path = folder.join(text);
    std::fs::read_to_string(&path)
        .map(|text| text.trim().to_owned())
        .map_err(|error| format!("names {}, which cannot be read: {error}", path.display()))
}

/// Puts environment variables in the place of `${NAME}`.
pub(super) fn expanded(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut url = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        url.push_str(before);
        let (name, after) = behind.split_once('}').ok_or("has a `${` without a `}`")?;
        let value = variable(name).ok_or_else(|| {
            format!("names the environment variable {name}, which is not set (or is not UTF-8)")
        })?;
        url.push_str(&value);
        rest = after;
    }
    url.push_str(rest);
    Ok(url)
}

fn checked(url: &str, folder: &Path) -> Result<BackendUrl, String> {
    let url = url.trim();
    if url.is_empty() {
        return Err("is empty".to_owned());
    }
    if !url.contains(':') {
        return Err("has no scheme: write, for example, sqlite:events.db".to_owned());
    }
    let Some((path, query)) = sqlite_path(url) else { return Ok(BackendUrl::new(url)) };
    if path.is_empty() || path.starts_with(":memory:") || folder.as_os_str().is_empty() {
        return Ok(BackendUrl::new(url));
    }
    let path = folder.join(path);
    let path = path.to_str().ok_or("stands in a folder whose name is not UTF-8")?;
    Ok(BackendUrl::new(&format!("sqlite:{path}{query}")))
}

/// The path and the query (with its `?`) of an SQLite address.
fn sqlite_path(url: &str) -> Option<(&str, &str)> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    Some(path.find('?').map_or((path, ""), |query| path.split_at(query)))
}

/// An address with `***` in the place of passwords and tokens. It rather hides too much: everything between
/// the first `:` of the user and the last `@` goes, since passwords with odd characters are often not
/// escaped.
pub(crate) fn redacted(url: &str) -> String {
    let (base, query) = url.find('?').map_or((url, ""), |query| url.split_at(query));
    // A password may contain the `?`, too.
    let (base, query) = if query.contains('@') { (url, "") } else { (base, query) };
    let base = match base.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((user, host)) => match user.split_once(':') {
                Some((user, _)) => format!("{scheme}://{user}:***@{host}"),
                None => format!("{scheme}://{user}@{host}"),
            },
            None => base.to_owned(),
        },
        None => base.to_owned(),
    };
    let mut shown = base;
    for (n, pair) in query.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty()).enumerate() {
        shown.push(if n == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((key, _)) if is_secret(key) => {
                shown.push_str(key);
                shown.push_str("=***");
            }
            _ => shown.push_str(pair),
        }
    }
    shown
}

fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["pass", "pwd", "secret", "token", "credential"].iter().any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_printed() {
        for (url, shown) in [
            ("postgres://u:secret@host/db", "postgres://u:***@host/db"),
            ("postgres://u:se/c?r@et@host/db", "postgres://u:***@host/db"),
            ("redis://:secret@host", "redis://:***@host"),
            (
                "postgres://u@host/db?password=secret&sslmode=require",
                "postgres://u@host/db?password=***&sslmode=require",
            ),
            ("sqlite:a.db", "sqlite:a.db"),
            ("esdb://admin:secret@a:2113,b:2113?tls=false", "esdb://admin:***@a:2113,b:2113?tls=false"),
        ] {
            assert_eq!(redacted(url), shown);
            assert_eq!(BackendUrl::new(url).to_string(), shown);
            assert!(!format!("{:?}", BackendUrl::new(url)).contains("secret"));
        }
    }

    #[test]
    fn variables_are_expanded_and_a_missing_one_is_named() {
        let variable = |name: &str| (name == "PW").then(|| "x y".to_owned());
        assert_eq!(expanded("postgres://u:${PW}@h/${PW}", &variable).unwrap(), "postgres://u:x y@h/x y");
        assert!(expanded("${OTHER}", &variable).unwrap_err().contains("OTHER"));
        assert!(expanded("${PW", &variable).unwrap_err().contains("without"));
    }

    #[test]
    fn relative_paths_resolve_against_the_file() {
        let at = |url: &str| checked(url, Path::new("/etc/hw")).unwrap().url;
        assert_eq!(at("sqlite:a.db"), "sqlite:/etc/hw/a.db");
        assert_eq!(at("sqlite://a.db?mode=ro"), "sqlite:/etc/hw/a.db?mode=ro");
        assert_eq!(at("sqlite:/var/a.db"), "sqlite:/var/a.db");
        assert_eq!(at("sqlite::memory:"), "sqlite::memory:");
        assert_eq!(at("postgres://h/db"), "postgres://h/db");
        assert_eq!(checked("sqlite:a.db", Path::new("")).unwrap().url, "sqlite:a.db");
        assert_eq!(BackendUrl::new("sqlite:a.db?x=1").sqlite_file(), Some(PathBuf::from("a.db")));
        assert_eq!(BackendUrl::new("sqlite::memory:").sqlite_file(), None);
        assert!(checked("events.db", Path::new("")).unwrap_err().contains("scheme"));
    }
}
