//! Where a projection begins that has no state yet.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::model::Position;

/// Where a projection begins that has no state yet; a stored state wins over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StartFrom {
    /// With the first event of the log. The default: a read model of everything is what most want.
    #[default]
    Beginning,
    /// Behind what is the last event when the state is created.
    End,
    /// Behind this position.
    Position(Position),
}

impl StartFrom {
    /// The text in a config file: `beginning`, `end`, or the position.
    #[must_use]
    pub fn as_str(&self) -> Cow<'static, str> {
        match self {
            Self::Beginning => Cow::Borrowed("beginning"),
            Self::End => Cow::Borrowed("end"),
            Self::Position(position) => Cow::Owned(position.to_string()),
        }
    }
}

impl fmt::Display for StartFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str())
    }
}

impl FromStr for StartFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "beginning" => Ok(Self::Beginning),
            "end" => Ok(Self::End),
            other => other.parse().map(Self::Position).map_err(|_not_a_position| {
                format!(
                    "`{other}` is no place to start from: write beginning, end, or a position such as 12:0"
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x_12_texts_go_both_ways_and_a_wrong_one_names_what_is_right() {
        for start in [StartFrom::Beginning, StartFrom::End, StartFrom::Position(Position::new(12, u64::MAX))]
        {
            assert_eq!(start.as_str().parse(), Ok(start));
        }
        let error = "start".parse::<StartFrom>().unwrap_err();
        assert!(error.contains("beginning, end, or a position"), "{error}");
    }
}
