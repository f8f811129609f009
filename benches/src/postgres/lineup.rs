//! The contestants: what each runs, on which stretch of the log, and what must come out.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use highwater::OnFailure;
use tokio::runtime::Runtime;

use crate::measure::{Contestant, Turn, timed};
use crate::postgres::baseline::{self, Guard};
use crate::postgres::contestants::{self, Run, Way};
use crate::postgres::logs::{Log, Place, Stretch};
use crate::postgres::plan::{self, Comparison, Setting};
use crate::postgres::read_model::{APPLY, Expected, FailedIn, ON_SOLD, SCHEMA, UNNEST, UPSERT, reset};
use crate::postgres::server::{Route, Server};

/// The database of read models whose log is in another one.
pub(crate) const ELSEWHERE: &str = "store";

/// Puts contestants together.
pub(crate) struct Lineup<'b> {
    pub(crate) runtime: &'b Runtime,
    pub(crate) server: &'b Server,
    pub(crate) folder: &'b Path,
    pub(crate) log: Log,
    pub(crate) setting: Setting,
    /// What must come out of a stretch, by where it begins: computed once.
    known: RefCell<Vec<(Place, Rc<Expected>)>>,
}

impl<'b> Lineup<'b> {
    pub(crate) fn new(
        runtime: &'b Runtime,
        server: &'b Server,
        folder: &'b Path,
        log: Log,
        setting: Setting,
    ) -> Self {
        Self { runtime, server, folder, log, setting, known: RefCell::default() }
    }

    /// Those that the comparisons need, and the start and stop that is part of every rate of the product.
    /// pgbench is left out where it is not to be had.
    ///
    /// # Errors
    /// When it cannot be computed what must come out.
    pub(crate) fn contestants(&self, comparisons: &[Comparison]) -> anyhow::Result<Vec<Contestant<'b>>> {
        let pgbench = self.server.pgbench(self.log.database);
        // The clean one is on another log.
        let is_ours = |name: &str| name != plan::APPLY_CLEAN && (name != plan::PGBENCH || pgbench.is_some());
        let names = plan::names(comparisons).into_iter().filter(|name| is_ours(name));
        let mut contestants = vec![self.product(plan::IDLE, Way::Apply, OnFailure::default())?];
        for name in names {
            let contestant = self.contestant(name, pgbench.as_ref()).with_context(|| name.to_owned())?;
            contestants.push(contestant);
        }
        Ok(contestants)
    }

    /// `apply` on a log without a bad event.
    ///
    /// # Errors
    /// When it cannot be computed what must come out.
    pub(crate) fn clean_apply(&self) -> anyhow::Result<Contestant<'b>> {
        self.product(plan::APPLY_CLEAN, Way::Apply, OnFailure::default())
    }

    /// The product's rebuild, its start and stop alone, and the rebuild by hand.
    ///
    /// # Errors
    /// When it cannot be computed what must come out.
    pub(crate) fn rebuilds(&self) -> anyhow::Result<Vec<Contestant<'b>>> {
        let (runtime, server, log) = (self.runtime, self.server, self.log);
        let url = server.url(log.database, self.setting.route);
        let expected = self.expected(log.all())?;
        let contestant = |name: &'static str, sql: Vec<&'static str>, by_hand: bool| {
            let (url, expected) = (url.clone(), expected.clone());
            let turn: Turn<'b> = Box::new(move || {
                runtime.block_on(async {
                    reset(server, log.database).await?;
                    if by_hand {
                        baseline::prepare_whole(&url, &log).await
                    } else {
                        contestants::prepare_rebuild(&url, &log).await
                    }
                })?;
                let seconds = if by_hand {
                    runtime.block_on(baseline::whole(&url))?
                } else {
                    timed(|| runtime.block_on(contestants::rebuild(&url, &log)))?
                };
                runtime
                    .block_on(expected.check(server, log.database, None))
                    .context("the result is wrong")?;
                Ok(seconds)
            });
            Contestant { name, events: log.events, sql, turn }
        };
        Ok(vec![
            self.product(plan::IDLE, Way::Apply, OnFailure::default())?,
            contestant(plan::REBUILD, vec![SCHEMA, APPLY], false),
            contestant(plan::WHOLE, baseline::WHOLE_SQL.to_vec(), true),
        ])
    }

    fn contestant(
        &self,
        name: &'static str,
        pgbench: Option<&(PathBuf, Vec<String>)>,
    ) -> anyhow::Result<Contestant<'b>> {
        let default = OnFailure::default();
        match name {
            plan::APPLY | plan::APPLY_ELSEWHERE | plan::APPLY_POISONED => {
                self.product(name, Way::Apply, default)
            }
            plan::APPLY_POISONED_RECORD => self.product(name, Way::Apply, OnFailure::RecordAndContinue),
            plan::ON | plan::ON_POISONED => self.product(name, Way::On, default),
            plan::RUST => self.product(name, Way::Rust, default),
            plan::RUST_BATCH | plan::RUST_BATCH_POISONED => self.product(name, Way::RustBatch, default),
            plan::LIMIT => self.plain(name, &baseline::LIMIT_SQL, None, |run| {
                run.runtime.block_on(baseline::limit(run.url, run.stretch, run.batch))
            }),
            plan::UNNEST => self.plain(name, &baseline::UNNEST_SQL, None, |run| {
                run.runtime.block_on(baseline::unnest(run.url, run.stretch, run.batch, false))
            }),
            plan::FOLDED => self.plain(name, &baseline::FOLDED_SQL, None, |run| {
                run.runtime.block_on(baseline::unnest(run.url, run.stretch, run.batch, true))
            }),
            plan::STATEMENT => {
                self.plain(name, &baseline::STATEMENT_SQL, None, |run| run.per_event(Guard::Nothing))
            }
            plan::SAVEPOINT => {
                let noted = Some(FailedIn::Loop);
                self.plain(name, &baseline::SAVEPOINT_SQL, noted, |run| run.per_event(Guard::Savepoint))
            }
            plan::TRANSACTION => {
                self.plain(name, &baseline::TRANSACTION_SQL, None, |run| run.per_event(Guard::Transaction))
            }
            plan::PGBENCH => self.by_pgbench(pgbench.context("there is no pgbench")?.clone()),
            _ => anyhow::bail!("no contestant has this name"),
        }
    }

    /// The slow ones are measured on the last so many events only: their rate does not depend on how many.
    fn events(&self, name: &str) -> u32 {
        let local = self.setting.route == Route::Local;
        let some = match name {
            // Its start and its stop are part of the rate.
            plan::RUST | plan::STATEMENT if local => 40_000,
            plan::RUST | plan::STATEMENT => 6_000,
            plan::SAVEPOINT if local => 20_000,
            plan::SAVEPOINT => 2_000,
            plan::TRANSACTION if local => 1_000,
            plan::TRANSACTION => 500,
            plan::IDLE => 0,
            _ => self.log.events,
        };
        some.min(self.log.events)
    }

    fn stretch(&self, name: &str) -> anyhow::Result<Stretch> {
        self.runtime.block_on(self.log.last(self.server, self.events(name)))
    }

    fn expected(&self, stretch: Stretch) -> anyhow::Result<Rc<Expected>> {
        let mut known = self.known.borrow_mut();
        if let Some((_, expected)) = known.iter().find(|(after, _)| *after == stretch.after) {
            return Ok(expected.clone());
        }
        let expected = Rc::new(self.runtime.block_on(Expected::of(self.server, &self.log, stretch))?);
        known.push((stretch.after, expected.clone()));
        Ok(expected)
    }

    /// The product.
    fn product(&self, name: &'static str, way: Way, on_failure: OnFailure) -> anyhow::Result<Contestant<'b>> {
        let (runtime, server) = (self.runtime, self.server);
        let stretch = self.stretch(name)?;
        let expected = self.expected(stretch)?;
        let database = if name == plan::APPLY_ELSEWHERE { ELSEWHERE } else { self.log.database };
        let run = Run {
            way,
            log: server.url(self.log.database, self.setting.route),
            store: server.url(database, self.setting.route),
            stretch,
            batch: self.setting.batch,
            on_failure,
        };
        let turn: Turn<'b> = Box::new(move || {
            runtime.block_on(reset(server, database))?;
            let seconds = timed(|| runtime.block_on(run.catch_up(expected.failed())))?;
            let check = expected.check(server, database, Some(FailedIn::Product));
            runtime.block_on(check).context("the result is wrong")?;
            Ok(seconds)
        });
        let sql = match way {
            Way::Apply => vec![SCHEMA, APPLY],
            Way::On => vec![SCHEMA, ON_SOLD],
            Way::Rust => vec![SCHEMA, UPSERT],
            Way::RustBatch => vec![SCHEMA, UNNEST],
        };
        Ok(Contestant { name, events: stretch.events, sql, turn })
    }

    /// A loop.
    fn plain(
        &self,
        name: &'static str,
        sql: &[&'static str],
        failed_in: Option<FailedIn>,
        run: impl Fn(&PlainRun<'_>) -> anyhow::Result<f64> + 'b,
    ) -> anyhow::Result<Contestant<'b>> {
        let (runtime, server, database) = (self.runtime, self.server, self.log.database);
        let (stretch, batch) = (self.stretch(name)?, self.setting.batch);
        let expected = self.expected(stretch)?;
        let url = server.url(database, self.setting.route);
        let turn: Turn<'b> = Box::new(move || {
            runtime.block_on(reset(server, database))?;
            let seconds = run(&PlainRun { runtime, url: &url, stretch, batch })?;
            runtime.block_on(expected.check(server, database, failed_in)).context("the result is wrong")?;
            Ok(seconds)
        });
        Ok(Contestant { name, events: stretch.events, sql: [&[SCHEMA], sql].concat(), turn })
    }

    fn by_pgbench(&self, pgbench: (PathBuf, Vec<String>)) -> anyhow::Result<Contestant<'b>> {
        let (runtime, server, folder) = (self.runtime, self.server, self.folder);
        let (stretch, batch, database) = (self.log.all(), self.setting.batch, self.log.database);
        let expected = self.expected(stretch)?;
        let url = server.url(database, self.setting.route);
        let turn: Turn<'b> = Box::new(move || {
            runtime.block_on(reset(server, database))?;
            let seconds = baseline::pgbench(runtime, &pgbench, folder, &url, stretch, batch)?;
            runtime.block_on(expected.check(server, database, None)).context("the result is wrong")?;
            Ok(seconds)
        });
        let sql = [&[SCHEMA], baseline::LIMIT_SQL.as_slice()].concat();
        Ok(Contestant { name: plan::PGBENCH, events: stretch.events, sql, turn })
    }
}

/// What a loop is given.
struct PlainRun<'r> {
    runtime: &'r Runtime,
    url: &'r str,
    stretch: Stretch,
    batch: u32,
}

impl PlainRun<'_> {
    fn per_event(&self, guard: Guard) -> anyhow::Result<f64> {
        self.runtime.block_on(baseline::per_event(self.url, self.stretch, self.batch, guard))
    }
}
