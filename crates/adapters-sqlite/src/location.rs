//! Which file a `sqlite:` URL names.
//!
//! A database in memory is refused, though SQLite has one: the guarantees here rest on the write-ahead log,
//! on a lock file beside the database and on other processes that look at it, and memory has none of these.

use std::path::{Path, PathBuf};

use highwater_core::error::{Error, ErrorKind};

/// The path in `sqlite:flights.db`, `sqlite:///var/lib/flights.db` or `sqlite://flights.db`.
///
/// # Errors
/// `Invalid` when it is no such URL, names no file, or names a database in memory.
pub fn path_from_url(url: &str) -> Result<PathBuf, Error> {
    let refuse = |why: &'static str| {
        Err(Error::new(ErrorKind::Invalid, "read the database URL").with("url", url).because(why))
    };
    let Some(rest) = url.strip_prefix("sqlite:") else {
        return refuse("it does not begin with `sqlite:`; write sqlite:PATH, such as sqlite:flights.db");
    };
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.trim_start_matches('/').starts_with(":memory:") {
        return refuse(
            "a database in memory has no write-ahead log, no lock file and no other process that could see \
             it; name a file, in a temporary folder if it need not last",
        );
    }
    if path.is_empty() || path.ends_with('/') {
        return refuse("it names no file; write sqlite:PATH, such as sqlite:flights.db");
    }
    if path.contains('?') {
        return refuse("parameters behind `?` are not understood; set them in the configuration instead");
    }
    Ok(PathBuf::from(path))
}

/// The folder beside a database in which its lock files are.
pub(crate) fn locks_folder(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".locks");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_url_names_a_file() {
        for (url, path) in [
            ("sqlite:flights.db", "flights.db"),
            ("sqlite:./a b/ü.db", "./a b/ü.db"),
            ("sqlite:/var/lib/x", "/var/lib/x"),
            ("sqlite://x.db", "x.db"),
            ("sqlite:///var/lib/x", "/var/lib/x"),
        ] {
            assert_eq!(path_from_url(url).unwrap(), Path::new(path), "{url}");
        }
    }

    #[test]
    fn x_12_what_is_no_file_is_refused_with_the_reason() {
        for (url, reason) in [
            ("postgres://x", "begin with"),
            ("flights.db", "begin with"),
            ("sqlite:", "names no file"),
            ("sqlite://", "names no file"),
            ("sqlite:folder/", "names no file"),
            ("sqlite::memory:", "in memory"),
            ("sqlite://:memory:", "in memory"),
            ("sqlite:x.db?mode=ro", "parameters"),
        ] {
            let error = path_from_url(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}");
            assert!(error.chain().contains(reason) && error.chain().contains(url), "{}", error.chain());
        }
    }
}
