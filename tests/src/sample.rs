//! The sample events: real or third-party data with published figures.

use std::env;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde_json::Value;

/// Names the folder of the files that are not in the repository.
const FOLDER: &str = "HIGHWATER_TEST_DATA";

/// A file of sample events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// A week of flights: in the repository.
    Flights,
    /// GitHub webhooks: in the repository.
    Webhooks,
    /// Invoice lines.
    Retail,
    /// Hostile but valid JSON and names.
    Nasty,
}

/// A file that is there, with its figures.
#[derive(Debug)]
pub struct Located {
    /// The file.
    pub path: PathBuf,
    /// What is true of it.
    pub truth: Value,
}

impl Sample {
    fn name(self) -> &'static str {
        match self {
            Self::Flights => "flights-week1.ndjson.gz",
            Self::Webhooks => "webhooks.ndjson.gz",
            Self::Retail => "retail-small.ndjson.gz",
            Self::Nasty => "nasty.ndjson.gz",
        }
    }

    /// The file; `None`, said aloud, where it is not in the repository and no folder is named.
    ///
    /// # Panics
    /// When a folder is named and the file is not there, or the repository is incomplete.
    #[must_use]
    pub fn find(self) -> Option<Located> {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (folder, truth) = match self {
            Self::Flights => (package.join("../examples/flights"), package.join("data/truth.json")),
            Self::Webhooks => (package.join("data"), package.join("data/truth.json")),
            Self::Retail | Self::Nasty => {
                let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else {
                    println!(
                        "skipped: {} is not in the repository; name its folder in {FOLDER}",
                        self.name()
                    );
                    return None;
                };
                let truth = folder.join("truth.json");
                (folder, truth)
            }
        };
        let path = folder.join(self.name());
        assert!(path.is_file(), "{} is missing", path.display());
        let text =
            fs::read(&truth).unwrap_or_else(|error| panic!("cannot read {}: {error}", truth.display()));
        let figures: Value = serde_json::from_slice(&text).expect("the figures are JSON");
        Some(Located { path, truth: figures[self.name()].clone() })
    }

    /// The file of a sample that is in the repository.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn here(self) -> Located {
        self.find().expect("the sample is in the repository")
    }
}

impl Located {
    /// The path as an argument.
    #[must_use]
    pub fn arg(&self) -> &str {
        self.path.to_str().expect("the repository's path is UTF-8")
    }

    /// The lines, decompressed.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let file = fs::File::open(&self.path).expect("the file is there");
        let mut bytes = Vec::new();
        MultiGzDecoder::new(file).read_to_end(&mut bytes).expect("the file is gzip");
        bytes
    }

    /// The first `count` lines.
    #[must_use]
    pub fn first_lines(&self, count: usize) -> Vec<u8> {
        self.bytes().split_inclusive(|byte| *byte == b'\n').take(count).flatten().copied().collect()
    }

    /// A figure that is a number.
    #[must_use]
    pub fn number(&self, figure: &str) -> i64 {
        self.truth[figure].as_i64().unwrap_or_else(|| panic!("no figure {figure}"))
    }

    /// A figure that is a text.
    #[must_use]
    pub fn text(&self, figure: &str) -> &str {
        self.truth[figure].as_str().unwrap_or_else(|| panic!("no figure {figure}"))
    }

    /// A figure that is a count for each of several names.
    #[must_use]
    pub fn counts(&self, figure: &str) -> std::collections::BTreeMap<String, u64> {
        let counts = self.truth[figure].as_object().unwrap_or_else(|| panic!("no figure {figure}"));
        let count = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{figure} has no counts"));
        counts.iter().map(|(name, value)| (name.clone(), count(value))).collect()
    }
}
