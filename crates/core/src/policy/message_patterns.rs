//! The last resort for errors whose type nobody knows: the words of their text.

use std::error::Error as StdError;

use crate::policy::{Class, ClassifyError, Decided};

const PERMANENT: [&str; 5] = ["validation", "invalid", "constraint", "domain", "business"];
const TRANSIENT: [&str; 5] = ["timeout", "connection", "network", "database", "redis"];
const BACKENDS: [&str; 2] = ["database", "redis"];

/// Reads whole words of the message, whatever their case: `validation`, `invalid`, `constraint`, `domain`,
/// `business` are permanent; `timeout`, `connection`, `network`, `database`, `redis` are transient.
///
/// A guess, so off by default, and every decision carries `by: "pattern"` to be logged. A text with words of
/// both kinds is permanent: a wrong guess then parks an event, which can be replayed, instead of blocking the
/// log for good. "error returned from database" means that the backend is there and has answered, so its name
/// says nothing in such a text; a division by zero must not be retried until it heals.
#[derive(Debug, Clone, Copy, Default)]
pub struct MessagePatterns;

impl ClassifyError for MessagePatterns {
    fn classify(&self, error: &(dyn StdError + 'static)) -> Option<Decided> {
        class_of(&error.to_string()).map(|class| Decided::new(class, "pattern"))
    }
}

fn class_of(message: &str) -> Option<Class> {
    let text = message.to_lowercase();
    let answered = text.contains("error returned from");
    let says = |words: &[&str]| {
        text.split(|c: char| !c.is_alphanumeric())
            .any(|word| words.contains(&word) && !(answered && BACKENDS.contains(&word)))
    };
    if says(&PERMANENT) {
        Some(Class::Permanent)
    } else if says(&TRANSIENT) {
        Some(Class::Transient)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_decide_whatever_their_case() {
        for (text, class) in [
            ("Validation failed", Some(Class::Permanent)),
            ("INVALID amount", Some(Class::Permanent)),
            ("unique constraint", Some(Class::Permanent)),
            ("a domain rule", Some(Class::Permanent)),
            ("business-rule: no", Some(Class::Permanent)),
            ("Timeout: 3 s", Some(Class::Transient)),
            ("Connection_reset", Some(Class::Transient)),
            ("network is unreachable", Some(Class::Transient)),
            ("the database is away", Some(Class::Transient)),
            ("redis://h:1 gone", Some(Class::Transient)),
            ("division by zero", None),
            ("", None),
        ] {
            assert_eq!(class_of(text), class, "{text}");
        }
    }

    #[test]
    fn parts_of_words_say_nothing() {
        for text in ["invalidate the cache", "subdomains", "businesslike", "databases", "disconnections"] {
            assert_eq!(class_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_backend_that_answered_is_not_away() {
        assert_eq!(class_of("error returned from database: division by zero"), None);
        assert_eq!(class_of("Error returned from Redis: WRONGTYPE"), None);
        let constraint = "error returned from database: violates check constraint";
        assert_eq!(class_of(constraint), Some(Class::Permanent));
        let timeout = "error returned from database: statement timeout";
        assert_eq!(class_of(timeout), Some(Class::Transient));
    }

    #[test]
    fn words_of_both_kinds_are_permanent() {
        assert_eq!(class_of("database: invalid value"), Some(Class::Permanent));
    }
}
