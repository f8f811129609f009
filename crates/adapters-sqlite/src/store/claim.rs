//! Ownership of a projection, as a lock on a file beside the database (E-11).
//!
//! The operating system gives the lock up when its process ends, however it ends, so there is no time-out to
//! wait for and no clock to trust. What the file says is for people; only the lock counts. The folder stands
//! beside the database itself, behind links, so that two paths to one database meet at one lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use highwater_core::error::{Error, ErrorKind};
use highwater_core::model::ProjectionPart;
use highwater_core::ports::{Claim, Owner};

use crate::location::locks_folder;

const CLAIM: &str = "claim a projection";
const ASK: &str = "find out who owns a projection";
const NAME_BYTES: u64 = 1000;

/// Ownership of a projection or of a partition of it; given up when it is dropped.
#[derive(Debug)]
pub struct SqliteLease {
    file: File,
}

impl Drop for SqliteLease {
    fn drop(&mut self) {
        // The lock ends with the file in any case; a name that stays is not read while nobody has the lock.
        if let Err(error) = self.file.set_len(0).and_then(|()| self.file.unlock()) {
            tracing::debug!(%error, "a lock file was not tidied up");
        }
    }
}

fn lock_file(database: &Path, part: &ProjectionPart) -> PathBuf {
    locks_folder(database).join(format!("{}.lock", part.lock_key()))
}

/// Tries to take the lock.
pub(super) fn claim(database: &Path, part: &ProjectionPart) -> Result<Claim<SqliteLease>, Error> {
    let path = lock_file(database, part);
    let failed = |error| failed(CLAIM, &path, error);
    std::fs::create_dir_all(locks_folder(database)).map_err(failed)?;
    refuse_link(&path)?;
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Claim::Busy),
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)).map(|_| ())).map_err(failed)?;
    file.write_all(own_name().as_bytes()).map_err(failed)?;
    Ok(Claim::Owned(SqliteLease { file }))
}

/// Who has the lock.
pub(super) fn owner(database: &Path, part: &ProjectionPart) -> Result<Option<Owner>, Error> {
    let path = lock_file(database, part);
    let failed = |error| failed(ASK, &path, error);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => {
            file.unlock().map_err(failed)?;
            Ok(None)
        }
        Err(TryLockError::WouldBlock) => {
            let mut said = String::new();
            // Some systems let nobody read a locked file; the owner is as real without a name.
            let read = file.take(NAME_BYTES).read_to_string(&mut said);
            let name = match read {
                Ok(_) if !said.trim().is_empty() => said.trim().to_owned(),
                Ok(_) | Err(_) => "a process that has not said its name".to_owned(),
            };
            Ok(Some(Owner { name }))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// A link could point two databases at one lock, or one at a file that is not ours to empty.
fn refuse_link(path: &Path) -> Result<(), Error> {
    match path.symlink_metadata() {
        Ok(found) if found.is_symlink() => Err(Error::new(ErrorKind::Invalid, CLAIM)
            .with("lock file", path.display())
            .because("it is a symbolic link; remove it, it will be created as a file")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(CLAIM, path, error)),
    }
}

fn failed(operation: &'static str, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::AccessDenied,
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => {
            ErrorKind::Invalid
        }
        io::ErrorKind::Unsupported => ErrorKind::Unsupported,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, operation).with("lock file", path.display()).because(error)
}

fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .unwrap_or_else(|| "an unnamed host".to_owned());
    format!("process {} on {}\n", std::process::id(), host.trim())
}
