//! Which tables a schema creates.
//!
//! The way to know is to run it, on an empty database in memory. What cannot run there, because it refers to
//! tables that only the real database has, is read instead.

use highwater_core::sql::StatementKind;
use rusqlite::Connection;

use super::script::Script;

/// The tables that the schema leaves behind on an empty database, by name; without views, temp tables and the
/// inner tables of virtual ones.
pub(super) fn created_tables(schema: &Script) -> rusqlite::Result<Vec<String>> {
    let conn = Connection::open_in_memory()?;
    let mut read = Vec::new();
    for (index, statement) in schema.statements().iter().enumerate() {
        if statement.kind() == StatementKind::Ddl && schema.run(&conn, index).is_err() {
            read.extend(table_named(statement.sql()));
        }
    }
    let mut tables: Vec<String> = conn
        .prepare(
            "SELECT name FROM pragma_table_list
             WHERE schema = 'main' AND type IN ('table', 'virtual') AND substr(name, 1, 7) <> 'sqlite_'",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for table in read {
        if !tables.iter().any(|known| known.eq_ignore_ascii_case(&table)) {
            tables.push(table);
        }
    }
    tables.sort();
    Ok(tables)
}

/// The table in `CREATE [VIRTUAL] TABLE [IF NOT EXISTS] [main.]name`.
fn table_named(sql: &str) -> Option<String> {
    let mut words = Words(sql);
    let mut word = words.after("CREATE")?;
    if word.is("VIRTUAL") {
        word = words.next()?;
    }
    let mut name = if word.is("TABLE") { words.next()? } else { return None };
    if name.is("IF") {
        words.after("NOT").filter(|word| word.is("EXISTS"))?;
        name = words.next()?;
    }
    match words.next() {
        Some(dot) if dot.is(".") => words.next().filter(|_| name.text.eq_ignore_ascii_case("main")),
        _ => Some(name),
    }
    .map(|name| name.text)
}

/// Words and single symbols of SQL, comments left out, quotes taken off.
pub(super) struct Words<'s>(pub(super) &'s str);

/// A word, a symbol, or what stood in quotes.
pub(super) struct Word {
    text: String,
    quoted: bool,
}

impl Word {
    /// It is this keyword or symbol.
    pub(super) fn is(&self, keyword: &str) -> bool {
        !self.quoted && self.text.eq_ignore_ascii_case(keyword)
    }
}

impl Words<'_> {
    /// The word behind `keyword`, if that is the next one.
    fn after(&mut self, keyword: &str) -> Option<Word> {
        self.next().filter(|word| word.is(keyword))?;
        self.next()
    }
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        loop {
            let text = self.0.trim_start();
            self.0 = match (text.strip_prefix("--"), text.strip_prefix("/*")) {
                (Some(comment), _) => comment.split_once('\n').map_or("", |(_, rest)| rest),
                (_, Some(comment)) => comment.split_once("*/").map_or("", |(_, rest)| rest),
                _ => {
                    self.0 = text;
                    break;
                }
            };
        }
        let first = self.0.chars().next()?;
        let close = match first {
            '"' | '`' | '\'' => first,
            '[' => ']',
            _ => {
                let word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
                let end = self.0.find(|c| !word(c)).unwrap_or(self.0.len()).max(first.len_utf8());
                let (word, rest) = self.0.split_at(end);
                self.0 = rest;
                return Some(Word { text: word.to_owned(), quoted: false });
            }
        };
        let mut text = String::new();
        let mut chars = self.0.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            // A quote within quotes is doubled; a bracket cannot be.
            if c != close || (close != ']' && chars.next_if(|(_, next)| *next == close).is_some()) {
                text.push(c);
            } else {
                self.0 = &self.0[at + c.len_utf8()..];
                return Some(Word { text, quoted: true });
            }
        }
        self.0 = "";
        Some(Word { text, quoted: true })
    }
}

#[cfg(test)]
mod tests {
    use highwater_core::model::ProjectionName;
    use highwater_core::sql::SqlText;

    use super::*;

    fn created(sql: &str) -> Vec<String> {
        let name = ProjectionName::new("p").unwrap();
        created_tables(&Script::read(&name, &SqlText::new(sql, "p.sql"), false).unwrap()).unwrap()
    }

    #[test]
    fn e_24_what_the_schema_leaves_behind_is_what_it_creates() {
        let schema = "
            CREATE TABLE b (x INTEGER PRIMARY KEY AUTOINCREMENT);
            CREATE TABLE IF NOT EXISTS a (x TEXT, y);
            CREATE TABLE gone (x); DROP TABLE gone;
            CREATE TABLE old (x); ALTER TABLE old RENAME TO \"new name\";
            CREATE TEMP TABLE passing (x);
            CREATE VIEW v AS SELECT * FROM a;
            CREATE INDEX i ON a (x);
            CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO b VALUES (NULL); END;
            CREATE VIRTUAL TABLE search USING fts5(text);
            INSERT INTO a VALUES (1, 2);";
        assert_eq!(created(schema), ["a", "b", "new name", "search"]);
    }

    #[test]
    fn e_24_what_cannot_run_on_an_empty_database_is_read() {
        for (sql, table) in [
            ("CREATE TABLE copy AS SELECT * FROM elsewhere", "copy"),
            ("create /* a */ table -- b\n if not exists \"a \"\"b\" as select * from elsewhere", "a \"b"),
            ("CREATE TABLE main.[x y] AS SELECT * FROM elsewhere", "x y"),
            ("CREATE TABLE Größe AS SELECT * FROM elsewhere", "Größe"),
            ("CREATE VIRTUAL TABLE IF NOT EXISTS v USING nosuchmodule(x)", "v"),
            ("CREATE TABLE a (x); CREATE TABLE a AS SELECT * FROM elsewhere", "a"),
        ] {
            assert_eq!(created(sql), [table], "{sql}");
        }
        for sql in [
            "CREATE INDEX i ON elsewhere (x)",
            "CREATE TABLE temp.x AS SELECT * FROM elsewhere",
            "CREATE TEMP TABLE x AS SELECT * FROM elsewhere",
            "DROP TABLE elsewhere",
        ] {
            assert_eq!(created(sql), Vec::<String>::new(), "{sql}");
        }
    }
}
