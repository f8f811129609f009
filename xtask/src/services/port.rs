//! A port for a server that we start.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
};

use anyhow::bail;

/// Below what systems hand out for outgoing connections: a port of those may be taken by anybody between our look
/// and the server's start, and again while a server restarts.
const FIRST: u16 = 20_000;
const PORTS: u16 = 10_000;
const TRIES: u32 = 50;

/// A port on the loopback device that nobody uses at the moment, drawn by lot, so that runs beside each other seldom
/// meet.
///
/// # Errors
/// When none is found.
pub(super) fn free() -> anyhow::Result<u16> {
    for _ in 0..TRIES {
        // Each `RandomState` has keys of its own.
        let drawn = RandomState::new().hash_one(()) % u64::from(PORTS);
        let port = FIRST + u16::try_from(drawn).expect("less than the number of ports");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {FIRST} and {} in {TRIES} tries", FIRST + PORTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_used_is_not_drawn() {
        let port = free().expect("a free port");
        let _used = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("it is free");
        assert!((0..100).all(|_| free().expect("another one") != port));
    }
}
