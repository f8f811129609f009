//! Something that was measured and is no rate of a contestant.

use comfy_table::Table;
use serde::Serialize;

use crate::measure::Spread;
use crate::report::{Goal, row, table, verdict};

/// A figure, and what was asked of it.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    name: String,
    value: Spread,
    unit: &'static str,
    goal: Option<Goal>,
    ok: Option<bool>,
}

impl Figure {
    /// Of at least one value.
    pub(crate) fn new(name: impl Into<String>, values: &[f64], unit: &'static str) -> Self {
        Self { name: name.into(), value: Spread::of(values), unit, goal: None, ok: None }
    }

    /// What is asked of its median.
    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self.ok = Some(goal.is_met(self.value.median));
        self
    }

    /// Whether its goal is missed.
    pub(crate) fn missed(&self) -> bool {
        self.ok == Some(false)
    }
}

/// All of them, for people.
pub(crate) fn figures(figures: &[Figure]) -> Table {
    let mut table = table(&["", "median", "unit", "min .. max", "goal", ""]);
    for Figure { name, value, unit, goal, ok } in figures {
        table.add_row(row(&[
            name.clone(),
            format!("{:.2}", value.median),
            (*unit).to_owned(),
            format!("{:.2} .. {:.2}", value.min, value.max),
            goal.map_or("reported".to_owned(), |goal| goal.to_string()),
            verdict(*ok).to_owned(),
        ]));
    }
    table
}
