//! The named parameters of a user's SQL.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// The longest path below `:data` or `:metadata`, in segments.
///
/// More than any payload needs; it bounds the depth to which a payload is followed.
pub const MAX_SEGMENTS: usize = 100;

/// What a parameter is taken from. No other name after a `:` is a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Root {
    /// The event's id.
    Id,
    /// The stream.
    Stream,
    /// The category of the stream.
    Category,
    /// The event's sequence in its stream, from 0.
    Sequence,
    /// The event's place in the whole log.
    Position,
    /// The event's place among those of one position.
    Offset,
    /// The event's type.
    Type,
    /// When the event was recorded.
    Time,
    /// The payload, or a field of it.
    Data,
    /// The metadata, or a field of it.
    Metadata,
}

impl Root {
    /// Every root, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Id,
        Self::Stream,
        Self::Category,
        Self::Sequence,
        Self::Position,
        Self::Offset,
        Self::Type,
        Self::Time,
        Self::Data,
        Self::Metadata,
    ];

    /// The name, without the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Stream => "stream",
            Self::Category => "category",
            Self::Sequence => "sequence",
            Self::Position => "position",
            Self::Offset => "offset",
            Self::Type => "type",
            Self::Time => "time",
            Self::Data => "data",
            Self::Metadata => "metadata",
        }
    }

    /// It is a document, so a path may follow.
    pub fn has_fields(self) -> bool {
        matches!(self, Self::Data | Self::Metadata)
    }

    /// The root of exactly this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|root| root.name() == name)
    }

    /// The root whose name is most like `name`.
    pub(super) fn nearest(name: &str) -> Self {
        let name = name.to_lowercase();
        let likeness = |root: &Self| strsim::jaro_winkler(&name, root.name());
        Self::ALL.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).expect("there are roots")
    }
}

/// One step of a path into a document.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A key of an object.
    Key(String),
    /// An element of an array, from 0; in an object, the key of the same text.
    Index(usize),
}

impl Segment {
    /// What an unquoted segment means: digits without a leading zero are an index, all else is a key.
    pub fn unquoted(text: &str) -> Self {
        Self::index_of(text).map_or_else(|| Self::Key(text.to_owned()), Self::Index)
    }

    /// The key that the segment is in an object.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Key(key) => Cow::Borrowed(key),
            Self::Index(index) => Cow::Owned(index.to_string()),
        }
    }

    /// The index that a text is the one way to write.
    pub(super) fn index_of(text: &str) -> Option<usize> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if plain { text.parse().ok() } else { None }
    }
}

/// As it is written in SQL; quoted where it must be.
impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "{index}"),
            Self::Key(key) if is_plain(key) && Self::index_of(key).is_none() => f.write_str(key),
            Self::Key(key) => write!(f, "\"{}\"", key.replace('"', "\"\"")),
        }
    }
}

/// One occurrence of a named parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// What it is taken from.
    pub root: Root,
    /// The way into the document; empty for the root itself.
    pub path: Vec<Segment>,
    /// The bytes of the scanned text that it takes up, from its colon on.
    pub range: Range<usize>,
}

impl Parameter {
    /// Both stand for one value, so one number and one binding do for both.
    pub fn is_same_value(&self, other: &Self) -> bool {
        self.root == other.root && self.path == other.path
    }
}

/// As it is written in SQL.
impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}", self.root.name())?;
        self.path.iter().try_for_each(|segment| write!(f, ".{segment}"))
    }
}

/// May stand in an unquoted segment of a path.
pub(super) fn is_plain_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Can be a segment without quotes.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(is_plain_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_is_found_by_its_name_alone() {
        for root in Root::ALL {
            assert_eq!(Root::named(root.name()), Some(root));
            assert_eq!(Root::nearest(root.name()), root);
        }
        assert_eq!(Root::named("Data"), None);
        assert_eq!(Root::named(""), None);
    }

    #[test]
    fn the_nearest_root_forgives_slips() {
        for (name, root) in [
            ("streem", Root::Stream),
            ("STREAM", Root::Stream),
            ("stream_id", Root::Stream),
            ("tpye", Root::Type),
            ("meta", Root::Metadata),
            ("pos", Root::Position),
            ("seq", Root::Sequence),
            ("timestamp", Root::Time),
        ] {
            assert_eq!(Root::nearest(name), root, "{name}");
        }
    }

    #[test]
    fn f_3_only_canonical_digits_are_an_index() {
        assert_eq!(Segment::unquoted("0"), Segment::Index(0));
        assert_eq!(Segment::unquoted("12"), Segment::Index(12));
        assert_eq!(Segment::unquoted(&usize::MAX.to_string()), Segment::Index(usize::MAX));
        for key in ["00", "01", "1a", "a1", "_1", "99999999999999999999999", ""] {
            assert_eq!(Segment::unquoted(key), Segment::Key(key.to_owned()));
        }
        assert_eq!(Segment::Index(7).text(), "7");
        assert_eq!(Segment::Key("a b".to_owned()).text(), "a b");
    }

    #[test]
    fn segments_are_written_so_that_they_read_back() {
        for (segment, written) in [
            (Segment::Index(3), "3"),
            (Segment::Key("customer_id".to_owned()), "customer_id"),
            (Segment::Key("01".to_owned()), "01"),
            (Segment::Key("3".to_owned()), "\"3\""),
            (Segment::Key("a\"b c".to_owned()), "\"a\"\"b c\""),
            (Segment::Key(String::new()), "\"\""),
            (Segment::Key("größe".to_owned()), "größe"),
        ] {
            assert_eq!(segment.to_string(), written);
        }
    }
}
