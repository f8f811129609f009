//! A reader in steps, of which any may be left out or done in another order: so that the rules can be broken
//! one at a time.

use super::session::Session;

/// The conditions on the locks that count as holders, each of which may be dropped.
pub(super) const SAME_DATABASE: &str =
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
pub(super) const NOT_MINE: &str = "AND l.pid IS DISTINCT FROM pg_backend_pid()";
/// As one writes it without thinking of prepared transactions.
pub(super) const NOT_MINE_BY_UNEQUAL: &str = "AND l.pid <> pg_backend_pid()";

/// S1 and S2: what is visible behind `cursor`, up to `end`.
pub(super) async fn visible(session: &mut Session, cursor: i64, end: i64) -> Vec<i64> {
    session
        .numbers(&format!(
            "SELECT position FROM highwater.event WHERE position > {cursor} AND position <= {end} ORDER BY 1"
        ))
        .await
}

/// T: the least bound of the gate's holders, seen from `w`; `w` if there are none.
pub(super) async fn horizon(session: &mut Session, w: i64, conditions: &[&str]) -> i64 {
    session
        .number(&format!(
            "SELECT least(min({w} - (({w} - l.objid::bigint) & 2147483647)), {w}) FROM pg_locks l \
             WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.granted AND l.objsubid = 2 \
             AND l.classid = 'highwater.position'::regclass \
             AND (({w} - l.objid::bigint) & 2147483647) <= 1073741824 {}",
            conditions.join(" ")
        ))
        .await
}

/// With every rule.
pub(super) async fn true_horizon(session: &mut Session, w: i64) -> i64 {
    horizon(session, w, &[SAME_DATABASE, NOT_MINE]).await
}
