//! The files of a store.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use strongroom_store::engine::{STORE_FILE, Table, view_file};

/// Every file below with its bytes.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Key and sealed value of each record of a table of a closed store.
pub fn records(dir: &Path, table: Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let engine = view_file(&dir.join(STORE_FILE)).unwrap();
    let mut records = BTreeMap::new();
    let mut visitor = |key: &[u8], value: &[u8]| {
        records.insert(key.to_vec(), value.to_vec());
        ControlFlow::Continue(())
    };
    engine.snapshot().unwrap().visit(table, &mut visitor).unwrap();
    records
}

/// The store of format version 1 that is checked in.
pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// Bytes of a segment of the read log. Segments are laid out in full, and the zeros behind their records are
/// not checked in.
pub const SEGMENT: u64 = 8 << 20;

/// Each segment with what `length` makes of it.
pub fn each_segment(dir: &Path, length: impl Fn(&[u8]) -> u64) {
    for entry in fs::read_dir(dir.join("reads")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(length(&bytes)).unwrap();
    }
}

/// A copy of the store that is checked in, as a process left it.
pub fn golden_copy(dir: &Path) {
    copy(&golden(), dir);
    each_segment(dir, |_| SEGMENT);
}
