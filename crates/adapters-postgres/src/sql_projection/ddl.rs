//! Which tables a schema creates: what its statements leave behind, read and not run, since that must be known
//! without a server (E-14).

use highwater_core::sql::{SqlScript, StatementKind};

use super::table_name::{TableName, Words};

/// The tables that the schema creates and does not drop or rename, temporary ones left out.
pub(super) fn created_tables(schema: &SqlScript) -> Vec<TableName> {
    let mut tables: Vec<TableName> = Vec::new();
    for statement in schema.statements().iter().filter(|statement| statement.kind() == StatementKind::Ddl) {
        let mut words = Words(statement.sql());
        if words.pass("CREATE") {
            if let Some(table) = created(&mut words).filter(|table| !tables.contains(table)) {
                tables.push(table);
            }
        } else if words.pass("DROP") && words.pass("TABLE") {
            let _if_exists = words.pass("IF") && words.pass("EXISTS");
            while let Some(gone) = table(&mut words) {
                tables.retain(|table| *table != gone);
                if !words.pass(",") {
                    break;
                }
            }
        } else if words.pass("ALTER") && words.pass("TABLE") {
            renamed(&mut words, &mut tables);
        }
    }
    tables.sort();
    tables
}

/// Behind CREATE: `[UNLOGGED] TABLE [IF NOT EXISTS] name`.
fn created(words: &mut Words<'_>) -> Option<TableName> {
    let _unlogged = words.pass("UNLOGGED");
    if !words.pass("TABLE") {
        return None;
    }
    let _if_not_exists = words.pass("IF") && words.pass("NOT") && words.pass("EXISTS");
    table(words).filter(|table| table.schema.as_deref() != Some("pg_temp"))
}

/// Behind ALTER TABLE: `[IF EXISTS] [ONLY] name RENAME TO name`.
fn renamed(words: &mut Words<'_>, tables: &mut [TableName]) {
    let _if_exists = words.pass("IF") && words.pass("EXISTS");
    let _only = words.pass("ONLY");
    let Some(old) = table(words) else { return };
    if words.pass("RENAME")
        && words.pass("TO")
        && let Some(new) = words.next().and_then(super::table_name::Word::identifier)
        && let Some(table) = tables.iter_mut().find(|table| **table == old)
    {
        table.name = new;
    }
}

fn table(words: &mut Words<'_>) -> Option<TableName> {
    let first = words.next()?.identifier()?;
    if words.pass(".") {
        let name = words.next()?.identifier()?;
        return Some(TableName { schema: Some(first), name });
    }
    Some(TableName { schema: None, name: first })
}

#[cfg(test)]
mod tests {
    use highwater_core::model::ProjectionName;
    use highwater_core::sql::{Dialect, SqlText};

    use super::*;

    fn created(sql: &str) -> Vec<String> {
        let name = ProjectionName::new("p").unwrap();
        let script = SqlScript::read(&name, &SqlText::new(sql, "p.sql"), Dialect::Postgres, false).unwrap();
        created_tables(&script).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn e_24_what_the_schema_leaves_behind_is_what_it_creates() {
        let schema = r#"
            CREATE TABLE B (x bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
            CREATE UNLOGGED TABLE IF NOT EXISTS a (x text, y json);
            CREATE TABLE gone (x int); CREATE TABLE gone2 (x int); DROP TABLE IF EXISTS gone, gone2;
            CREATE TABLE old (x int); ALTER TABLE ONLY old RENAME TO "new Name";
            CREATE TEMP TABLE passing (x int); CREATE TEMPORARY TABLE passing2 (x int);
            CREATE TABLE pg_temp.passing3 (x int);
            CREATE VIEW v AS SELECT * FROM a;
            CREATE INDEX i ON a (x);
            CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN CREATE TABLE inner_one (); END$$;
            create /* a /* nested */ */ table -- b
              app . "a ""b" as select * from elsewhere;
            INSERT INTO a VALUES ('CREATE TABLE text (x int)', NULL);
            CREATE TABLE part PARTITION OF b FOR VALUES FROM (1) TO (2)"#;
        assert_eq!(created(schema), ["a", "b", "new Name", "part", "app.a \"b"]);
    }
}
