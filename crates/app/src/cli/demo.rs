//! What `highwater demo` writes: a folder of the files in `demo/`, which are the ones of `examples/flights`.

/// A file of the demo.
pub(crate) struct DemoFile {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its bytes.
    pub(crate) bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(DemoFile {
            name: $name,
            bytes: include_bytes!(concat!("../../demo/", $name)),
        }),+]
    };
}

/// The events.
pub(crate) const EVENTS: &str = "flights-week1.ndjson.gz";

/// The config.
pub(crate) const CONFIG: &str = "highwater.toml";

/// All files.
pub(crate) const FILES: &[DemoFile] = files![
    "highwater.toml",
    "airport_delays.sql",
    "landings.sql",
    "aircraft.sql",
    "flights-week1.ndjson.gz",
    "README.md",
];

/// The bytes of a file.
pub(crate) fn file(name: &str) -> &'static [u8] {
    FILES.iter().find(|file| file.name == name).map_or(&[], |file| file.bytes)
}

/// The events as lines.
#[cfg(test)]
pub(crate) fn sample_events() -> Vec<u8> {
    use std::io::Read as _;
    let mut lines = Vec::new();
    flate2::read::MultiGzDecoder::new(file(EVENTS)).read_to_end(&mut lines).expect("the sample is whole");
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::config::{ConfigSource, load};

    #[test]
    fn the_example_has_the_same_files() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/flights");
        for file in FILES {
            let example = std::fs::read(folder.join(file.name)).unwrap();
            assert!(example == file.bytes, "examples/flights/{} is not demo/{}", file.name, file.name);
        }
    }

    #[test]
    fn the_config_is_valid() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(CONFIG);
        let config = load(&ConfigSource { file: Some(path), ..ConfigSource::default() }).unwrap();
        let names: Vec<_> =
            config.projections.iter().map(|projection| projection.spec.name.to_string()).collect();
        assert_eq!(names, ["airport_delays", "landings", "aircraft", "stream_counts"]);
    }
}
