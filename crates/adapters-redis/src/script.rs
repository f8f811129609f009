//! What runs inside the server: each script works on the keys that it is given, all of one slot, and is called by its
//! hash (D-10).

use std::fmt;

use deadpool_redis::redis::{self, Cmd};

/// A script and its hash.
pub(crate) struct Script {
    source: &'static str,
    hash: String,
}

impl Script {
    pub(crate) fn new(source: &'static str) -> Self {
        Self { source, hash: redis::Script::new(source).get_hash().to_owned() }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// One call of a script.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    pub(crate) fn on(key: Vec<u8>) -> Self {
        Self::on_all([key])
    }

    /// Several keys, in the same slot.
    pub(crate) fn on_all(keys: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { keys: keys.into_iter().collect(), arguments: Vec::new() }
    }

    pub(crate) fn arg(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// By the script's hash: the server answers `NOSCRIPT` if it has not got it.
    pub(crate) fn by_hash(&self, script: &Script) -> Cmd {
        self.command("EVALSHA", &script.hash)
    }

    /// With the script itself, which the server then keeps.
    pub(crate) fn whole(&self, script: &Script) -> Cmd {
        self.command("EVAL", script.source)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len());
        for part in self.keys.iter().chain(&self.arguments) {
            command.arg(part.as_slice());
        }
        command
    }
}
