//! The messages of the stream in the tree are those of `proto/stream.proto`, and the page of errors lists the
//! codes. `UPDATE_GENERATED=1` writes them.

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
    assert_current(&kept, &current);
}

#[test]
#[cfg(feature = "calls")]
fn the_reference_lists_every_code() {
    let rows: String = strongroom_api::problem::Code::ALL
        .iter()
        .map(|code| {
            let meaning = code.meaning().trim();
            format!("| `{}` | {} | {meaning} |\n", code.as_str(), code.status())
        })
        .collect();
    let page = format!(
        "# Errors of the API\n\n\
         Made of `operator/api/src/problem.rs`.\n\n\
         A failed request gets a problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with one of \
         these codes in `code`, a sentence that says what to do in `detail`, and the `requestId` under which the \
         attempt was audited. A denial also has `missingPolicies`: SecretPolicies, as YAML, that would allow it.\n\n\
         A caller that may not know of a secret gets `SecretNotFound`, whether it exists or not. Knowing of it \
         requires `secrets:DescribeSecret`.\n\n\
         | code | status | cause and what to do |\n|---|---|---|\n{rows}"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors.md");
    assert_current(&path, &page);
}

/// Writes the file where that is asked for, and holds it to the text.
fn assert_current(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == text,
        "{} is old: run `UPDATE_GENERATED=1 cargo test -p strongroom-api --test generated`",
        path.display()
    );
}
