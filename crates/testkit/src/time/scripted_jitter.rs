//! Chance that repeats.

use std::collections::VecDeque;
use std::sync::Mutex;

use highwater_core::ports::Jitter;

use crate::sync::lock;

/// Replays the numbers that it was given, then goes on with a seeded generator: the same in every run.
#[derive(Debug)]
pub struct ScriptedJitter {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    script: VecDeque<u64>,
    seed: u64,
}

impl ScriptedJitter {
    /// Numbers from this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::replaying([], seed)
    }

    /// These numbers first, then numbers from this seed.
    pub fn replaying(script: impl IntoIterator<Item = u64>, seed: u64) -> Self {
        Self { state: Mutex::new(State { script: script.into_iter().collect(), seed }) }
    }
}

impl Jitter for ScriptedJitter {
    fn next_u64(&self) -> u64 {
        let mut state = lock(&self.state);
        state.script.pop_front().unwrap_or_else(|| splitmix64(&mut state.seed))
    }
}

/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
fn splitmix64(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
