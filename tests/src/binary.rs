//! Where the binary is: it belongs to another package, so cargo does not tell.

use std::env;
use std::path::PathBuf;

/// Names the binary; `cargo xtask test` sets it.
const VARIABLE: &str = "HIGHWATER_BIN";

/// The `highwater` binary: the one that `HIGHWATER_BIN` names, else the one built beside this test.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(named) = env::var_os(VARIABLE) {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "{VARIABLE} names {}, which is not a file", named.display());
        return named;
    }
    let test = env::current_exe().expect("a running test has an executable");
    let profile = test.ancestors().nth(2).expect("cargo puts tests into target/<profile>/deps");
    let name = format!("highwater{}", env::consts::EXE_SUFFIX);
    let target = profile.parent().expect("cargo puts profiles into target");
    let candidates =
        [profile.join(&name), target.join("debug").join(&name), target.join("release").join(&name)];
    candidates.iter().find(|path| path.is_file()).cloned().unwrap_or_else(|| {
        panic!(
            "there is no highwater binary at {}: run `cargo xtask test`, build it with \
             `cargo build -p highwater --bin highwater`, or name it in {VARIABLE}",
            candidates[0].display()
        )
    })
}
