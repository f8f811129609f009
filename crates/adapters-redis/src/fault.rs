//! What a driver error means: the one table behind both the error kinds of the ports and the failure classes of
//! handlers. The server says it by the first word of its answer; only what never reached a server is told by the
//! driver's own error.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use deadpool_redis::PoolError;
use deadpool_redis::redis::{ErrorKind, ParsingError, RedisError, ServerError};

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server cannot be reached, is starting, full, read-only or busy for the moment.
    Unavailable,
    /// It has not answered in time.
    Slow,
    /// Credentials or privileges.
    Access,
    /// What is stored is of another type, or no answer that there can be.
    Corrupt,
    /// An answer is not what the caller's code asked for.
    Conversion,
    /// A version or a feature that the server or this program does not have.
    Unsupported,
    /// The code calls the driver wrongly, or the address is wrong; it will be at every event.
    Misuse,
    /// None of these.
    Opaque,
}

/// What the code of a server's answer means.
pub(crate) fn by_code(code: &str) -> Fault {
    match code {
        "LOADING" | "READONLY" | "CLUSTERDOWN" | "TRYAGAIN" | "MASTERDOWN" | "BUSY" | "OOM" | "MISCONF"
        | "NOREPLICAS" | "MOVED" | "ASK" | "UNBLOCKED" => Fault::Unavailable,
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => Fault::Access,
        "WRONGTYPE" => Fault::Corrupt,
        "NOPROTO" => Fault::Unsupported,
        "CROSSSLOT" | "NOSCRIPT" => Fault::Misuse,
        _ => Fault::Opaque,
    }
}

/// What the server says behind the one word that it has for everything else.
const UNNAMED: [(&str, Fault); 3] = [
    ("max number of clients", Fault::Unavailable),
    // A script met what a command alone would have met with NOPERM: Redis 7.0, and later ones.
    ("The user executing the script can't", Fault::Access),
    ("ACL failure in script", Fault::Access),
];

/// What an answer of the server means.
pub(crate) fn of_server(error: &ServerError) -> Fault {
    if error.code() != "ERR" {
        return by_code(error.code());
    }
    let said = error.details().unwrap_or_default();
    UNNAMED.iter().find(|(begin, _)| said.starts_with(begin)).map_or(Fault::Opaque, |(_, fault)| *fault)
}

/// What a driver error means.
pub(crate) fn fault_of(error: &RedisError) -> Fault {
    match error.kind() {
        ErrorKind::Io if error.is_timeout() => Fault::Slow,
        ErrorKind::Io if is_no_tls(error) => Fault::Unsupported,
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => Fault::Unavailable,
        ErrorKind::MasterNameNotFoundBySentinel | ErrorKind::NoValidReplicasFoundBySentinel => {
            Fault::Unavailable
        }
        ErrorKind::AuthenticationFailed => Fault::Access,
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => Fault::Conversion,
        ErrorKind::RESP3NotSupported => Fault::Unsupported,
        ErrorKind::InvalidClientConfig | ErrorKind::Client | ErrorKind::EmptySentinelList => Fault::Misuse,
        _ => match error.clone().into_server_errors().as_deref() {
            Some([(_, first), ..]) => of_server(first),
            _ => Fault::Opaque,
        },
    }
}

/// The other side speaks no TLS, or has a certificate that is not trusted: time does not mend it.
fn is_no_tls(error: &RedisError) -> bool {
    // The driver hides its cause behind a pointer.
    let cause = error.source().and_then(|cause| cause.downcast_ref::<Arc<dyn StdError + Send + Sync>>());
    let cause = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData)
}

/// The code, where the server gave one.
pub(crate) fn code_of(error: &RedisError) -> Option<String> {
    match error.clone().into_server_errors().as_deref() {
        Some([(_, first), ..]) => Some(first.code().to_owned()),
        _ => None,
    }
}

/// The driver error in a cause.
pub(crate) fn find(error: &(dyn StdError + 'static)) -> Option<(Fault, Option<String>)> {
    if let Some(error) = error.downcast_ref::<RedisError>() {
        return Some((fault_of(error), code_of(error)));
    }
    if let Some(error) = error.downcast_ref::<ServerError>() {
        return Some((of_server(error), Some(error.code().to_owned())));
    }
    if error.is::<ParsingError>() {
        return Some((Fault::Conversion, None));
    }
    match error.downcast_ref::<PoolError>()? {
        PoolError::Backend(error) => Some((fault_of(error), code_of(error))),
        PoolError::Timeout(_) | PoolError::Closed => Some((Fault::Unavailable, None)),
        PoolError::NoRuntimeSpecified => Some((Fault::Misuse, None)),
        PoolError::PostCreateHook(_) => Some((Fault::Opaque, None)),
    }
}

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::parse_redis_value;

    use super::*;

    /// The error that an answer of a server becomes.
    pub(crate) fn answer(text: &str) -> RedisError {
        let value = parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn b_9_the_first_word_of_an_answer_decides() {
        for (text, fault) in [
            ("LOADING Redis is loading the dataset in memory", Fault::Unavailable),
            ("READONLY You can't write against a read only replica.", Fault::Unavailable),
            ("CLUSTERDOWN Hash slot not served", Fault::Unavailable),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Fault::Unavailable),
            ("BUSY Redis is busy running a script.", Fault::Unavailable),
            ("OOM command not allowed when used memory > 'maxmemory'.", Fault::Unavailable),
            ("MISCONF Redis is configured to save RDB snapshots, but", Fault::Unavailable),
            ("MASTERDOWN Link with MASTER is down", Fault::Unavailable),
            ("NOREPLICAS Not enough good replicas to write.", Fault::Unavailable),
            ("MOVED 3999 127.0.0.1:6381", Fault::Unavailable),
            ("ASK 3999 127.0.0.1:6381", Fault::Unavailable),
            ("ERR max number of clients reached", Fault::Unavailable),
            ("ERR The user executing the script can't run this command", Fault::Access),
            ("ERR ACL failure in script: User app has no permissions", Fault::Access),
            ("NOAUTH Authentication required.", Fault::Access),
            ("WRONGPASS invalid username-password pair or user is disabled.", Fault::Access),
            ("NOPERM User alice has no permissions", Fault::Access),
            ("DENIED Redis is running in protected mode", Fault::Access),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Fault::Corrupt),
            ("NOPROTO unsupported protocol version", Fault::Unsupported),
            ("CROSSSLOT Keys in request don't hash to the same slot", Fault::Misuse),
            ("ERR value is not an integer or out of range", Fault::Opaque),
            ("MYERROR of a user's script: LOADING", Fault::Opaque),
        ] {
            let error = answer(text);
            assert_eq!(fault_of(&error), fault, "{text}");
            assert_eq!(code_of(&error).as_deref(), text.split(' ').next(), "{text}");
        }
    }
}
