//! All texts with a prefix, as a range.
//!
//! LIKE folds case and GLOB has its own wildcards; both and `substr` stop at a NUL. The order of bytes, in
//! which SQLite compares TEXT, does neither: what begins with `P` is what is not less than `P` and less than
//! the least text behind all of them.

/// The least text greater than all that begin with `prefix`; `None` where there is none. UTF-8 sorts as code
/// points do, so it is the prefix with its last character raised.
pub(crate) fn end_of(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_prefix_is_the_range_up_to_its_end(
            prefix in "[ab\u{0}\u{7f}\u{d7ff}\u{e000}\u{10ffff}]{0,3}",
            text in "[abc\u{0}\u{80}\u{d7ff}\u{e000}\u{10ffff}]{0,5}",
        ) {
            let in_range = text >= prefix && end_of(&prefix).is_none_or(|end| text < end);
            prop_assert_eq!(in_range, text.starts_with(&prefix));
        }
    }
}
