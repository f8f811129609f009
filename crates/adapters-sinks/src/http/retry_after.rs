//! How long the receiver asks us to wait (RFC 9110, section 10.2.3).

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// The longest wait that is taken over. A receiver that says a day is asked again after an hour: more often
/// it is a mistake in a header than a plan, and one question an hour is no load.
const LONGEST: Duration = Duration::from_secs(3600);

/// What `Retry-After` says: seconds, or a date. A date is measured against the answer's own `Date`, which
/// every server with a clock must send: no clock of ours, however wrong, takes part. `None` where nothing is
/// said that can be understood; then the caller's own backoff holds.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = text(headers, RETRY_AFTER)?;
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that do not fit are a number beyond every limit.
        text.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        let until = httpdate::parse_http_date(text).ok()?;
        let now = httpdate::parse_http_date(self::text(headers, DATE)?).ok()?;
        until.duration_since(now).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(LONGEST))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    const NOW: &str = "Tue, 15 Nov 1994 08:12:31 GMT";

    fn wait(said: &str, date: Option<&'static str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(said).unwrap());
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        retry_after(&headers)
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        assert_eq!(wait("0", None), Some(Duration::ZERO));
        assert_eq!(wait(" 120 ", None), Some(Duration::from_secs(120)));
        assert_eq!(wait("Tue, 15 Nov 1994 08:14:01 GMT", Some(NOW)), Some(Duration::from_secs(90)));
        assert_eq!(wait("Tuesday, 15-Nov-94 08:12:41 GMT", Some(NOW)), Some(Duration::from_secs(10)));
        assert_eq!(wait("Tue, 15 Nov 1994 08:12:00 GMT", Some(NOW)), Some(Duration::ZERO), "past");
    }

    #[test]
    fn x_5_longer_than_an_hour_is_an_hour() {
        for long in ["3601", "99999999999999999999999999"] {
            assert_eq!(wait(long, None), Some(LONGEST), "{long}");
        }
        assert_eq!(wait("Mon, 15 Nov 2094 08:12:31 GMT", Some(NOW)), Some(LONGEST));
    }

    #[test]
    fn what_cannot_be_understood_says_nothing() {
        for odd in ["", "soon", "-1", "1.5", "+7", "Tue, 15 Foo 1994 08:12:31 GMT"] {
            assert_eq!(wait(odd, Some(NOW)), None, "{odd:?}");
        }
        assert_eq!(wait(NOW, None), None, "a date without the server's clock");
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
