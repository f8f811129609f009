//! Checkpoints that an older program has kept as strings: `commit@prepare` or `commit:prepare`, a key each.

use std::fmt;

use deadpool_redis::redis::{Value, pipe};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::{Advance, Position};

use crate::reply::checked;
use crate::server::{Again, Way};

use super::scan::{Kind, Walk};
use super::store::{RedisCheckpoints, check_key, log};

const MIGRATE: &str = "migrate checkpoints";

/// How an older program has written a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OlderForm {
    /// `commit@prepare`.
    At,
    /// `commit:prepare`, which a time of day such as `10:30` looks like, too.
    Colon,
}

/// What became of the older strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Checkpoints that are now as far as their strings.
    pub moved: u64,
    /// Those that were so before.
    pub unchanged: u64,
    /// Those that were further already, and stay so.
    pub newer: u64,
    /// Strings that are no checkpoint, or that cannot be one here.
    pub refused: Vec<Refused>,
}

/// A string that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its whole name.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl OlderForm {
    /// All forms.
    pub const ALL: [Self; 2] = [Self::At, Self::Colon];

    fn separator(self) -> char {
        match self {
            Self::At => '@',
            Self::Colon => ':',
        }
    }

    fn read(self, text: &str) -> Option<Position> {
        let (commit, prepare) = text.split_once(self.separator())?;
        format!("{commit}:{prepare}").parse().ok()
    }
}

impl fmt::Display for OlderForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commit{}prepare", self.separator())
    }
}

impl RedisCheckpoints {
    /// Takes over the strings whose names begin with `older_prefix`, literally; the rest of the name becomes the key.
    /// Only moves forward, so that it may be run again, and while new checkpoints are written; the strings stay. With
    /// `dry_run` it only looks.
    ///
    /// # Errors
    /// `Invalid` for an empty prefix; `Unsupported` on a cluster, where the strings are scattered over its nodes. When
    /// the server cannot be asked; then a part may be done.
    pub async fn migrate(&self, older_prefix: &str, dry_run: bool) -> Result<Migrated, Error> {
        self.migrate_from(older_prefix, &OlderForm::ALL, dry_run).await
    }

    /// As [`RedisCheckpoints::migrate`], of strings in these forms; others are refused.
    ///
    /// # Errors
    /// As [`RedisCheckpoints::migrate`].
    pub async fn migrate_from(
        &self,
        older_prefix: &str,
        forms: &[OlderForm],
        dry_run: bool,
    ) -> Result<Migrated, Error> {
        if older_prefix.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, MIGRATE)
                .because("an empty prefix means every string in the server; name a prefix"));
        }
        if self.redis.is_cluster() {
            return Err(Error::new(ErrorKind::Unsupported, MIGRATE).because(
                "on a cluster older strings are scattered over its nodes: read them yourself and set the checkpoints",
            ));
        }
        let mut done = Migrated::default();
        let (base, page) = (older_prefix.as_bytes().to_vec(), self.redis.options().page);
        let mut walk = Walk::begin(&self.redis, MIGRATE, Kind::Strings, base, b"", page).await?;
        // Names that come twice are unchanged the second time: they must not be counted.
        let mut seen = std::collections::HashSet::new();
        while let Some(names) = walk.next().await? {
            let names: Vec<_> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
            let found = self.older(older_prefix, forms, names, &mut done).await?;
            let advances = if dry_run { self.compare(&found).await? } else { self.take_over(&found).await? };
            for advance in advances {
                match advance {
                    Advance::Applied => done.moved += 1,
                    Advance::Unchanged => done.unchanged += 1,
                    Advance::Stale { .. } => done.newer += 1,
                }
            }
        }
        log("migrate", older_prefix, None, None);
        Ok(done)
    }

    /// Keys and positions of older strings.
    async fn older(
        &self,
        older_prefix: &str,
        forms: &[OlderForm],
        names: Vec<Vec<u8>>,
        done: &mut Migrated,
    ) -> Result<Vec<(String, Position)>, Error> {
        let mut found = Vec::new();
        for names in names.chunks(100) {
            let mut commands = pipe();
            for name in names {
                commands.cmd("GET").arg([older_prefix.as_bytes(), name].concat());
            }
            let answers = self.redis.flight(Way::Pool, Again::Safe, MIGRATE, &commands).await?;
            for (name, answer) in names.iter().zip(answers) {
                let value = match checked(MIGRATE, answer).map_err(|error| self.redis.at(error))? {
                    Value::BulkString(value) => value,
                    // Deleted meanwhile.
                    _ => continue,
                };
                match understood(name, &value, forms) {
                    Ok(entry) => found.push(entry),
                    Err(reason) => {
                        let name = format!("{older_prefix}{}", String::from_utf8_lossy(name));
                        done.refused.push(Refused { name, reason });
                    }
                }
            }
        }
        Ok(found)
    }

    async fn take_over(&self, found: &[(String, Position)]) -> Result<Vec<Advance>, Error> {
        let borrowed: Vec<_> = found.iter().map(|(key, to)| (key.as_str(), *to)).collect();
        self.set_all(&borrowed, None).await
    }

    /// What [`RedisCheckpoints::take_over`] would answer.
    async fn compare(&self, found: &[(String, Position)]) -> Result<Vec<Advance>, Error> {
        let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
        let stored = self.read_all(Way::Pool, MIGRATE, &keys).await?;
        let compared = found.iter().zip(stored).map(|((_, to), stored)| {
            match stored.map(|checkpoint| checkpoint.position) {
                Some(current) if current == *to => Advance::Unchanged,
                Some(current) if current > *to => Advance::Stale { current },
                _ => Advance::Applied,
            }
        });
        Ok(compared.collect())
    }
}

/// The key and the position of an older string, or why it is none.
fn understood(name: &[u8], value: &[u8], forms: &[OlderForm]) -> Result<(String, Position), String> {
    let key = std::str::from_utf8(name).map_err(|_| "its name is no text".to_owned())?;
    check_key(key).map_err(|error| error.chain())?;
    let text = std::str::from_utf8(value).map_err(|_| "it is no text".to_owned())?;
    let position = forms.iter().find_map(|form| form.read(text));
    let position = position.ok_or_else(|| {
        let forms: Vec<_> = forms.iter().map(ToString::to_string).collect();
        let what = if forms.len() > 1 { "neither" } else { "not" };
        format!("`{text}` is {what} {}", forms.join(" nor "))
    })?;
    Ok((key.to_owned(), position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_strings_are_read_in_both_forms() {
        let all = OlderForm::ALL;
        let key = |text: &str| understood(b"key", text.as_bytes(), &all).map(|(_, position)| position);
        assert_eq!(key("12@3"), Ok(Position::new(12, 3)));
        assert_eq!(key("12:3"), Ok(Position::new(12, 3)));
        assert_eq!(key("18446744073709551615@18446744073709551615"), Ok(Position::MAX));
        for bad in ["", "12", "12@", "@3", "12@3@4", "12:3@4", "-1@0", "012@3", "null", "1e3@0"] {
            let why = format!("`{bad}` is neither commit@prepare nor commit:prepare");
            assert_eq!(key(bad), Err(why), "{bad:?}");
        }
        assert!(understood(b"", b"1@2", &all).is_err());
        assert!(understood(b"\xff", b"1@2", &all).is_err());
    }

    #[test]
    fn only_the_forms_that_are_named_are_read() {
        let read = |text: &str, form| understood(b"key", text.as_bytes(), &[form]).is_ok();
        assert!(read("10@30", OlderForm::At) && !read("10:30", OlderForm::At), "a time of day stays one");
        assert!(read("10:30", OlderForm::Colon) && !read("10@30", OlderForm::Colon));
    }
}
