//! What a server tells about itself that somebody should know (D-11).

use std::collections::HashMap;
use std::fmt;

use deadpool_redis::redis::{Value, pipe};

use highwater_core::error::{Error, ErrorKind};

use crate::error::corrupt;
use crate::reply::checked;

use super::handle::Redis;
use super::lane::{Again, Way};

/// The oldest that is supported: earlier ones hide what a script met.
const OLDEST: u32 = 7;

/// A server that will lose checkpoints, or that takes none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// It evicts keys when its memory is full, ours as well.
    Evicts {
        /// Its `maxmemory-policy`.
        policy: String,
    },
    /// It writes nothing to its disk: after a restart it is empty.
    NotPersistent,
    /// It writes only snapshots: after a crash it is as old as the last one.
    SnapshotsOnly,
    /// It is a replica: it takes no writes.
    Replica,
    /// It does not let us look.
    Hidden,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicts { policy } => write!(
                f,
                "the server evicts any key when its memory is full (maxmemory-policy {policy}): a checkpoint can \
                 vanish; use noeviction or a volatile policy"
            ),
            Self::NotPersistent => f.write_str(
                "the server writes nothing to disk: after a restart all checkpoints are gone; set appendonly yes",
            ),
            Self::SnapshotsOnly => f.write_str(
                "the server writes snapshots only: after a crash checkpoints are as old as the last one, and events \
                 are applied again from there; set appendonly yes",
            ),
            Self::Replica => f.write_str("the server is a replica and takes no writes: name the primary"),
            Self::Hidden => f.write_str(
                "the server does not say whether it evicts keys or writes to disk: allow INFO to see to it",
            ),
        }
    }
}

/// What was found.
pub(super) struct Inspection {
    pub(super) warnings: Vec<Warning>,
    /// Whether it is a node of a cluster.
    pub(super) cluster: bool,
}

impl Redis {
    /// Asks the server what is wrong with it.
    pub(super) async fn look(&self, operation: &'static str) -> Result<Inspection, Error> {
        let mut commands = pipe();
        commands.cmd("INFO");
        commands.cmd("CONFIG").arg("GET").arg("save");
        let mut answers = self.flight(Way::Link, Again::Safe, operation, &commands).await?.into_iter();
        let info = match answers.next().map(|answer| checked(operation, answer)) {
            Some(Ok(Value::BulkString(bytes))) => String::from_utf8_lossy(&bytes).into_owned(),
            Some(Ok(Value::VerbatimString { text, .. })) => text,
            Some(Err(error)) if error.backend_code() == Some("NOPERM") => {
                return Ok(Inspection { warnings: vec![Warning::Hidden], cluster: false });
            }
            Some(Err(error)) => return Err(self.at(error)),
            _ => return Err(self.at(corrupt(operation, "INFO is no text"))),
        };
        let info = read(&info);
        check_version(&info, operation).map_err(|error| self.at(error))?;
        // Where a host does not show its configuration, snapshots are assumed.
        let saves = answers.next().and_then(|answer| save_points(&answer)).unwrap_or(true);
        let cluster = info.get("cluster_enabled").is_some_and(|enabled| enabled == "1");
        Ok(Inspection { warnings: warnings(&info, saves), cluster })
    }
}

/// `name:value` in each line; the rest are headings.
fn read(info: &str) -> HashMap<String, String> {
    let pairs = info.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// Whether there are any, where the server says so.
fn save_points(answer: &Value) -> Option<bool> {
    match answer {
        Value::Array(pair) => match pair.get(1)? {
            Value::BulkString(points) => Some(!points.is_empty()),
            _ => None,
        },
        _ => None,
    }
}

fn check_version(info: &HashMap<String, String>, operation: &'static str) -> Result<(), Error> {
    let Some(version) = info.get("redis_version") else { return Ok(()) };
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major >= OLDEST) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported, operation)
        .because(format!("it is Redis {version}, and {OLDEST} is the oldest that is supported: upgrade it")))
}

fn warnings(info: &HashMap<String, String>, saves: bool) -> Vec<Warning> {
    let is = |name: &str, value: &str| info.get(name).is_some_and(|found| found == value);
    let mut warnings = Vec::new();
    if let Some(policy) = info.get("maxmemory_policy").filter(|policy| policy.starts_with("allkeys-")) {
        warnings.push(Warning::Evicts { policy: policy.clone() });
    }
    if is("aof_enabled", "0") {
        warnings.push(if saves { Warning::SnapshotsOnly } else { Warning::NotPersistent });
    }
    if is("role", "slave") {
        warnings.push(Warning::Replica);
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\n\r\n# Memory\r\nmaxmemory_policy:allkeys-lru\r\n\
        # Persistence\r\naof_enabled:0\r\n# Replication\r\nrole:slave\r\n";

    #[test]
    fn d_11_each_danger_is_named() {
        let evicts = Warning::Evicts { policy: "allkeys-lru".to_owned() };
        assert_eq!(warnings(&read(INFO), false), [evicts.clone(), Warning::NotPersistent, Warning::Replica]);
        assert_eq!(warnings(&read(INFO), true)[1], Warning::SnapshotsOnly);
        let sound = INFO
            .replace("allkeys-lru", "volatile-lru")
            .replace("aof_enabled:0", "aof_enabled:1")
            .replace("role:slave", "role:master");
        assert_eq!(warnings(&read(&sound), false), []);
        assert!(evicts.to_string().contains("maxmemory-policy allkeys-lru"));
    }

    #[test]
    fn an_old_server_is_refused_by_its_number() {
        assert!(check_version(&read(INFO), "test").is_ok());
        assert!(check_version(&read(""), "test").is_ok(), "one that hides its version is taken at its word");
        let error = check_version(&read("redis_version:6.2.14"), "test").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.chain().contains("Redis 6.2.14"), "{}", error.chain());
    }
}
