//! The address of a server.

use std::str::FromStr;

use deadpool_redis::redis::io::tcp::TcpSettings;
use deadpool_redis::redis::{ConnectionAddr, ConnectionInfo};

use highwater_core::error::{Error, ErrorKind};

/// Reads an address.
///
/// # Errors
/// `Invalid`, without the text: it may have a password in it.
pub(crate) fn parse(url: &str) -> Result<ConnectionInfo, Error> {
    const HOW: &str = "write redis://user:password@host:port/database, or rediss:// for TLS";
    let info = ConnectionInfo::from_str(url).map_err(|error| {
        let because = error.detail().map_or_else(|| HOW.to_owned(), |detail| format!("{detail}; {HOW}"));
        Error::new(ErrorKind::Invalid, "read a Redis address").because(because)
    })?;
    if let ConnectionAddr::TcpTls { insecure, .. } = info.addr() {
        if *insecure {
            return Err(Error::new(ErrorKind::Invalid, "read a Redis address")
                .because("#insecure would take any server for the right one: leave it out"));
        }
        choose_cryptography();
    }
    // A flight is one small packet and waits for its answer: it must not wait to be filled.
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// The process may have chosen already, which is as well.
fn choose_cryptography() {
    let chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if chosen.is_err() {
        tracing::trace!("the process has chosen its cryptography before");
    }
}

/// Where it is, without secrets: `host:port/database`.
pub(crate) fn shown(info: &ConnectionInfo) -> String {
    match info.redis_settings().db() {
        0 => info.addr().to_string(),
        database => format!("{}/{database}", info.addr()),
    }
}

/// The node that a cluster's answer `MOVED slot host:port` names. No host means the one that answered.
pub(crate) fn moved(from: &ConnectionInfo, node: &str) -> Option<ConnectionInfo> {
    let (host, port) = node.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let there = |own: &str| if host.is_empty() { own.to_owned() } else { host.to_owned() };
    let address = match from.addr() {
        ConnectionAddr::Tcp(own, _) => ConnectionAddr::Tcp(there(own), port),
        ConnectionAddr::TcpTls { host: own, insecure, tls_params, .. } => ConnectionAddr::TcpTls {
            host: there(own),
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => return None,
    };
    Some(from.clone().set_addr(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_password() {
        let info = parse("redis://user:secret@cache.example:6380/3").unwrap();
        assert_eq!(shown(&info), "cache.example:6380/3");
        assert_eq!(shown(&parse("rediss://:secret@cache.example").unwrap()), "cache.example:6379");
        assert!(!format!("{info:?}").contains("secret"), "{info:?}");
    }

    #[test]
    fn x_12_a_bad_address_says_how_one_is_written_and_keeps_the_password() {
        let bad = [
            "redis://user:secret@host:port/0",
            "redis://user:secret@host/first",
            "http://user:secret@host",
            "redis://user:secret@",
            "rediss://user:secret@host/#insecure",
            "secret",
        ];
        for url in bad {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            assert!(!format!("{error:?} {}", error.chain()).contains("secret"), "{error:?}");
        }
        assert!(parse("redis://h:port").unwrap_err().chain().contains("redis://user:password@host"));
    }

    #[test]
    fn a_cluster_names_a_node_with_or_without_its_host() {
        let from = parse("rediss://user:secret@seed:7000").unwrap();
        for (node, to) in
            [("10.0.0.7:7001", "10.0.0.7:7001"), (":7002", "seed:7002"), ("::1:7003", "::1:7003")]
        {
            let moved = moved(&from, node).unwrap();
            assert_eq!(shown(&moved), to);
            assert_eq!(moved.redis_settings().password(), Some("secret"));
            assert!(matches!(moved.addr(), ConnectionAddr::TcpTls { insecure: false, .. }));
        }
        for node in ["", "host", "host:", "host:70000"] {
            assert!(moved(&from, node).is_none(), "{node:?}");
        }
    }
}
