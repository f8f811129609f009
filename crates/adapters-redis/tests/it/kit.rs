//! A place of its own for each test: a prefix that nobody else uses, cleared afterwards.

use std::time::Duration;

use highwater_core::model::Position;
use highwater_core::policy::Class;
use highwater_core::ports::HandlerLetter;
use highwater_redis::redis::{self, Client, Cmd, Connection, FromRedisValue};
use highwater_redis::{Redis, RedisCheckpoints, RedisOptions};
use highwater_testkit::fixtures::event;

/// The server's address; tests that need one are skipped, visibly, where it is unset.
const URL: &str = "HIGHWATER_TEST_REDIS_URL";
/// Far more than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);
/// A lease that does not run out.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

/// A prefix of a server.
pub(crate) struct Place {
    url: String,
    prefix: String,
    /// Whether others use the server as well.
    shared: bool,
}

impl Place {
    /// `None` where there is no server; the test is then skipped, or fails where backends are required.
    pub(crate) fn new() -> Option<Self> {
        let url = std::env::var(URL).ok().filter(|url| !url.is_empty());
        let Some(url) = url else {
            missing(&format!("{URL} is not set"));
            return None;
        };
        let mut place = Self::at(&url);
        place.shared = true;
        Some(place)
    }

    /// In a server that ends with the test.
    pub(crate) fn at(url: &str) -> Self {
        Self { url: url.to_owned(), prefix: format!("t_{}:", uuid::Uuid::now_v7().simple()), shared: false }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn options(&self) -> RedisOptions {
        RedisOptions::default().prefix(&self.prefix)
    }

    /// Another handle each time, sharing nothing with the others, as another process would have.
    pub(crate) async fn redis(&self) -> Redis {
        Redis::open(&self.url, &self.options()).await.expect("the server answers")
    }

    pub(crate) async fn checkpoints(&self) -> RedisCheckpoints {
        RedisCheckpoints::new(&self.redis().await)
    }

    /// The name of a checkpoint in the server.
    pub(crate) fn name(&self, key: &str) -> String {
        format!("{}{{highwater}}:checkpoint:{key}", self.prefix)
    }

    pub(crate) fn registry(&self) -> String {
        format!("{}{{highwater}}:registry", self.prefix)
    }

    /// The server as somebody sees it who knows nothing of us.
    pub(crate) fn raw<T: FromRedisValue>(&self, command: &mut Cmd) -> T {
        command.query(&mut raw(&self.url)).expect("the server answers")
    }

    /// How often each command was called.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let stats: String = self.raw(redis::cmd("INFO").arg("commandstats"));
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
        line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().expect("a number"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.shared {
            return;
        }
        let clear = || -> redis::RedisResult<()> {
            let mut connection = Client::open(self.url.as_str())?.get_connection_with_timeout(SOON)?;
            let names: Vec<Vec<u8>> = redis::cmd("SCAN")
                .cursor_arg(0)
                .arg("MATCH")
                .arg(format!("{}*", self.prefix))
                .arg("COUNT")
                .arg(10_000)
                .clone()
                .iter(&mut connection)?
                .collect::<redis::RedisResult<_>>()?;
            names.chunks(1000).try_for_each(|names| redis::cmd("UNLINK").arg(names).exec(&mut connection))
        };
        if let Err(error) = clear() {
            eprintln!("the keys of {} stay behind: {error}", self.prefix);
        }
    }
}

pub(crate) fn raw(url: &str) -> Connection {
    let client = Client::open(url).expect("an address");
    client.get_connection_with_timeout(SOON).expect("a connection")
}

pub(crate) fn at(commit: u64) -> Position {
    Position::new(commit, 0)
}

/// The dead letter of the n-th event.
pub(crate) fn letter(n: u64) -> HandlerLetter {
    HandlerLetter {
        group: "billing".to_owned(),
        generation: 0,
        event: event(n, "Billed", "bill-1"),
        class: Class::Permanent,
        message: "no such customer".to_owned(),
        attempts: 1,
    }
}

/// Says that a test cannot be made here.
pub(crate) fn missing(what: &str) {
    assert!(
        std::env::var_os("REQUIRE_BACKENDS").is_none(),
        "backends are required and {what}: run `cargo xtask test`"
    );
    eprintln!("skipped: {what}");
}
