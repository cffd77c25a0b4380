//! The messages of the stream in the tree are those of `proto/stream.proto`. `UPDATE_GENERATED=1` writes
//! them.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

use std::path::Path;

/// Messages with a secret in them: `src/stream/secrecy.rs` says how they are printed.
const SECRET: [&str; 4] = ["Hello", "Subscribe", "RenewToken", "Key"];

#[test]
fn the_messages_of_the_stream_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = root.join("proto");
    let files = protox::compile([proto.join("stream.proto")], [&proto]).unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut config = prost_build::Config::new();
    config.skip_debug(SECRET.map(|name| format!(".strongroom.stream.v1.{name}")));
    tonic_prost_build::configure()
        .build_transport(false)
        .client_mod_attribute(".", "#[cfg(feature = \"stream-client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"stream-server\")]")
        .out_dir(out.path())
        .compile_fds_with_config(files, config)
        .unwrap();
    let name = "strongroom.stream.v1.rs";
    let current = std::fs::read_to_string(out.path().join(name)).unwrap();
    let kept = root.join("src/generated").join(name);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(root.join("src/generated")).unwrap();
        std::fs::write(kept, current).unwrap();
    } else {
        assert!(
            std::fs::read_to_string(kept).unwrap_or_default() == current,
            "proto/stream.proto was changed: run `UPDATE_GENERATED=1 cargo test -p strongroom-api --test generated`"
        );
    }
}
