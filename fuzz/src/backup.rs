//! A backup's stream, which lay in somebody's storage.

use strongroom_model::id::RequestId;
use strongroom_model::time::Timestamp;
use strongroom_store::audit::Actor;
use strongroom_store::vault::{Meta, RestoreOptions, exists, restore};

use crate::store::slot;

/// Restores a stream into an empty place: all of it is read and it is a store, or it is refused and no store
/// is there.
pub fn run(input: &[u8]) {
    let Ok(keep) = tempfile::tempdir() else { return };
    let place = keep.path().join("store");
    let options = RestoreOptions {
        dir: &place,
        secret: &slot(),
        accept_namespaces: true,
        meta: Meta {
            actor: Actor::System,
            request: RequestId::from_bytes([1; 16]),
            now: Timestamp::from_millis(1_795_465_320_000),
            asked: None,
        },
    };
    let mut stream = input;
    match restore(&options, &mut stream) {
        Ok(_) => assert!(
            stream.is_empty(),
            "{} bytes behind the last part were ignored",
            stream.len()
        ),
        Err(error) => assert!(!exists(&place), "a refused backup left a store behind: {error}"),
    }
}
