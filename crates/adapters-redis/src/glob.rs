//! Literal texts in the server's glob patterns (D-8).

/// The pattern for everything that begins with `prefix`, byte for byte.
pub(crate) fn beginning_with(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\') {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d_8_glob_characters_are_characters() {
        assert_eq!(beginning_with(b"prod:"), b"prod:*");
        assert_eq!(beginning_with(br"a*b?c[d]e\f^-"), br"a\*b\?c\[d\]e\\f^-*");
        assert_eq!(beginning_with(b"\xff\0*"), b"\xff\0\\**");
        assert_eq!(beginning_with(b""), b"*");
    }
}
