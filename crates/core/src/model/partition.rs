//! Partitions of a projection: which stream is in which, and what one owner has.
//!
//! A stream belongs to one partition for ever: what is stored under a partition depends on it. So the rule is
//! fixed, the same in every adapter and on every platform: the first four bytes of the SHA-256 (FIPS 180-4) of
//! the stream's UTF-8 bytes, as a big-endian number, modulo the number of partitions. The stream itself is
//! hashed, not its category: events of one stream stay in order, and a busy category is spread.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::model::ProjectionName;

/// The number that decides in which partition a stream is: the first four bytes of the SHA-256 of its UTF-8
/// bytes, big-endian. A fixed fact: logs may store it.
#[must_use]
pub fn stream_hash(stream: &str) -> u32 {
    let digest = Sha256::digest(stream.as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// One of the parts into which a projection's streams are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// Which one, from 0.
    pub index: u32,
    /// How many there are; at least 1.
    pub of: u32,
}

impl Partition {
    /// Whether a stream is in this partition.
    #[must_use]
    pub fn contains(&self, stream: &str) -> bool {
        self.is_all() || stream_hash(stream) % self.of == self.index
    }

    /// Whether it is the only one.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.of <= 1
    }
}

/// What one owner has: a projection, or one partition of it; of all versions, since the owner of a newer one
/// replaces that of an older.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectionPart {
    /// The projection.
    pub name: ProjectionName,
    /// The partition; 0 where a projection is not partitioned.
    pub partition: u32,
}

impl ProjectionPart {
    /// A partition of `name`.
    #[must_use]
    pub fn new(name: ProjectionName, partition: u32) -> Self {
        Self { name, partition }
    }

    /// A text for keys of locks and names of files: `orders` for partition 0, else `orders#3`. Different parts
    /// have different texts, since a name contains no `#`.
    #[must_use]
    pub fn lock_key(&self) -> String {
        match self.partition {
            0 => self.name.to_string(),
            partition => format!("{}#{partition}", self.name),
        }
    }
}

impl From<ProjectionName> for ProjectionPart {
    /// The first partition, or the whole of a projection that has no other.
    fn from(name: ProjectionName) -> Self {
        Self::new(name, 0)
    }
}

impl fmt::Display for ProjectionPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.partition > 0 {
            write!(f, " partition {}", self.partition)?;
        }
        Ok(())
    }
}

/// Where an instance stands among those that run partitions of one projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceRank {
    /// Its place in an order on which all agree, from 0; below `instances`.
    pub rank: u32,
    /// How many live instances there are, this one included; at least 1.
    pub instances: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_stream_is_a_fixed_fact() {
        // The first three are the digests of FIPS 180-4's examples and of nothing; all are `sha256sum`'s.
        for (stream, hash) in [
            ("", 0xe3b0_c442),
            ("abc", 0xba78_16bf),
            ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 0x248d_6a61),
            ("order-1", 0x0baf_e221),
            ("caf\u{e9}-\u{65e5}", 0x65c0_fc3b),
        ] {
            assert_eq!(stream_hash(stream), hash, "{stream:?} {:#010x}", stream_hash(stream));
        }
    }

    #[test]
    fn each_stream_is_in_exactly_one_partition() {
        for of in [1, 2, 3, 7, 1024] {
            for n in 0..20 {
                let stream = format!("order-{n}");
                let of_it = (0..of).filter(|&index| Partition { index, of }.contains(&stream)).count();
                assert_eq!(of_it, 1, "{stream} of {of}");
            }
        }
        assert!(Partition { index: 0, of: 0 }.contains("a"), "no number of partitions divides by zero");
    }

    #[test]
    fn e_11_the_lock_of_the_first_partition_is_the_projections_own() {
        let part = |partition| ProjectionPart::new(ProjectionName::new("orders").unwrap(), partition);
        assert_eq!(part(0).lock_key(), "orders");
        assert_eq!(part(3).lock_key(), "orders#3");
        assert_eq!(part(0).to_string(), "orders");
        assert_eq!(part(3).to_string(), "orders partition 3");
    }
}
