//! Where inputs begin: `fuzz/seeds`, and the samples of the custom resources.
//!
//! Seeds are what this code wrote. `UPDATE_GENERATED=1 cargo test -p strongroom-fuzz seeds` writes those of
//! the seal file, the audit log, the backup, the admin socket and the anchor anew after their format changed;
//! those of the records are written, and compared, by a test of the store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use strongroom_api::stream::proto::{Hello, NodeMessage, node_message};
use strongroom_crds::parse_manifest;
use strongroom_fuzz::admin::understood;
use strongroom_fuzz::anchor::fields;
use strongroom_fuzz::audit_log::{self, EPOCH, SEGMENT, Segments};
use strongroom_fuzz::ram_policy::read;
use strongroom_fuzz::store::{STORE, keyring, root, slot};
use strongroom_model::SecretBytes;
use strongroom_model::name::SecretName;
use strongroom_rules::request::first_message::FirstMessage;
use strongroom_rules::request::list_query::ListQuery;
use strongroom_rules::request::token::may_be_ours;
use strongroom_store::admin::{AdminRequest, AdminResponse, SlotLine, header};
use strongroom_store::audit::{
    Action, Actor, ChainHead, Checkpoint, Durability, Entry, ReadChain, ReadHead, ReadLog, ReadLogOptions,
    record,
};
use strongroom_store::codec::Writer;
use strongroom_store::fuzzing::RECORDS;
use strongroom_store::seal::{PassphraseCost, RecoveryKey, SealFile, SlotSecret};
use strongroom_store::vault::{Anchor, AuditPosition, RestoreOptions, restore};
use strongroom_testing::store::{Fixture, NOW, meta, new_secret, value_under};

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target)
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The seeds of a target.
pub(crate) fn for_target(target: &str) -> Vec<Vec<u8>> {
    let mut seeds = files(&folder(target));
    if target == "manifest" {
        seeds.extend(files(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/samples"),
        ));
    }
    seeds
}

/// A seal file with a slot of each kind, without its checksum.
fn seal_file() -> Vec<u8> {
    let root = root().unwrap();
    let mut file = SealFile::new(STORE, &root, &slot(), "file").unwrap();
    let key = || SecretBytes::new(vec![8; 32]);
    let passphrase = SecretBytes::new(b"correct horse battery".to_vec());
    for (secret, label) in [
        (SlotSecret::KubernetesSecret(key()), "cluster"),
        (
            SlotSecret::Passphrase(passphrase, PassphraseCost::default()),
            "für Notfälle",
        ),
        (SlotSecret::Recovery(RecoveryKey::generate().unwrap()), "paper"),
    ] {
        file.add_slot(&root, &secret, label).unwrap();
    }
    let mut bytes = file.encode();
    bytes.truncate(bytes.len() - 32);
    bytes
}

fn read_log(segments: &Arc<Segments>) -> ReadLog {
    let options = ReadLogOptions {
        segment_bytes: SEGMENT,
        reserve_segments: 1,
        checkpoint_each: Duration::from_secs(3_600),
        ..ReadLogOptions::new(EPOCH, NOW, ReadHead::default())
    };
    ReadLog::open_on(Arc::clone(segments) as _, keyring().unwrap(), options).unwrap()
}

/// The segments as items of an input, without the zeros at their ends and at most so many bytes of each.
fn put(segments: &Segments, most: usize, items: &mut Writer) {
    for (number, bytes) in segments.lock().iter() {
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        items.u8(0).u64(*number).bytes(&bytes[..used.min(most)]);
    }
}

/// Both chains with a few records each, over two segments.
fn both_chains(forged: u8) -> Vec<u8> {
    let keyring = keyring().unwrap();
    let segments = Arc::new(Segments::default());
    let log = read_log(&segments);
    let mut head = ChainHead::default();
    let mut items = Writer::new();
    items.u8(forged);
    for round in 0..4 {
        let mut entry = Entry::new(
            NOW,
            Actor::Principal("shop/checkout".to_owned()),
            Action::GetSecretValue,
        );
        entry.secret = Some("checkout/db".parse().unwrap());
        for _ in 0..5 {
            log.append(&entry, Durability::Durable).unwrap();
        }
        let reads = log.fsynced();
        let (record, after) = record(&keyring, EPOCH, head, reads, &entry).unwrap();
        items.u8(1).u64(record.sequence).bytes(&record.encode());
        head = after;
        if round == 3 {
            let checkpoint = Checkpoint::sign(keyring.signer(), &STORE, head, reads, NOW);
            items.u8(255).u64(0).bytes(&checkpoint.encode());
        }
    }
    log.close();
    put(&segments, usize::MAX, &mut items);
    items.finish().to_vec()
}

/// A read chain without a read, at most so many bytes of its segment.
fn no_reads(most: usize) -> Vec<u8> {
    let segments = Arc::new(Segments::default());
    read_log(&segments).close();
    let mut items = Writer::new();
    items.u8(1);
    put(&segments, most, &mut items);
    items.finish().to_vec()
}

fn backup() -> Vec<u8> {
    let fixture = Fixture::with_root(STORE, &root().unwrap());
    let value = value_under("password", b"correct horse");
    let secret = new_secret(fixture.namespace(), "checkout/db", value);
    fixture.store.run(secret, meta()).unwrap();
    let mut stream = Vec::new();
    fixture.store.backup(&mut stream).unwrap();
    drop(fixture.close());
    stream
}

/// Frames behind the byte that says who reads them.
fn frames(side: u8, messages: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut stream = vec![side];
    for message in messages {
        stream.extend(header(message.as_ref()).unwrap());
        stream.extend(message.as_ref());
    }
    stream
}

/// One request of each kind, and of each kind of slot.
fn requests() -> Vec<u8> {
    let key = || SecretBytes::new(vec![8; 32]);
    let passphrase = SecretBytes::new(b"correct horse battery".to_vec());
    let add = |secret| AdminRequest::AddSlot {
        secret,
        label: "für Notfälle".to_owned(),
    };
    let place = AuditPosition { changes: 7, reads: 9 };
    let requests = [
        AdminRequest::Backup,
        AdminRequest::Slots,
        add(SlotSecret::KeyFile(key())),
        add(SlotSecret::KubernetesSecret(key())),
        add(SlotSecret::Passphrase(passphrase, PassphraseCost::default())),
        add(SlotSecret::Recovery(RecoveryKey::generate().unwrap())),
        AdminRequest::RemoveSlot {
            id: "0123456789abcdef".parse().unwrap(),
            force: true,
        },
        AdminRequest::NewRecoveryKey {
            label: "paper".to_owned(),
        },
        AdminRequest::Audit { after: None },
        AdminRequest::Audit { after: Some(place) },
    ];
    frames(0, requests.iter().map(AdminRequest::encode))
}

/// One answer of each kind.
fn answers() -> Vec<u8> {
    let line = |kind: &str| SlotLine {
        id: "0123456789abcdef".to_owned(),
        kind: kind.to_owned(),
        label: "für Notfälle".to_owned(),
    };
    let place = AuditPosition { changes: 7, reads: 9 };
    let answers = [
        AdminResponse::Refused("slot `0123456789abcdef` is the last one".to_owned()),
        AdminResponse::Slots(vec![line("key-file"), line("recovery")]),
        AdminResponse::Added("0123456789abcdef".to_owned()),
        AdminResponse::Removed,
        AdminResponse::RecoveryKey(RecoveryKey::generate().unwrap().reveal()),
        AdminResponse::Data(vec![1; 40]),
        AdminResponse::End { records: 12 },
        AdminResponse::Records(b"{\"sequence\":7}\n".to_vec(), place),
    ];
    frames(1, answers.iter().map(AdminResponse::encode))
}

fn anchor() -> Vec<u8> {
    let anchor = Anchor {
        store: STORE,
        counter: 1_234,
        mac: [0xa5; 32],
    };
    let lines = anchor
        .to_fields()
        .into_iter()
        .map(|(name, text)| format!("{name}: {text}\n"));
    lines.collect::<String>().into_bytes()
}

/// A token whose signature says nothing.
fn token() -> Vec<u8> {
    let claims = serde_json::json!({
        "aud": ["strongroom.dev"], "exp": 4_102_444_800_i64, "sub": "system:serviceaccount:shop:app",
    });
    let claims = claims.to_string();
    let encode = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    let parts = [r#"{"alg":"RS256"}"#.as_bytes(), claims.as_bytes(), b"signature"];
    parts.map(encode).join(".").into_bytes()
}

/// How it is cut, then a frame with the Hello of a plugin.
fn hello() -> Vec<u8> {
    let mut hello = Hello::default();
    hello.protocol_versions.push(1);
    hello.token.push_str("a token");
    let message = NodeMessage {
        message: Some(node_message::Message::Hello(hello)),
    };
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [[3, 0].as_slice(), &length, &message].concat()
}

#[test]
fn seeds_are_what_is_accepted() {
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        for (target, name, bytes) in [
            ("seal_file", "four-slots", seal_file()),
            ("audit_log", "both-chains", both_chains(0)),
            // Changes of these are made to look right, as far as that is possible without the key.
            ("audit_log", "forged", both_chains(1)),
            ("audit_log", "forged-no-reads", no_reads(usize::MAX)),
            ("audit_log", "forged-header", no_reads(80)),
            ("backup", "one-secret", backup()),
            ("admin", "requests", requests()),
            ("admin", "answers", answers()),
            ("anchor", "as-written", anchor()),
            ("token", "of-a-pod", token()),
            ("hello", "with-a-token", hello()),
        ] {
            fs::create_dir_all(folder(target)).unwrap();
            fs::write(folder(target).join(name), bytes).unwrap();
        }
    }
    for seed in for_target("record") {
        let (kind, again) = RECORDS[usize::from(seed[0])];
        assert_eq!(again(&seed[1..]).as_deref(), Ok(&seed[1..]), "{kind}");
    }
    assert!(for_target("record").len() >= RECORDS.len());

    let sealed = fs::read(folder("seal_file").join("four-slots")).unwrap();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(&sealed);
    let file = SealFile::decode(&[sealed.as_slice(), &digest].concat()).unwrap();
    assert!(file.slots().len() == 4 && file.unlock(&slot()).is_ok());

    let report = audit_log::verify(&fs::read(folder("audit_log").join("both-chains")).unwrap()).unwrap();
    assert!(report.is_sound(), "{report}");
    assert!(
        report.mutations.records == 4 && report.reads.records > 20 && report.clean_end,
        "{report}"
    );

    let keep = tempfile::tempdir().unwrap();
    let options = RestoreOptions {
        dir: &keep.path().join("store"),
        secret: &slot(),
        accept_namespaces: true,
        meta: meta(),
    };
    let stream = fs::read(folder("backup").join("one-secret")).unwrap();
    assert!(restore(&options, &mut stream.as_slice()).unwrap() > 5);

    let both = [("requests", 10), ("answers", 8)];
    for (name, messages) in both {
        let stream = fs::read(folder("admin").join(name)).unwrap();
        assert_eq!(understood(&stream), Ok(messages), "{name}");
    }
    assert!(
        for_target("anchor")
            .iter()
            .any(|seed| Anchor::from_fields(&fields(seed)).is_ok())
    );

    let tokens = for_target("token");
    let ours = |seed: &Vec<u8>| may_be_ours(std::str::from_utf8(seed).unwrap(), "strongroom.dev", 0);
    assert!(tokens.iter().any(ours));
    let hello = fs::read(folder("hello").join("with-a-token")).unwrap();
    assert_eq!(FirstMessage::default().after(&hello[1..]), Ok(FirstMessage::Over));
    assert!(for_target("name").iter().any(|seed| {
        let text = std::str::from_utf8(seed).unwrap();
        text.contains('/') && text.parse::<SecretName>().is_ok()
    }));
    assert!(
        for_target("query")
            .iter()
            .all(|seed| ListQuery::parse(std::str::from_utf8(seed).unwrap()).is_ok())
    );

    for seed in for_target("ram_policy") {
        let text = std::str::from_utf8(&seed).unwrap();
        assert_eq!(text.contains("refused"), read(text).is_err(), "{text}");
    }

    let manifests = for_target("manifest");
    let good = manifests
        .iter()
        .filter(|seed| parse_manifest(std::str::from_utf8(seed).unwrap()).is_ok());
    assert!(good.count() >= 9);
}
