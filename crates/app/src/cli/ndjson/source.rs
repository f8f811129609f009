//! Where lines come from: a file or standard input, plain or gzip, told apart by the first two bytes.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// An opened source of lines.
pub(crate) struct Source {
    name: String,
    reader: Box<dyn Read + Send>,
    total: Option<u64>,
    taken: Arc<AtomicU64>,
    gzip: bool,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// When it cannot be opened or its first bytes cannot be read.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if path.as_os_str() == "-" {
            return Self::from_reader("standard input", None, io::stdin());
        }
        let file = File::open(path)?;
        let total = file.metadata()?;
        if total.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "this is a folder, not a file"));
        }
        Self::from_reader(&path.display().to_string(), Some(total.len()).filter(|_| total.is_file()), file)
    }

    /// Bytes that are in memory.
    ///
    /// # Errors
    /// Never in practice: memory can be read.
    pub(crate) fn from_bytes(name: &str, bytes: &'static [u8]) -> io::Result<Self> {
        Self::from_reader(name, u64::try_from(bytes.len()).ok(), bytes)
    }

    fn from_reader(name: &str, total: Option<u64>, reader: impl Read + Send + 'static) -> io::Result<Self> {
        let taken = Arc::new(AtomicU64::new(0));
        let mut reader = Counting { reader, taken: Arc::clone(&taken) };
        let mut first = Vec::with_capacity(GZIP_MAGIC.len());
        reader.by_ref().take(2).read_to_end(&mut first)?;
        let gzip = first == GZIP_MAGIC;
        let whole = Cursor::new(first).chain(reader);
        let reader: Box<dyn Read + Send> = if gzip {
            Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(1 << 16, whole)))
        } else {
            Box::new(whole)
        };
        Ok(Self { name: name.to_owned(), reader, total, taken, gzip })
    }

    /// The name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes it has, compressed as it is; unknown for a pipe.
    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Counts the bytes taken so far, compressed as they are.
    pub(crate) fn taken(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.taken)
    }

    /// Says what a read error means here.
    pub(crate) fn explain(gzip: bool, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::UnexpectedEof if gzip => {
                "the gzip data ends early: the file is truncated".to_owned()
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData if gzip => {
                format!("the gzip data is damaged ({error})")
            }
            _ => error.to_string(),
        }
    }

    /// Whether it is compressed.
    pub(crate) fn is_gzip(&self) -> bool {
        self.gzip
    }

    /// The bytes, decompressed.
    pub(crate) fn into_reader(self) -> Box<dyn Read + Send> {
        self.reader
    }
}

struct Counting<R> {
    reader: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.taken.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: Vec<u8>) -> io::Result<String> {
        let mut text = String::new();
        Source::from_reader("test", None, Cursor::new(bytes))?.into_reader().read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_and_may_have_several_members() {
        assert_eq!(read(b"plain".to_vec()).unwrap(), "plain");
        assert_eq!(read(b"p".to_vec()).unwrap(), "p");
        assert_eq!(read(Vec::new()).unwrap(), "");
        assert_eq!(read([gzip(b"one "), gzip(b"two")].concat()).unwrap(), "one two");
    }

    #[test]
    fn a_truncated_file_is_an_error_that_says_so() {
        let whole = gzip(b"some lines");
        let error = read(whole[..whole.len() - 3].to_vec()).unwrap_err();
        assert!(Source::explain(true, &error).contains("truncated"), "{error}");
        let damaged = read([&whole[..10], b"\xff\xff\xff\xff\xff\xff"].concat()).unwrap_err();
        assert!(Source::explain(true, &damaged).contains("damaged"), "{damaged}");
    }
}
