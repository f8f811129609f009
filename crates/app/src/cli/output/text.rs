//! Numbers, durations and foreign text for people.

use std::fmt::Write as _;
use std::time::Duration;

/// A count with separators: `12,107`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration with as many digits as one reads: `340 ms`, `2.4 s`, `3 min 20 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..=59 => format!("{seconds}.{} s", duration.subsec_millis() / 100),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Events per second, rounded; `None` where the time is too short to tell.
pub(crate) fn rate(events: u64, took: Duration) -> Option<u64> {
    let millis = took.as_millis();
    (millis > 0).then(|| u64::try_from(u128::from(events) * 1000 / millis).unwrap_or(u64::MAX))
}

/// Foreign text made harmless for a terminal: control characters are shown as escapes.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let turns_text = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns_text {
            write!(shown, "{}", character.escape_default()).expect("a string takes every text");
        } else {
            shown.push(character);
        }
    }
    shown
}

/// As [`plain`], for a text of several lines, which stay lines.
pub(crate) fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([count(0), count(999), count(1000), count(12_107)], ["0", "999", "1,000", "12,107"]);
        assert_eq!(duration(Duration::from_millis(340)), "340 ms");
        assert_eq!(duration(Duration::from_millis(2_449)), "2.4 s");
        assert_eq!(duration(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(duration(Duration::from_secs(7_260)), "2 h 1 min");
        assert_eq!(rate(500, Duration::from_millis(250)), Some(2000));
        assert_eq!(rate(500, Duration::ZERO), None);
    }

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        assert_eq!(plain("a\u{1b}]0;x\u{7}\r\n\u{202e}é"), "a\\u{1b}]0;x\\u{7}\\r\\n\\u{202e}é");
    }
}
