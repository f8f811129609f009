//! Names of tables, as users write them.

use std::fmt;

use crate::schema::quote_identifier;

/// A table, with its schema if that was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TableName {
    pub(super) schema: Option<String>,
    pub(super) name: String,
}

impl TableName {
    /// Reads `name`, `schema.name`, or either with quotes, as SQL would; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = Words(text);
        let first = words.next()?.identifier()?;
        let name = match words.next() {
            None => return Some(Self { schema: None, name: first }),
            Some(dot) if dot.is(".") => words.next()?.identifier()?,
            Some(_) => return None,
        };
        words.next().is_none().then_some(Self { schema: Some(first), name })
    }

    /// The name as SQL takes it, whatever is in it.
    pub(super) fn quoted(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quote_identifier(schema), quote_identifier(&self.name)),
            None => quote_identifier(&self.name),
        }
    }
}

/// As the catalogue has it: `delays`, `app.delays`.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Words and single symbols of SQL, comments left out, quotes taken off.
pub(super) struct Words<'s>(pub(super) &'s str);

/// A word, a symbol, or what stood in quotes.
pub(super) struct Word {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Symbol,
    Quoted,
}

impl Word {
    /// It is this keyword or symbol.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.kind != Kind::Quoted && self.text.eq_ignore_ascii_case(keyword)
    }

    /// The name that it is: folded as the server folds one without quotes.
    pub(super) fn identifier(self) -> Option<String> {
        match self.kind {
            Kind::Plain => Some(self.text.to_lowercase()),
            Kind::Quoted => Some(self.text),
            Kind::Symbol => None,
        }
    }
}

impl Words<'_> {
    /// Takes the next word off if it is `keyword`.
    pub(super) fn pass(&mut self, keyword: &str) -> bool {
        let before = self.0;
        let found = self.next().is_some_and(|word| word.is(keyword));
        if !found {
            self.0 = before;
        }
        found
    }

    fn skip_blank(&mut self) {
        loop {
            let text = self.0.trim_start();
            self.0 = match (text.strip_prefix("--"), text.strip_prefix("/*")) {
                (Some(comment), _) => comment.split_once('\n').map_or("", |(_, rest)| rest),
                (_, Some(comment)) => after_comment(comment),
                _ => {
                    self.0 = text;
                    return;
                }
            };
        }
    }
}

/// Comments nest.
fn after_comment(mut text: &str) -> &str {
    let mut depth = 1_u32;
    while depth > 0 {
        let close = text.find("*/");
        match (text.find("/*"), close) {
            (Some(open), Some(close)) if open < close => {
                depth += 1;
                text = &text[open + 2..];
            }
            (_, Some(close)) => {
                depth -= 1;
                text = &text[close + 2..];
            }
            (_, None) => return "",
        }
    }
    text
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        self.skip_blank();
        let first = self.0.chars().next()?;
        if first != '"' {
            let part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
            let end = self.0.find(|c| !part(c)).unwrap_or(self.0.len()).max(first.len_utf8());
            let (word, rest) = self.0.split_at(end);
            self.0 = rest;
            let kind = if part(first) { Kind::Plain } else { Kind::Symbol };
            return Some(Word { text: word.to_owned(), kind });
        }
        let mut text = String::new();
        let mut chars = self.0.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c != '"' || chars.next_if(|(_, next)| *next == '"').is_some() {
                text.push(c);
            } else {
                self.0 = &self.0[at + 1..];
                return Some(Word { text, kind: Kind::Quoted });
            }
        }
        self.0 = "";
        Some(Word { text, kind: Kind::Quoted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_the_server_would() {
        let read = |text| TableName::parse(text).map(|name| name.quoted());
        assert_eq!(read("Delays").as_deref(), Some("\"delays\""));
        assert_eq!(read("app.\"Odd \"\"name\"").as_deref(), Some("\"app\".\"Odd \"\"name\""));
        for bad in ["", "a b", "a.b.c", "a.", ".a", "a;"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
