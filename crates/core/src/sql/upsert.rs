//! The upsert that SQLite misreads.
//!
//! In `INSERT ... SELECT ... FROM t ON CONFLICT ...` SQLite takes `ON` for the condition of a join and stops
//! at `DO` with a bare syntax error; `WHERE true` after the FROM clause cures it. It is misread exactly when
//! the last table of the FROM clause has no condition of its own and no other clause comes between.

/// Watches the words of one statement.
#[derive(Debug, Default)]
pub(super) struct UpsertWatch {
    inserts: bool,
    place: Place,
    misread: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Elsewhere,
    /// After SELECT, before FROM.
    Columns,
    /// After a table that has no join condition yet.
    Table,
    /// After a join condition began.
    Condition,
    /// After an ON whose next word tells what it is.
    On {
        /// What came before could have taken it as a join condition.
        taken: bool,
    },
}

impl UpsertWatch {
    /// Takes a word outside of brackets, in capitals.
    pub(super) fn word(&mut self, word: &str) {
        if let Place::On { taken } = self.place {
            self.misread |= taken && word == "CONFLICT";
            self.place = Place::Condition;
        }
        self.place = match (word, self.place) {
            ("INSERT" | "REPLACE", place) => {
                self.inserts = true;
                place
            }
            ("SELECT", _) if self.inserts => Place::Columns,
            ("FROM", Place::Columns) | ("JOIN", Place::Condition) => Place::Table,
            ("ON", Place::Table) => Place::On { taken: true },
            ("ON", Place::Condition) => Place::On { taken: false },
            ("USING", Place::Table) => Place::Condition,
            ("WHERE" | "GROUP" | "HAVING" | "WINDOW" | "ORDER" | "LIMIT" | "VALUES", _) => Place::Elsewhere,
            (_, place) => place,
        };
    }

    /// Takes any other token outside of brackets.
    pub(super) fn symbol(&mut self, symbol: Option<u8>) {
        self.place = match (symbol, self.place) {
            (_, Place::On { .. }) => Place::Condition,
            (Some(b','), Place::Condition) => Place::Table,
            (_, place) => place,
        };
    }

    /// SQLite misreads the statement for want of a WHERE clause.
    pub(super) fn is_misread(&self) -> bool {
        self.misread
    }
}
