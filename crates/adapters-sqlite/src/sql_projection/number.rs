//! JSON numbers that no `i64` holds.
//!
//! SQLite's REAL is an IEEE double. A number that a double holds exactly as it is written goes in as REAL, so
//! that SQL can compute with it; any other stays text: nothing is rounded behind the user's back (F-3).

/// Decimal digits that survive the way into a double and back.
const SAFE_DIGITS: usize = 15;
/// Within these bounds a double has its full precision.
const SAFE_RANGE: std::ops::Range<f64> = 1e-300..1e300;

/// The double whose shortest decimal text is the number that `text` (a JSON number) writes, if there is one.
pub(super) fn exact_real(text: &str) -> Option<f64> {
    let real: f64 = text.parse().ok().filter(|real: &f64| real.is_finite())?;
    let written = Decimal::read(text)?;
    if written.digits.len() <= SAFE_DIGITS && (SAFE_RANGE.contains(&real.abs()) || written.digits.is_empty())
    {
        return Some(real);
    }
    (Decimal::read(&format!("{real:e}"))? == written).then_some(real)
}

/// A decimal number in its one normal form: `0.digits × 10^exponent`.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// `None` where the exponent is beyond all use.
    fn read(text: &str) -> Option<Self> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros_after = digits.iter().rev().take_while(|digit| **digit == b'0').count();
        digits.truncate(digits.len() - zeros_after);
        let zeros_before = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros_before);
        if digits.is_empty() {
            return Some(Self { negative, digits, exponent: 0 });
        }
        let point = i64::try_from(whole.len()).ok()?.checked_sub(i64::try_from(zeros_before).ok()?)?;
        let exponent = exponent.parse::<i64>().ok()?.checked_add(point)?;
        Some(Self { negative, digits, exponent })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn f_3_a_number_is_real_exactly_where_nothing_is_rounded() {
        for (text, real) in [
            ("14.50", 14.5),
            ("0.1", 0.1),
            ("1E2", 100.0),
            ("100.0", 100.0),
            ("-0", -0.0),
            ("0.000", 0.0),
            ("0e99999999999999999999", 0.0),
            ("1e-7", 0.000_000_1),
            ("0.30000000000000004", 0.300_000_000_000_000_04),
            ("1.7976931348623157e308", f64::MAX),
            ("5e-324", f64::from_bits(1)),
            ("9007199254740992.0", 9_007_199_254_740_992.0),
            ("1e22", 1e22),
        ] {
            assert_eq!(exact_real(text).map(f64::to_bits), Some(f64::to_bits(real)), "{text}");
        }
        for text in [
            "18446744073709551615",
            "9007199254740993.0",
            "1e400",
            "-1e400",
            "1e-400",
            "1e-99999999999999999999",
            "4.9e-324",
            "0.1000000000000000055511151231257827",
            "123456789012345678901234567890.123456789",
            "3.14159265358979323846",
        ] {
            assert_eq!(exact_real(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn f_3_every_double_is_the_real_of_its_own_text(bits: u64) {
            let real = f64::from_bits(bits);
            prop_assume!(real.is_finite());
            for text in [format!("{real:e}"), format!("{real}"), format!("{real:?}")] {
                prop_assert_eq!(exact_real(&text).map(f64::to_bits), Some(bits), "{}", text);
            }
        }

        #[test]
        fn f_3_what_is_taken_as_real_says_the_same_number(
            whole in 0u64.., fraction in "[0-9]{1,20}", exponent in -330i64..310
        ) {
            let text = format!("{whole}.{fraction}e{exponent}");
            if let Some(real) = exact_real(&text) {
                prop_assert_eq!(Decimal::read(&text), Decimal::read(&format!("{real:e}")));
            } else {
                let rounded: f64 = text.parse().unwrap();
                let said = Decimal::read(&format!("{rounded:e}"));
                prop_assert!(!rounded.is_finite() || Decimal::read(&text) != said);
            }
        }
    }
}
