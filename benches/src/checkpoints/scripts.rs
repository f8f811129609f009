//! The product's own scripts, for the baselines: read from its files, so that they are the same to the byte. That
//! the server gets just these from the product is checked before anything is measured.

use anyhow::{Context, ensure};
use highwater::redis::redis::{self, Connection, Script};

macro_rules! script {
    ($file:literal) => {
        concat!(
            include_str!("../../../crates/adapters-redis/src/checkpoints/lua/common.lua"),
            include_str!(concat!("../../../crates/adapters-redis/src/checkpoints/lua/", $file))
        )
    };
}

/// Moves a checkpoint that nobody need own.
pub(super) const SET: &str = script!("set.lua");
/// Moves the checkpoint of an owner, and renews its lease.
pub(super) const ADVANCE: &str = script!("advance.lua");

/// Under which name the server knows a script.
pub(super) fn hash(script: &str) -> String {
    Script::new(script).get_hash().to_owned()
}

/// Makes sure that the server knows a script already: the product has called it before.
///
/// # Errors
/// When it does not, or cannot be asked.
pub(super) fn check_known(connection: &mut Connection, script: &str) -> anyhow::Result<()> {
    let known: Vec<bool> =
        redis::cmd("SCRIPT").arg("EXISTS").arg(hash(script)).query(connection).context("ask for a script")?;
    ensure!(
        known == [true],
        "the product calls another script than the baselines would: put its text together here as it does"
    );
    Ok(())
}

/// The words of a call that moves a checkpoint, as the product sends them: without a time to live, and without
/// the permission to create it.
pub(super) fn set_call(hash: &str, name: &str, commit: &str) -> [String; 8] {
    ["EVALSHA", hash, "1", name, "", "0", commit, "0"].map(str::to_owned)
}

/// The same of an owner's call, for several keys.
pub(super) fn advance_call(
    hash: &str,
    names: &[String],
    (owner, epoch, lease_micros): (&str, u64, u128),
    commit: u64,
) -> Vec<String> {
    let (epoch, lease, commit) = (epoch.to_string(), lease_micros.to_string(), commit.to_string());
    let count = names.len().to_string();
    let head = ["EVALSHA", hash, &count].map(str::to_owned);
    let all = [owner, &lease, "0"].map(str::to_owned);
    let each = names.iter().flat_map(|_| [epoch.clone(), commit.clone(), "0".to_owned()]);
    head.into_iter().chain(names.iter().cloned()).chain(all).chain(each).collect()
}

/// Words as the server reads them.
pub(super) fn resp(words: &[String]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_written_as_the_protocol_says() {
        let words = ["SET", "é", ""].map(str::to_owned);
        assert_eq!(resp(&words), "*3\r\n$3\r\nSET\r\n$2\r\né\r\n$0\r\n\r\n".as_bytes());
    }

    #[test]
    fn a_call_is_what_a_command_of_the_driver_is() {
        let words = set_call("hash", "name", "12");
        let mut command = redis::cmd(&words[0]);
        command.arg(&words[1..]);
        assert_eq!(command.get_packed_command(), resp(&words));
    }
}
