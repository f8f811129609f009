//! The law 17, of `UnitOfWork`: a table has one projection.

use highwater_core::model::ProjectionKey;
use highwater_core::ports::{ReadModelStore, UnitOfWork};

use super::StoreFixture;
use super::store_support::{DEADLINE, Table, as_error, create, fresh, key, lock};
use super::suite::suite;
use super::support::without;

/// A projection sets itself up: it creates tables, and its SQL names others.
#[derive(Clone, Copy)]
struct Setup<'s> {
    projection: &'s str,
    version: u32,
    notes: bool,
    creates: &'s [&'s str],
    named: &'s [&'s str],
    commits: bool,
}

impl Setup<'_> {
    fn of(projection: &str) -> Setup<'_> {
        Setup { projection, version: 1, notes: true, creates: &[], named: &[], commits: true }
    }

    fn key(&self) -> ProjectionKey {
        ProjectionKey { version: self.version, ..key(self.projection) }
    }

    /// What is another's, with its owner; `None` where the fixture cannot create tables.
    async fn run<S: ReadModelStore>(self, store: &S, table: &Table<S>) -> Option<Vec<(String, String)>> {
        let (table, key) = (table.clone(), self.key());
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (creates, named) = (owned(self.creates), owned(self.named));
        let Self { notes, commits, .. } = self;
        store
            .transact(DEADLINE, move |mut unit| async move {
                let state = lock(&mut unit, &key).await?.state;
                if notes {
                    unit.note_tables().await?;
                }
                for name in &creates {
                    match table.create_table(unit.tx(), name).await {
                        None => return Ok(None),
                        Some(created) => created.map_err(as_error)?,
                    }
                }
                let taken = unit.own_tables(&key.name, &named).await?;
                if commits {
                    unit.commit(&state, &state).await?
                } else {
                    unit.rollback().await?
                }
                Ok(Some(taken.into_iter().map(|taken| (taken.table, taken.owner.to_string())).collect()))
            })
            .await
            .expect("tables can be owned")
    }
}

async fn dropped<S: ReadModelStore>(store: &S, table: &Table<S>, name: &'static str) {
    let (table, key) = (table.clone(), key("p"));
    let done = store.transact(DEADLINE, move |mut unit| async move {
        let state = lock(&mut unit, &key).await?.state;
        table.drop_table(unit.tx(), name).await.expect("what creates can drop").map_err(as_error)?;
        unit.commit(&state, &state).await
    });
    done.await.expect("the table can be dropped");
}

suite! {
    [$] unit_tables => unit_tables_laws [<S: ReadModelStore>] (fixture: StoreFixture<S>)

    /// What is created between `note_tables` and `own_tables`, and what is named there, belongs to that
    /// projection; another one is told so.
    fn law_17_a_table_has_one_projection {
        for key in [key("p"), key("q"), ProjectionKey { version: 2, ..key("p") }] {
            create(&fixture.store, &fresh(key)).await.expect("there is no such row yet");
        }
        let (here, there, table) = (&fixture.store, &fixture.second, &fixture.table);
        let taken = |name: &str| Some(vec![(name.to_owned(), "p".to_owned())]);
        let nothing = Some(Vec::new());

        let undone = Setup { creates: &["law_one"], commits: false, ..Setup::of("p") };
        let Some(found) = undone.run(here, table).await else { return without("law 17", "tables to create") };
        assert_eq!(found, []);
        let first = Setup { named: &["law_one"], commits: false, ..Setup::of("q") }.run(here, table).await;
        assert_eq!(first, nothing, "what was rolled back is nobody's");

        let only_named = ["law_two"];
        let told = Setup { notes: false, creates: &only_named, named: &only_named, ..Setup::of("p") };
        assert_eq!(told.run(here, table).await, nothing);
        let made = Setup { creates: &["law_one"], ..Setup::of("p") };
        assert_eq!(made.run(here, table).await, nothing);
        assert_eq!(made.run(there, table).await, nothing, "its own is not another's");
        let again = Setup { version: 2, ..made }.run(there, table).await;
        assert_eq!(again, nothing, "nor is it another version's");
        for name in ["law_one", "law_two"] {
            let named = [name];
            let asked = Setup { named: &named, commits: false, ..Setup::of("q") }.run(there, table).await;
            assert_eq!(asked, taken(name));
        }
        if table.tells_of_skipped_creation() {
            let asked = Setup { creates: &["law_one"], commits: false, ..Setup::of("q") }.run(there, table).await;
            assert_eq!(asked, taken("law_one"), "IF NOT EXISTS found it there");
        }
        let other = Setup { creates: &["law_three"], ..Setup::of("q") };
        assert_eq!(other.run(there, table).await, nothing);

        dropped(here, table, "law_one").await;
        let free = Setup { creates: &["law_one"], ..Setup::of("q") };
        assert_eq!(free.run(there, table).await, nothing, "a table that was dropped is nobody's");
        let named = Setup { named: &["law_one"], commits: false, ..Setup::of("p") }.run(here, table).await;
        assert_eq!(named, Some(vec![("law_one".to_owned(), "q".to_owned())]), "and then whose it became");

        for (version, answer) in [(2, taken("law_two")), (1, nothing)] {
            let gone = here.transact(DEADLINE, move |mut unit| async move {
                let kept = lock(&mut unit, &key("q")).await?.state;
                let goes = ProjectionKey { version, ..key("p") };
                lock(&mut unit, &goes).await?;
                unit.remove_state(&goes).await?;
                unit.commit(&kept, &kept).await
            });
            gone.await.expect("a state can be removed");
            let asked = Setup { named: &["law_two"], commits: false, ..Setup::of("q") }.run(here, table).await;
            assert_eq!(asked, answer, "it ends with the last state of the projection");
        }
    }
}
