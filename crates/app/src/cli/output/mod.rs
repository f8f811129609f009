//! What the program shows: results on standard output, progress on standard error.

mod confirm;
mod progress;
mod table;
mod text;
mod ui;

pub(crate) use confirm::confirm;
pub(crate) use progress::Progress;
pub(crate) use table::Table;
pub(crate) use text::{count, duration, plain, plain_lines, rate};
pub(crate) use ui::Ui;
