//! The program's import, as a process of its own: its start is part of what a user waits for.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::sqlite::work::Import;

/// Imports the file into the log in `database`.
pub(crate) fn import(database: &Path, import: &Import) -> anyhow::Result<()> {
    let folder = database.parent().context("the database is in no folder")?;
    let output = Command::new(&import.program)
        .arg("--quiet")
        .arg("--set")
        .arg(format!("log.url=sqlite:{}", database.display()))
        .arg("import")
        .arg(&import.file)
        .current_dir(folder)
        .env_remove("HIGHWATER_CONFIG")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", import.program.display()))?;
    ensure!(
        output.status.success(),
        "{} failed ({}): {}",
        import.program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
