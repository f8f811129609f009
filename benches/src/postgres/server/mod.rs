//! The server that is measured: one of our own with the durability that it ships with, or one that is named.

mod account;
mod binaries;
mod cluster;
mod proxy;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::str::FromStr;

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::binaries::Binaries;
use self::cluster::Cluster;
use self::proxy::{Proxy, Target};
use crate::postgres::Options;

pub(crate) use self::proxy::DELAY;

/// The server that `cargo xtask` names.
const URL: &str = "HIGHWATER_TEST_POSTGRES_URL";

/// How statements get to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Route {
    /// The server's own socket
    Local,
    /// A proxy that adds 250 us each way
    Proxy,
}

/// Where a server comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// We start one.
    Programs(Binaries),
    /// It is there.
    Given(String),
}

/// Finds a server, or says why there is none.
pub(crate) fn find(options: &Options) -> Result<Source, String> {
    if let Some(url) = &options.postgres_url {
        return Ok(Source::Given(url.clone()));
    }
    if let Some(binaries) = Binaries::find() {
        return Ok(Source::Programs(binaries));
    }
    match env::var(URL) {
        Ok(url) if !url.is_empty() => Ok(Source::Given(url)),
        _ => Err("no server programs here: install PostgreSQL 15 or later, or name a server with \
                  --postgres-url"
            .to_owned()),
    }
}

/// A server that answers. A server of our own stops, and its databases go, when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    base: PgConnectOptions,
    proxy: Proxy,
    /// What the names of databases begin with: on a server that others use, too, they must be ours.
    prefix: String,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    cluster: Cluster,
    binaries: Binaries,
    _folder: TempDir,
}

impl Server {
    /// Starts the server, or connects to the one that is there.
    ///
    /// # Errors
    /// What the server's programs say, or why nobody answers.
    pub(crate) fn start(runtime: &Runtime, source: Source, folder: TempDir) -> anyhow::Result<Self> {
        let (base, own) = match source {
            Source::Given(url) => {
                (PgConnectOptions::from_str(&url).context("read the address of the server")?, None)
            }
            Source::Programs(binaries) => {
                eprintln!("starting a server in {}", folder.path().display());
                let mut cluster = Cluster::start(&binaries, folder.path())?;
                let base = PgConnectOptions::new_without_pgpass()
                    .socket(cluster.socket())
                    .username(cluster::USER)
                    .database("postgres");
                let answers = || runtime.block_on(PgConnection::connect_with(&base)).is_ok();
                cluster.wait(answers)?;
                (base, Some(Own { cluster, binaries, _folder: folder }))
            }
        };
        let target = match base.get_socket() {
            Some(socket) => Target::Socket(socket.join(format!(".s.PGSQL.{}", base.get_port()))),
            None => Target::Tcp(base.get_host().to_owned(), base.get_port()),
        };
        let prefix = if own.is_some() { "bench".to_owned() } else { format!("hwbench_{}", process::id()) };
        Ok(Self { base, proxy: Proxy::start(target)?, prefix, own })
    }

    /// The address of a database.
    pub(crate) fn url(&self, database: &str, route: Route) -> String {
        self.connect_options(database, route).to_url_lossy().to_string()
    }

    fn connect_options(&self, database: &str, route: Route) -> PgConnectOptions {
        let options = self.base.clone().database(&format!("{}_{database}", self.prefix));
        match route {
            Route::Local => options,
            Route::Proxy => tcp(&options, self.proxy.port()),
        }
    }

    /// A connection to a database.
    ///
    /// # Errors
    /// When nobody answers.
    pub(crate) async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        let options = self.connect_options(database, Route::Local);
        PgConnection::connect_with(&options)
            .await
            .with_context(|| format!("connect to the database {database}"))
    }

    /// Makes a database, or an empty one out of it if it is there.
    ///
    /// # Errors
    /// When the server does not let us.
    pub(crate) async fn create(&self, database: &str) -> anyhow::Result<()> {
        self.drop_database(database).await?;
        self.on_server(format!(
            "CREATE DATABASE {}_{database} TEMPLATE template0 ENCODING 'UTF8'",
            self.prefix
        ))
        .await
    }

    /// Drops a database, if it is there, whoever uses it.
    ///
    /// # Errors
    /// When the server does not let us.
    pub(crate) async fn drop_database(&self, database: &str) -> anyhow::Result<()> {
        self.on_server(format!("DROP DATABASE IF EXISTS {}_{database} WITH (FORCE)", self.prefix)).await
    }

    /// Sets what sessions of a database begin with.
    ///
    /// # Errors
    /// When the server does not let us.
    pub(crate) async fn set(&self, database: &str, setting: &str) -> anyhow::Result<()> {
        self.on_server(format!("ALTER DATABASE {}_{database} SET {setting}", self.prefix)).await
    }

    /// Drops what is left of our databases on a server that goes on without us.
    ///
    /// # Errors
    /// When the server does not let us.
    pub(crate) async fn drop_all(&self) -> anyhow::Result<()> {
        if self.own.is_some() {
            return Ok(());
        }
        let mut conn = PgConnection::connect_with(&self.base).await.context("connect to the server")?;
        let names: Vec<String> =
            sqlx::query_scalar("SELECT datname FROM pg_database WHERE starts_with(datname, $1)")
                .bind(format!("{}_", self.prefix))
                .fetch_all(&mut conn)
                .await?;
        for name in names {
            self.on_server(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        }
        Ok(())
    }

    async fn on_server(&self, sql: String) -> anyhow::Result<()> {
        let mut conn = PgConnection::connect_with(&self.base).await.context("connect to the server")?;
        sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut conn).await.context(sql)?;
        conn.close().await?;
        Ok(())
    }

    /// What the server says a setting is.
    ///
    /// # Errors
    /// When nobody answers, or there is no such setting.
    pub(crate) async fn setting(&self, name: &str) -> anyhow::Result<String> {
        let mut conn = PgConnection::connect_with(&self.base).await.context("connect to the server")?;
        let value = sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut conn).await;
        value.with_context(|| format!("ask for the setting {name}"))
    }

    /// Settings that we gave to a server of our own.
    pub(crate) fn given_settings(&self) -> &'static [&'static str] {
        if self.own.is_some() { &cluster::SETTINGS } else { &[] }
    }

    /// The first process of a server of our own.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.own.as_ref().map(|own| own.cluster.pid())
    }

    /// What a server of our own has written to its log so far.
    ///
    /// # Errors
    /// An I/O error.
    pub(crate) fn log(&self) -> anyhow::Result<Option<String>> {
        let Some(own) = &self.own else { return Ok(None) };
        let path = own.cluster.log();
        let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The marker of a database's lines in that log.
    pub(crate) fn in_log(&self, database: &str) -> String {
        format!("{}_{database} LOG:  ", self.prefix)
    }

    /// pgbench, and how it connects to a database; only for a server of our own.
    pub(crate) fn pgbench(&self, database: &str) -> Option<(PathBuf, Vec<String>)> {
        let own = self.own.as_ref()?;
        let socket: &Path = own.cluster.socket();
        let words =
            ["-h", socket.to_str()?, "-p", cluster::PORT, "-U", cluster::USER].map(str::to_owned).into_iter();
        Some((own.binaries.pgbench()?, words.chain([format!("{}_{database}", self.prefix)]).collect()))
    }
}

/// The same by TCP on this machine.
fn tcp(options: &PgConnectOptions, port: u16) -> PgConnectOptions {
    if options.get_socket().is_none() {
        return options.clone().host("127.0.0.1").port(port);
    }
    // A socket wins over a host, and there is no way to take it out again; in a URL it stands where a host
    // would.
    let mut url = options.to_url_lossy();
    url.set_host(Some("127.0.0.1")).expect("an address of a server has a host");
    url.set_port(Some(port)).expect("an address of a server has a port");
    PgConnectOptions::from_url(&url).expect("options are a URL, and the other way round")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_through_the_proxy_leaves_the_rest_as_it_is() {
        for url in ["postgres://me:secret@%2Frun%2Fpg:5433/shop", "postgres://me:secret@db.example:5433/shop"]
        {
            let options = tcp(&PgConnectOptions::from_str(url).expect("an address"), 7_000);
            let url = options.to_url_lossy();
            assert!(url.as_str().starts_with("postgres://me:secret@127.0.0.1:7000/shop?"), "{url}");
        }
    }
}
