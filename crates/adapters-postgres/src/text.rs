//! Any text in a database whose texts have no NUL character.
//!
//! Names of streams and types, keys and messages may have one where they come from another log. U+0000 is
//! stored as U+0001 `0`, and U+0001 as U+0001 `1`; everything else stays what it is, for people and for
//! joins. The order of bytes is kept, and what begins with a prefix begins with its escaped prefix: so the
//! server itself can compare, sort and search escaped texts.

use std::borrow::Cow;

use highwater_core::error::{Error, ErrorKind};

const MARK: char = '\u{1}';

/// The text as it is stored.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', MARK]) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(MARK, "\u{1}1").replace('\0', "\u{1}0"))
}

/// Reads what [`escaped`] wrote.
///
/// # Errors
/// `Corrupt` if it did not.
pub(crate) fn unescaped(stored: String) -> Result<String, Error> {
    if !stored.contains(MARK) {
        return Ok(stored);
    }
    let mut text = String::with_capacity(stored.len());
    let mut characters = stored.chars();
    while let Some(one) = characters.next() {
        if one != MARK {
            text.push(one);
            continue;
        }
        text.push(match characters.next() {
            Some('0') => '\0',
            Some('1') => MARK,
            _ => {
                return Err(Error::new(ErrorKind::Corrupt, "read a stored text")
                    .because("a character U+0001 is not followed by 0 or 1"));
            }
        });
    }
    Ok(text)
}

/// The least text greater than all that begin with `prefix`, both escaped; `None` where there is none.
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

    const SOME: &str = "[ab01\u{0}\u{1}\u{2}\u{7f}\u{d7ff}\u{e000}\u{10ffff}]{0,5}";

    proptest! {
        #[test]
        fn x_10_every_text_comes_back_and_has_no_nul(text in SOME) {
            let stored = escaped(&text).into_owned();
            prop_assert!(!stored.contains('\0'));
            prop_assert_eq!(unescaped(stored).unwrap(), text);
        }

        #[test]
        fn order_and_prefixes_are_kept(a in SOME, b in SOME) {
            prop_assert_eq!(escaped(&a).cmp(&escaped(&b)), a.cmp(&b));
            prop_assert_eq!(escaped(&a).starts_with(&*escaped(&b)), a.starts_with(&b));
        }

        #[test]
        fn a_prefix_is_the_range_up_to_its_end(prefix in "[ab\u{0}\u{1}\u{10ffff}]{0,3}", text in SOME) {
            let (low, stored) = (escaped(&prefix), escaped(&text));
            let in_range = stored >= low && end_of(&low).is_none_or(|end| *stored < *end);
            prop_assert_eq!(in_range, text.starts_with(&prefix));
        }
    }

    #[test]
    fn what_nobody_wrote_is_corrupt() {
        for stored in ["\u{1}", "a\u{1}2"] {
            assert_eq!(unescaped(stored.to_owned()).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
