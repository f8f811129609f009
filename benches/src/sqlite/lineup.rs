//! The contestants: what each runs, on which log, and what must come out.

use anyhow::Context;
use highwater::OnFailure;
use tokio::runtime::Runtime;

use crate::measure::Contestant;
use crate::sqlite::Options;
use crate::sqlite::baseline::{self, Guard};
use crate::sqlite::contestants::{self, Pace, Way};
use crate::sqlite::copies::OnCopy;
use crate::sqlite::imported;
use crate::sqlite::plan::{self, Comparison, Part};
use crate::sqlite::read_model::{APPLY, BALANCE_SCHEMA, ON_SOLD, ReadModel, SALES_SCHEMA, UPSERT};
use crate::sqlite::work::{Log, Work};

/// The slow loops are measured on fewer events: their rate does not depend on how many.
const TRANSACTION_EVENTS: u32 = 2_000;
const SQLX_EVENTS: u32 = 20_000;

/// Puts contestants together.
struct Lineup<'b> {
    runtime: &'b Runtime,
    work: &'b Work,
    batch: u32,
}

/// Those that the comparisons need, in the order in which they first run.
///
/// # Errors
/// When it cannot be computed what must come out of one.
pub(crate) fn lineup<'b>(
    runtime: &'b Runtime,
    work: &'b Work,
    options: &Options,
    comparisons: &[Comparison],
) -> anyhow::Result<Vec<Contestant<'b>>> {
    let lineup = Lineup { runtime, work, batch: options.batch };
    let mut names: Vec<&str> = Vec::new();
    if Part::Apply.is_wanted(options) {
        names.push(plan::IDLE);
    }
    for name in comparisons.iter().flat_map(|comparison| [comparison.contestant, comparison.baseline]) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.into_iter().map(|name| lineup.contestant(name).with_context(|| name.to_owned())).collect()
}

impl<'b> Lineup<'b> {
    fn contestant(&self, name: &str) -> anyhow::Result<Contestant<'b>> {
        let (work, clean, batch) = (self.work, &self.work.clean, self.batch);
        let all = clean.events;
        let default = OnFailure::default();
        match name {
            plan::IDLE => self.product(plan::IDLE, Way::Apply, &work.empty, default),
            plan::APPLY => self.product(plan::APPLY, Way::Apply, clean, default),
            plan::ON => self.product(plan::ON, Way::On, clean, default),
            plan::RUST => self.product(plan::RUST, Way::Rust, clean, default),
            plan::APPLY_LOOP => {
                let run = move |database: &_| baseline::set_based(database, batch);
                self.plain(plan::APPLY_LOOP, ReadModel::Sales, all, &baseline::SET_BASED_SQL, run)
            }
            plan::LOOP => {
                let run = move |database: &_| baseline::bare(database, all, batch, Guard::Nothing);
                self.plain(plan::LOOP, ReadModel::Balance, all, &baseline::BARE_SQL, run)
            }
            plan::SAVEPOINT_LOOP => {
                let run = move |database: &_| baseline::bare(database, all, batch, Guard::Savepoint);
                self.plain(plan::SAVEPOINT_LOOP, ReadModel::Balance, all, &baseline::SAVEPOINT_SQL, run)
            }
            plan::TRANSACTION_LOOP => {
                let some = all.min(TRANSACTION_EVENTS);
                let run = move |database: &_| baseline::bare(database, some, 1, Guard::Nothing);
                self.plain(plan::TRANSACTION_LOOP, ReadModel::Balance, some, &baseline::BARE_SQL, run)
            }
            plan::SQLX_LOOP => {
                let (some, runtime) = (all.min(SQLX_EVENTS), self.runtime);
                let run = move |database: &_| baseline::sqlx_loop(runtime, database, some, batch);
                self.plain(plan::SQLX_LOOP, ReadModel::Balance, some, &baseline::BARE_SQL, run)
            }
            plan::IMPORT => self.importer(plan::IMPORT),
            plan::IMPORT_LOOP => self.importer(plan::IMPORT_LOOP),
            _ => {
                let of_poisoned = plan::POISONED.into_iter().find(|poisoned| poisoned.name == name);
                let poisoned = of_poisoned.context("no contestant has this name")?;
                let log = work.poisoned.as_ref().context("the poisoned log was not made")?;
                self.product(poisoned.name, poisoned.way, log, poisoned.on_failure)
            }
        }
    }

    /// The product on a log.
    fn product(
        &self,
        name: &'static str,
        way: Way,
        log: &Log,
        on_failure: OnFailure,
    ) -> anyhow::Result<Contestant<'b>> {
        let (runtime, pace) = (self.runtime, Pace { batch: Some(self.batch), on_failure });
        let (events, poison) = (log.events, log.poison);
        let expected = way.read_model().expected(&log.file, events)?;
        Ok(OnCopy {
            name,
            input: log.file.clone(),
            events,
            sql: match way {
                Way::Apply => vec![SALES_SCHEMA, APPLY],
                Way::On => vec![BALANCE_SCHEMA, ON_SOLD],
                Way::Rust => vec![BALANCE_SCHEMA, UPSERT],
            },
            run: Box::new(move |database| {
                contestants::catch_up(runtime, way, database, pace, events, poison)
            }),
            check: Box::new(move |database| way.read_model().check(database, &expected)),
        }
        .contestant(self.work.folder()))
    }

    /// A loop over the first `events` of the clean log.
    fn plain(
        &self,
        name: &'static str,
        read_model: ReadModel,
        events: u32,
        sql: &[&'static str],
        run: impl Fn(&std::path::Path) -> anyhow::Result<()> + 'b,
    ) -> anyhow::Result<Contestant<'b>> {
        let log = &self.work.clean;
        let expected = read_model.expected(&log.file, events)?;
        Ok(OnCopy {
            name,
            input: log.file.clone(),
            events,
            sql: [&[read_model.schema()], sql].concat(),
            run: Box::new(run),
            check: Box::new(move |database| read_model.check(database, &expected)),
        }
        .contestant(self.work.folder()))
    }

    /// The program or the loop that imports.
    fn importer(&self, name: &'static str) -> anyhow::Result<Contestant<'b>> {
        let import = self.work.import.as_ref().context("there is nothing to import")?;
        let expected = imported::expected(self.work, import)?;
        let by_loop = name == plan::IMPORT_LOOP;
        Ok(OnCopy {
            name,
            input: self.work.empty.file.clone(),
            events: import.lines,
            sql: if by_loop { vec![baseline::INSERT] } else { Vec::new() },
            run: Box::new(move |database| {
                if by_loop {
                    baseline::import(database, &import.file)
                } else {
                    contestants::import(database, import)
                }
            }),
            check: Box::new(move |database| imported::check(database, expected)),
        }
        .contestant(self.work.folder()))
    }
}
