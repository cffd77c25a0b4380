//! The messages of the stream in the tree are those of `proto/stream.proto`, the page of errors lists the
//! codes, and the page of troubleshooting the checks. `UPDATE_GENERATED=1` writes them.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up must stop")]

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
         Why a request is refused, and how to mend it, says `kubectl strongroom explain` \
         ([troubleshooting](../troubleshooting.md)).\n\n\
         | code | status | cause and what to do |\n|---|---|---|\n{rows}"
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/errors.md");
    assert_current(&path, &page);
}

#[test]
#[cfg(feature = "calls")]
fn the_reference_of_troubleshooting_lists_every_check_and_result() {
    use strongroom_api::v1::AccessCheckName;
    let mut page = "# Troubleshooting\n\n\
         Made of `operator/api/src/v1/access_check.rs`.\n\n\
         Somebody cannot read or write a secret. One command looks at everything that can stand in the way:\n\n\
         ```text\n\
         kubectl strongroom -n shop explain secret db-main --as serviceaccount/checkout\n\
         ```\n\n\
         It shows the first check that fails, with a command that mends it, and then the others. `--action PutSecretValue` asks about another \
         operation than reading. The checks of Strongroom are for callers that may describe the secret ([who may do what](cli.md#who-may-do-what)). The checks of objects of the cluster are made with your own rights: \
         what you may not see is `unknown`, and says which right that takes. `--via GATEWAY` asks for another gateway than the shared one.\n\n\
         Exit codes: 0 if every check passes, 1 if one fails, 2 if Strongroom could not be asked or a check is unknown while none fails. \
         `-o json` prints `checks`, each with `check`, `item`, `state`, `result`, `detail` and `remedy`.\n\n\
         The state of a result is `ok`, `failing`, `unknown`, or `-` where it says nothing about this request. In the commands below, words \
         of capitals stand for names; `explain` fills them in. INSTALLATION is the namespace of Strongroom, and a SETTING or PATCH is \
         printed with its numbers. POLICY, NETWORKPOLICY, ENCRYPTIONKEY and SECRETPRODUCT after `-f` are files with such an object.\n"
        .to_owned();
    for check in AccessCheckName::ALL {
        page.push_str(&format!(
            "\n## {}\n\n{} Looked at by {}.\n\n| result | state | what it means, and what to do | command |\n|---|---|---|---|\n",
            check.label(),
            check.question(),
            check.made_by(),
        ));
        for result in check.results() {
            let command = result.remedy().map(|command| format!("`{command}`"));
            page.push_str(&format!(
                "| `{}` | {} | {} | {} |\n",
                result.as_str(),
                result.state().label(),
                result.meaning().trim(),
                command.unwrap_or_default(),
            ));
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/troubleshooting.md");
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
