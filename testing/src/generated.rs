//! Files of the repository that are made of the code.

use std::path::Path;

/// Holds a file, by its path from the root of the repository, to what the code says. `UPDATE_GENERATED=1`
/// writes it.
pub fn assert_generated(path: &str, text: &str) {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == text,
        "{path} is old: the same test with UPDATE_GENERATED=1 writes it"
    );
}
