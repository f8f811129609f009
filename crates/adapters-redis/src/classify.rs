//! The class of driver errors that a handler meets.

use std::error::Error as StdError;

use highwater_core::policy::{Class, ClassifyError, Decided};

use crate::fault::{Fault, find};

/// Knows `redis::RedisError` and the server's error codes, and the errors of deadpool's pool: what passes, and what
/// no event can mend. An answer that is slow is a fault of the surroundings.
#[derive(Debug, Clone, Copy, Default)]
pub struct RedisClassifier;

impl ClassifyError for RedisClassifier {
    fn classify(&self, error: &(dyn StdError + 'static)) -> Option<Decided> {
        let (fault, code) = find(error)?;
        let class = match fault {
            Fault::Unavailable | Fault::Slow => Class::Transient,
            Fault::Conversion => Class::Permanent,
            Fault::Access | Fault::Corrupt | Fault::Unsupported | Fault::Misuse => Class::Fatal,
            Fault::Opaque => Class::Unclassified,
        };
        Some(Decided { class, code, by: "redis" })
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use deadpool_redis::redis::{RedisError, Value, from_redis_value, parse_redis_value};
    use deadpool_redis::{PoolError, TimeoutType};

    use highwater_core::Failure;
    use highwater_core::policy::Classifier;

    use super::*;

    fn decided(error: impl Into<highwater_core::BoxError>) -> Decided {
        Classifier::new().with(Arc::new(RedisClassifier)).failure(&Failure::new(error))
    }

    fn answer(text: &str) -> RedisError {
        parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap().extract_error().unwrap_err()
    }

    #[test]
    fn an_answer_has_the_class_of_its_code() {
        for (text, class) in [
            ("LOADING soon", Class::Transient),
            ("READONLY replica", Class::Transient),
            ("NOAUTH who are you", Class::Fatal),
            ("WRONGTYPE other", Class::Fatal),
            ("ERR connection to the database timed out", Class::Unclassified),
        ] {
            let decided = decided(answer(text));
            let code = text.split(' ').next();
            assert_eq!(
                (decided.class, decided.code.as_deref(), decided.by),
                (class, code, "redis"),
                "{text}"
            );
        }
        assert_eq!(decided(PoolError::Backend(answer("LOADING x"))).class, Class::Transient);
    }

    #[test]
    fn what_never_reached_a_server_has_a_class_as_well() {
        for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::TimedOut, io::ErrorKind::Other] {
            assert_eq!(decided(RedisError::from(io::Error::from(kind))).class, Class::Transient, "{kind}");
        }
        assert_eq!(decided(PoolError::Timeout(TimeoutType::Wait)).class, Class::Transient);
        let no_number = from_redis_value::<u64>(Value::SimpleString("x".to_owned())).unwrap_err();
        assert_eq!(decided(no_number.clone()).class, Class::Permanent);
        assert_eq!(decided(RedisError::from(no_number)).class, Class::Permanent);
    }
}
