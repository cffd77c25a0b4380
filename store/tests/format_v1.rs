//! What another implementation made from docs/store-format.md alone, this one opens: the format is what its
//! page says, and it does not change unseen. `tests/data/format_v1.py` is that implementation.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use strongroom_model::SecretBytes;
use strongroom_model::id::{KeyId, NamespaceId, SecretId, StoreId};
use strongroom_model::name::VersionId;
use strongroom_store::crypto::{
    Context, DataKey, DataKeyContext, IndexDomain, Keyring, MaterialContext, RootKey, SealedValue,
    StateDigest, ValueContext,
};
use strongroom_store::seal::{PassphraseCost, RecoveryKey, SealFile, SlotKind, SlotSecret};
use strongroom_store::value::DataType;

const STORE: StoreId = StoreId::from_bytes([0x51; 16]);
const NAMESPACE: NamespaceId = NamespaceId::from_bytes([0x52; 16]);
const SECRET: SecretId = SecretId::from_bytes([0x53; 16]);
const KEY: KeyId = KeyId::from_bytes([0x54; 16]);

fn golden(name: &str) -> Vec<u8> {
    let things: BTreeMap<&str, &str> = include_str!("data/format_v1.txt")
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    HEXLOWER.decode(things[name].as_bytes()).unwrap()
}

fn keyring() -> Keyring {
    let root = RootKey::from_secret(&SecretBytes::new((0x20..0x40).collect())).unwrap();
    Keyring::derive(&root, STORE)
}

#[test]
fn records_open_in_their_place() {
    let keyring = keyring();
    let policy = keyring.blind_index(IndexDomain::Policy, &[b"uid-1"]);
    let declaration = keyring.blind_index(IndexDomain::Declaration, &[b"uid-1"]);
    let digest = Sha256::digest(b"what it declares");
    let mark = keyring.blind_index(IndexDomain::Mark, &[b"uid-1", &digest]);
    let attestation = keyring.blind_index(IndexDomain::Attestation, &[b"uid-1", b"deleted", &mark]);
    let product = keyring.blind_index(IndexDomain::Product, &[b"aigw"]);
    for (name, context) in [
        ("namespace", Context::Namespace(&NAMESPACE)),
        (
            "head",
            Context::Head {
                secret: &SECRET,
                revision: 7,
            },
        ),
        (
            "key",
            Context::Key {
                namespace: &NAMESPACE,
                key: &KEY,
            },
        ),
        ("meta", Context::Meta("state")),
        ("cursor", Context::Cursor("events")),
        ("policy", Context::Policy(&policy)),
        ("declaration", Context::Declaration(&declaration)),
        ("attestation", Context::Attestation(&attestation)),
        ("product", Context::Product(&product)),
        (
            "audit",
            Context::Audit {
                chain: 1,
                epoch: 3,
                sequence: 9,
                previous: &[0x55; 32],
            },
        ),
        (
            "backup",
            Context::Backup {
                backup: &[0x56; 16],
                part: 2,
                last: true,
            },
        ),
    ] {
        let opened = keyring.open(&context, &golden(name));
        assert_eq!(
            opened.map(|plaintext| plaintext.expose().to_vec()),
            Ok(b"what is sealed".to_vec()),
            "{name}"
        );
    }
}

#[test]
fn a_value_opens_from_the_wrap_key_down() {
    let keyring = keyring();
    let place = MaterialContext {
        namespace: NAMESPACE,
        key: KEY,
        version: 2,
    };
    let material = keyring.unwrap(&place, &golden("material")).unwrap();
    assert_eq!(keyring.wrap(&place, &material).unwrap(), golden("material"));
    let place = DataKeyContext {
        store: STORE,
        namespace: NAMESPACE,
        secret: SECRET,
        sequence: 5,
        key: KEY,
        key_version: 2,
    };
    let data_key = DataKey::unwrap(&golden("data-key"), &material, &place).unwrap();
    assert_eq!(data_key.wrap(&material, &place).unwrap(), golden("data-key"));
    let version = VersionId::new("v-1").unwrap();
    let place = ValueContext {
        store: STORE,
        namespace: NAMESPACE,
        secret: SECRET,
        sequence: 5,
        version: &version,
        data_type: DataType::Text,
    };
    let value = SealedValue {
        commitment: golden("commitment").try_into().unwrap(),
        sealed: golden("value"),
    };
    assert_eq!(
        data_key.open_value(&place, &value).unwrap().expose(),
        b"what is sealed"
    );
}

#[test]
fn indexes_digests_and_signatures_are_the_same() {
    let keyring = keyring();
    assert_eq!(
        keyring
            .blind_index(IndexDomain::Secret, &[NAMESPACE.as_bytes(), b"db/password"])
            .to_vec(),
        golden("index")
    );
    let digest = [3, 1, 2].into_iter().fold(StateDigest::default(), |sum, table| {
        sum.plus(keyring.record_term(table, b"key", b"value"))
    });
    assert_eq!(digest.to_bytes().to_vec(), golden("state-digest"));
    assert_eq!(keyring.anchor_mac(42, &digest).to_vec(), golden("anchor"));
    assert_eq!(
        keyring.public_key().to_string(),
        data_encoding::BASE64.encode(&golden("public-key"))
    );
    assert_eq!(keyring.signer().sign(b"checkpoint").to_vec(), golden("signature"));
}

#[test]
fn every_slot_of_the_seal_file_opens() {
    let bytes = golden("seal-file");
    let file = SealFile::decode(&bytes).unwrap();
    assert_eq!(file.encode(), bytes);
    assert_eq!(file.store(), STORE);
    let slots: Vec<(SlotKind, String)> = file
        .slots()
        .into_iter()
        .map(|slot| (slot.kind, slot.label))
        .collect();
    assert_eq!(slots.len(), 4);
    assert_eq!(slots[2], (SlotKind::Passphrase, "für Notfälle".to_owned()));
    let key = |byte| SecretBytes::new(vec![byte; 32]);
    for secret in [
        SlotSecret::KeyFile(key(0x71)),
        SlotSecret::KubernetesSecret(key(0x72)),
        SlotSecret::Passphrase(
            SecretBytes::new(b"correct horse battery".to_vec()),
            PassphraseCost::default(),
        ),
        SlotSecret::Recovery(
            RecoveryKey::parse("OR2H I5DU OR2H I5DU OR2H I5DU OR2H I5DU OR2H I5DU OR2H I5DU OR2A MRVX")
                .unwrap(),
        ),
    ] {
        let root = file.unlock(&secret).unwrap();
        let opened = Keyring::derive(&root, file.store());
        assert_eq!(opened.public_key(), keyring().public_key(), "{secret:?}");
        assert_eq!(opened.seal_file_mac(&bytes).to_vec(), golden("seal-file-mac"));
    }
}
