//! `u64` in SQLite, which has `i64` only.
//!
//! What fits is an INTEGER, so that a person can read it; what does not is a BLOB of 8 bytes, greatest first.
//! SQLite sorts every INTEGER before every BLOB, and BLOBs by their bytes, so the order of the column is the
//! order of the numbers, and no bit is lost.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef};

use highwater_core::model::Position;

/// A number in a column without affinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsigned(pub(crate) u64);

impl ToSql for Unsigned {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match i64::try_from(self.0) {
            Ok(small) => Value::Integer(small),
            Err(_) => Value::Blob(self.0.to_be_bytes().to_vec()),
        }))
    }
}

impl FromSql for Unsigned {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Integer(number) => {
                u64::try_from(number).map(Self).map_err(|_| FromSqlError::OutOfRange(number))
            }
            ValueRef::Blob(bytes) => {
                let bytes = bytes.try_into().map_err(|_| FromSqlError::InvalidType)?;
                Ok(Self(u64::from_be_bytes(bytes)))
            }
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// The halves of a position, for two columns.
pub(crate) fn halves(position: Position) -> (Unsigned, Unsigned) {
    (Unsigned(position.commit()), Unsigned(position.prepare()))
}

/// As [`halves`], NULL where there is none.
pub(crate) fn maybe_halves(position: Option<Position>) -> (Option<Unsigned>, Option<Unsigned>) {
    position.map(halves).unzip()
}

/// The position in the columns `first` and `first + 1` of a row.
pub(crate) fn position_in(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Position> {
    let (Unsigned(commit), Unsigned(prepare)) = (row.get(first)?, row.get(first + 1)?);
    Ok(Position::new(commit, prepare))
}

/// As [`position_in`], `None` where the first half is NULL.
pub(crate) fn maybe_position_in(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Option<Position>> {
    match row.get_ref(first)? {
        ValueRef::Null => Ok(None),
        _ => position_in(row, first).map(Some),
    }
}

/// A count for `LIMIT`: at least 1.
pub(crate) fn limit(limit: usize) -> i64 {
    i64::try_from(limit.max(1)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn x_5_every_number_comes_back_and_sorts() {
        let numbers = [0, 1, 9, 10, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX];
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (n)").unwrap();
        for number in numbers.iter().rev() {
            conn.execute("INSERT INTO t VALUES (?1)", [Unsigned(*number)]).unwrap();
        }
        let mut select = conn.prepare("SELECT n FROM t ORDER BY n").unwrap();
        let back: Vec<u64> = select
            .query_map([], |row| Ok(row.get::<_, Unsigned>(0)?.0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(back, numbers);
    }
}
