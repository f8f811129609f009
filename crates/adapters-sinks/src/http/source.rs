//! The `source` of a CloudEvent: a URI reference made from a template.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use highwater_core::model::RecordedEvent;

/// Everything but RFC 3986's unreserved characters, so that a name is always one segment of a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Stream,
    Category,
}

impl Source {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(template: &str) -> Result<Self, String> {
        if template.is_empty() {
            return Err("is empty: give a URI, or a path such as /streams/{stream}".to_owned());
        }
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, behind)) = rest.split_once('{') {
            push_text(&mut parts, text)?;
            let (name, behind) = behind
                .split_once('}')
                .ok_or_else(|| "has a `{` without its `}`: write {stream} or {category}".to_owned())?;
            parts.push(match name {
                "stream" => Part::Stream,
                "category" => Part::Category,
                _ => return Err(format!("has {{{name}}}: only {{stream}} and {{category}} are known")),
            });
            rest = behind;
        }
        push_text(&mut parts, rest)?;
        Ok(Self(parts))
    }

    /// Appends the source of this event; it holds nothing that JSON would escape.
    pub(super) fn write(&self, out: &mut Vec<u8>, event: &RecordedEvent) {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Stream => encode(out, event.stream()),
                Part::Category => encode(out, event.category()),
            }
        }
    }
}

fn encode(out: &mut Vec<u8>, name: &str) {
    for piece in utf8_percent_encode(name, ENCODED) {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// RFC 3986, section 2: unreserved and reserved characters, and `%` with two digits.
fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), String> {
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        let fits = match next {
            '%' => (0..2).all(|_| rest.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => next.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=".contains(next),
        };
        if !fits {
            return Err(format!("is no URI reference: {next:?} must be percent-encoded in it"));
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use highwater_testkit::fixtures::event;

    use super::*;

    fn source(template: &str, stream: &str) -> String {
        let mut out = Vec::new();
        Source::parse(template).unwrap().write(&mut out, &event(1, "T", stream));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn x_10_a_stream_of_any_name_is_one_segment() {
        assert_eq!(source("/streams/{stream}", "case-7"), "/streams/case-7");
        assert_eq!(source("/streams/{stream}", "a/b \"é\"\0%"), "/streams/a%2Fb%20%22%C3%A9%22%00%25");
        assert_eq!(
            source("https://x.example/{category}/{stream}?a=%20", "o-1"),
            "https://x.example/o/o-1?a=%20"
        );
        assert_eq!(source("urn:fleet", "o-1"), "urn:fleet");
    }

    #[test]
    fn x_12_what_is_no_template_is_refused_with_the_reason() {
        for (bad, why) in [
            ("", "is empty"),
            ("/a b", "' '"),
            ("/é", "'é'"),
            ("/\"", "'\"'"),
            ("/%2", "'%'"),
            ("/%zz", "'%'"),
            ("/{stream", "without its"),
            ("/stream}", "'}'"),
            ("/{id}", "{id}"),
        ] {
            let problem = Source::parse(bad).unwrap_err();
            assert!(problem.contains(why), "{bad}: {problem}");
        }
    }
}
