//! What our keys are called in the server.
//!
//! `<prefix>{highwater}:checkpoint:<key>` and so on. The prefix comes first, so that rules of access such as
//! `~prod:*` fit. What stands in braces is the hash tag, by which a cluster chooses the slot: all our keys have the
//! same. (Redis cluster specification, "Hash tags".)

use highwater_core::error::{Error, ErrorKind};

const CHECKPOINT: &[u8] = b"checkpoint:";

/// The names below one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    base: String,
}

impl Names {
    /// Checks and takes a prefix.
    ///
    /// # Errors
    /// `Invalid` for one with which there would be no hash tag.
    pub(crate) fn new(prefix: &str) -> Result<Self, Error> {
        let base = format!("{prefix}{{highwater}}:");
        let behind = base.split_once('{').map_or("", |(_, behind)| behind);
        if behind.starts_with('}') {
            return Err(Error::new(ErrorKind::Invalid, "choose a prefix").with("prefix", prefix).because(
                "its first braces are empty, which in a cluster would scatter the keys: leave them out, or fill them",
            ));
        }
        Ok(Self { base })
    }

    /// A checkpoint: a hash.
    pub(crate) fn checkpoint(&self, key: &str) -> Vec<u8> {
        [self.base.as_bytes(), CHECKPOINT, key.as_bytes()].concat()
    }

    /// What the names of all checkpoints begin with.
    pub(crate) fn checkpoints(&self) -> Vec<u8> {
        [self.base.as_bytes(), CHECKPOINT].concat()
    }

    /// All keys for which there ever was a checkpoint: a set.
    pub(crate) fn registry(&self) -> Vec<u8> {
        format!("{}registry", self.base).into_bytes()
    }

    /// The dead letters of a group: a stream.
    pub(crate) fn letters(&self, group: &str) -> Vec<u8> {
        format!("{}letters:{group}", self.base).into_bytes()
    }

    /// The order of the dead letters of a group: a sorted set.
    pub(crate) fn letter_index(&self, group: &str) -> Vec<u8> {
        format!("{}letter-index:{group}", self.base).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cluster specification's own rule.
    fn hash_tag(key: &[u8]) -> &[u8] {
        let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
        let behind = &key[open + 1..];
        match behind.iter().position(|byte| *byte == b'}') {
            None | Some(0) => key,
            Some(close) => &behind[..close],
        }
    }

    #[test]
    fn d_10_all_keys_below_a_prefix_have_one_hash_tag() {
        for prefix in ["", "prod:", "{eu}:", "a}b", "{", "{{x", "x{y"] {
            let names = Names::new(prefix).unwrap();
            let tag = hash_tag(&names.registry()).to_vec();
            for key in ["plain", "{own}", "}", "{}", "a{b}c"] {
                for name in [names.checkpoint(key), names.letters(key), names.letter_index(key)] {
                    assert_eq!(hash_tag(&name), tag, "{prefix:?} {key:?}");
                }
            }
        }
        for prefix in ["{}", "prod{}:", "{}{eu}"] {
            assert_eq!(Names::new(prefix).unwrap_err().kind(), ErrorKind::Invalid, "{prefix:?}");
        }
    }

    #[test]
    fn d_8_no_prefix_contains_another_ones_keys() {
        let [prod, eu, none] = ["prod:", "prod-eu:", ""].map(|prefix| Names::new(prefix).unwrap());
        for (one, other) in [(&prod, &eu), (&eu, &prod), (&none, &prod), (&prod, &none)] {
            assert!(!one.checkpoint("key").starts_with(&other.checkpoints()));
        }
    }
}
