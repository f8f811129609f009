//! The scripts, each with what they share before it.

use crate::script::Script;

macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("lua/common.lua"), include_str!($file)))
    };
}

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) set: Script,
    pub(super) reset: Script,
    pub(super) claim: Script,
    pub(super) advance: Script,
    pub(super) release: Script,
    pub(super) owner: Script,
    pub(super) remember: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            set: script!("lua/set.lua"),
            reset: script!("lua/reset.lua"),
            claim: script!("lua/claim.lua"),
            advance: script!("lua/advance.lua"),
            release: script!("lua/release.lua"),
            owner: script!("lua/owner.lua"),
            remember: Script::new(include_str!("lua/remember.lua")),
        }
    }
}
