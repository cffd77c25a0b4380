//! The page of the operation matrix is what the matrix says. `UPDATE_GENERATED=1` writes it.

use std::path::Path;

#[test]
fn the_reference_has_the_operation_matrix() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/product-matrix.md");
    let page = strongroom_rules::product::page();
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page,
        "{} is old: run `UPDATE_GENERATED=1 cargo test -p strongroom-rules --test generated`",
        path.display()
    );
}
