//! A port that stays ours while nobody listens on it.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// Below what systems hand out for outgoing connections: a port of those may be somebody else's by the time that a
/// server restarts on it. Not where `cargo xtask` puts its servers.
const FIRST: u16 = 10_000;
const PORTS: u16 = 10_000;
const TRIES: u32 = 100;

/// A port on the loopback device that nobody uses at the moment.
pub(super) fn free() -> u16 {
    (0..TRIES)
        .map(|_| {
            // Each `RandomState` has keys of its own.
            let drawn = RandomState::new().hash_one(()) % u64::from(PORTS);
            FIRST + u16::try_from(drawn).expect("less than the number of ports")
        })
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("one of many ports is free")
}
