//! A short name for a text, to see that it changed.
//!
//! The state row of a projection keeps the fingerprint of its SQL and of its filter (E-6): a projection whose
//! text changed under the same version must not go on from a position that another text reached.

use sha2::{Digest, Sha256};

/// SHA-256 of the parts, as 64 lower-case hexadecimal digits.
///
/// Every part is preceded by its length in decimal, so moving text from one part to the next changes the
/// result, and so does adding an empty part. The order of the parts counts. The result is the same on every
/// platform: it is stored.
pub fn fingerprint(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_string().as_bytes());
        hash.update(b":");
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect()
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).expect("a nibble is below 16")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_digest_of_the_length_prefixed_parts() {
        // sha256sum of nothing, of "0:" and of "3:abc2:de"
        assert_eq!(fingerprint(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(fingerprint(&[""]), "ba768b331fd86cec803be04e56ab2b3d4c0e98ef4ee4fcd4e72ad7cce61a1d1f");
        assert_eq!(
            fingerprint(&["abc", "de"]),
            "7dad771a810c4f0ebeaa7e34cfeaf6f55b4739d25243a18bd0b47b45cb688c67"
        );
    }

    #[test]
    fn e_6_text_that_moves_between_parts_changes_it() {
        let parts: [&[&str]; 7] = [&[], &[""], &["", ""], &["ab"], &["a", "b"], &["b", "a"], &["ab", ""]];
        let all: std::collections::BTreeSet<String> = parts.iter().map(|parts| fingerprint(parts)).collect();
        assert_eq!(all.len(), parts.len());
    }
}
