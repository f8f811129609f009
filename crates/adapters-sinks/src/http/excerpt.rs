//! A piece of what the receiver said, fit for a log and for a dead letter.

/// The greatest length, in characters: the reason is in the first lines of an answer, if anywhere.
const LONGEST: usize = 300;

/// Words shorter than this are no secrets, and blanking them would blank half of a text.
const SHORTEST_SECRET: usize = 6;

/// What must not be printed, even where the receiver sends it back: many say which path or which header they
/// did not like. The longest come first, since one may be a part of another.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// These texts and each word of them: `Bearer` tokens are quoted with and without their scheme.
    pub(super) fn new<'s>(texts: impl IntoIterator<Item = &'s str>) -> Self {
        let mut secrets: Vec<String> = texts
            .into_iter()
            .flat_map(|text| std::iter::once(text).chain(text.split_whitespace()))
            .filter(|word| word.len() >= SHORTEST_SECRET)
            .map(str::to_owned)
            .collect();
        secrets.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        secrets.dedup();
        Self(secrets)
    }

    /// The beginning of the text, on one line, without secrets and control characters. `None` for a text that
    /// says nothing.
    pub(super) fn excerpt(&self, body: &[u8]) -> Option<String> {
        let mut text = String::from_utf8_lossy(body).into_owned();
        for secret in &self.0 {
            text = text.replace(secret.as_str(), "***");
        }
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
        if text.chars().nth(LONGEST).is_some() {
            shown.push('…');
        }
        Some(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_blanked_with_and_without_what_stands_around_them() {
        let secrets = Secrets::new(["Bearer s3cr3t-token", "/hooks/T000", "abc"]);
        let shown =
            secrets.excerpt(b"POST /hooks/T000 with s3cr3t-token, Bearer s3cr3t-token: abc\r\n\x1b[31m");
        assert_eq!(shown.as_deref(), Some(r"POST *** with ***, ***: abc\r\n\u{1b}[31m"));
    }

    #[test]
    fn an_excerpt_is_short_and_one_line() {
        let none = Secrets::default();
        let long = none.excerpt("é".repeat(10_000).as_bytes()).unwrap();
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert_eq!(none.excerpt(" \n ".as_bytes()), None);
        assert_eq!(none.excerpt(b"\xff").as_deref(), Some("\u{fffd}"));
    }
}
