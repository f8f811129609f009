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

/// One call of a script: its keys and arguments, one behind the other.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    bytes: Vec<u8>,
    /// Where each key and argument ends.
    ends: Vec<usize>,
    keys: usize,
}

impl Call {
    pub(crate) fn on(key: Vec<u8>) -> Self {
        Self::on_all([key])
    }

    /// Several keys, in the same slot.
    pub(crate) fn on_all(keys: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut call = Self { bytes: Vec::new(), ends: Vec::new(), keys: 0 };
        for key in keys {
            call = call.arg(key);
            call.keys += 1;
        }
        call
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(argument.as_ref());
        self.ends.push(self.bytes.len());
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
        /// What stands before the keys: the command, the script, the number of keys.
        const BEFORE: usize = 3;
        /// That number at its longest, and the command's name.
        const ROOM: usize = 40;
        let mut command =
            Cmd::with_capacity(BEFORE + self.ends.len(), ROOM + script.len() + self.bytes.len());
        command.arg(name).arg(script).arg(self.keys);
        let mut start = 0;
        for end in &self.ends {
            command.arg(&self.bytes[start..*end]);
            start = *end;
        }
        command
    }
}
