//! Projections of every kind on PostgreSQL: late commits, clocks that step back, changed definitions, other logs,
//! partitions, and projections in Rust that write many events at once.

mod late;
mod mends;
mod rust;
mod waits;
