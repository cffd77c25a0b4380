//! Properties of sealing: a thing opens in its own place, and nowhere else.

use proptest::prelude::*;
use strongroom_model::SecretBytes;
use strongroom_model::id::{KeyId, NamespaceId, SecretId, StoreId};
use strongroom_model::name::VersionId;

use super::*;
use crate::value::DataType;

/// A context that owns its fields. Few values for each, so that two contexts often differ in one field alone.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    Namespace(NamespaceId),
    Head(SecretId, u64),
    Key(NamespaceId, KeyId),
    Meta(&'static str),
    Cursor(&'static str),
    Policy([u8; 32]),
    Declaration([u8; 32]),
    Attestation([u8; 32]),
    Product([u8; 32]),
    Audit(u8, u32, u64, [u8; 32]),
    Backup([u8; 16], u64, bool),
}

impl Place {
    fn context(&self) -> Context<'_> {
        match self {
            Self::Namespace(namespace) => Context::Namespace(namespace),
            Self::Head(secret, revision) => Context::Head {
                secret,
                revision: *revision,
            },
            Self::Key(namespace, key) => Context::Key { namespace, key },
            Self::Meta(name) => Context::Meta(name),
            Self::Cursor(name) => Context::Cursor(name),
            Self::Policy(index) => Context::Policy(index),
            Self::Declaration(index) => Context::Declaration(index),
            Self::Attestation(index) => Context::Attestation(index),
            Self::Product(index) => Context::Product(index),
            Self::Audit(chain, epoch, sequence, previous) => Context::Audit {
                chain: *chain,
                epoch: *epoch,
                sequence: *sequence,
                previous,
            },
            Self::Backup(backup, part, last) => Context::Backup {
                backup,
                part: *part,
                last: *last,
            },
        }
    }
}

fn id() -> impl Strategy<Value = [u8; 16]> {
    prop_oneof![Just([1; 16]), Just([2; 16])]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), Just("a"), Just("ab")]
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        id().prop_map(|n| Place::Namespace(NamespaceId::from_bytes(n))),
        (id(), 0..2_u64).prop_map(|(s, r)| Place::Head(SecretId::from_bytes(s), r)),
        (id(), id()).prop_map(|(n, k)| Place::Key(NamespaceId::from_bytes(n), KeyId::from_bytes(k))),
        name().prop_map(Place::Meta),
        name().prop_map(Place::Cursor),
        prop_oneof![Just([0; 32]), Just([9; 32])].prop_map(Place::Policy),
        prop_oneof![Just([0; 32]), Just([9; 32])].prop_map(Place::Declaration),
        prop_oneof![Just([0; 32]), Just([9; 32])].prop_map(Place::Attestation),
        prop_oneof![Just([0; 32]), Just([9; 32])].prop_map(Place::Product),
        (
            1..3_u8,
            0..2_u32,
            0..2_u64,
            prop_oneof![Just([0; 32]), Just([9; 32])]
        )
            .prop_map(|(c, e, s, p)| Place::Audit(c, e, s, p)),
        (id(), 0..2_u64, any::<bool>()).prop_map(|(b, p, l)| Place::Backup(b, p, l)),
    ]
}

fn store() -> impl Strategy<Value = StoreId> {
    id().prop_map(StoreId::from_bytes)
}

fn root(byte: u8) -> RootKey {
    RootKey::from_secret(&SecretBytes::new(vec![byte; 32])).unwrap()
}

fn keyring(byte: u8, store: StoreId) -> Keyring {
    Keyring::derive(&root(byte), store)
}

prop_compose! {
    fn data_key_context()(store in store(), n in id(), s in id(), sequence in 1..3_u32, k in id(), key_version in 1..3_u32) -> DataKeyContext {
        DataKeyContext {
            store,
            namespace: NamespaceId::from_bytes(n),
            secret: SecretId::from_bytes(s),
            sequence,
            key: KeyId::from_bytes(k),
            key_version,
        }
    }
}

prop_compose! {
    fn material_context()(n in id(), k in id(), version in 1..3_u32) -> MaterialContext {
        MaterialContext {
            namespace: NamespaceId::from_bytes(n),
            key: KeyId::from_bytes(k),
            version,
        }
    }
}

type ValuePlace = (StoreId, [u8; 16], [u8; 16], u32, &'static str, DataType);

fn value_place() -> impl Strategy<Value = ValuePlace> {
    (
        store(),
        id(),
        id(),
        1..3_u32,
        prop_oneof![Just("v-1"), Just("v-11")],
        prop_oneof![Just(DataType::Text), Just(DataType::Binary)],
    )
}

fn with_value_context<T>(place: &ValuePlace, use_context: impl FnOnce(&ValueContext<'_>) -> T) -> T {
    let (store, namespace, secret, sequence, version, data_type) = *place;
    use_context(&ValueContext {
        store,
        namespace: NamespaceId::from_bytes(namespace),
        secret: SecretId::from_bytes(secret),
        sequence,
        version: &VersionId::new(version).unwrap(),
        data_type,
    })
}

fn seed_of(material: &KeyMaterial, place: &DataKeyContext, wrapped: &[u8]) -> Option<Vec<u8>> {
    // Under equal material and context a seed has one wrapped form: comparing these compares seeds.
    DataKey::unwrap(wrapped, material, place)
        .ok()
        .map(|seed| seed.wrap(material, place).unwrap())
}

proptest! {
    #[test]
    fn a_record_opens_in_its_own_place_only(
        from in (place(), store(), 1..3_u8),
        to in (place(), store(), 1..3_u8),
        plaintext in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let sealed = keyring(from.2, from.1).seal(&from.0.context(), &plaintext).unwrap();
        let opened = keyring(to.2, to.1).open(&to.0.context(), &sealed);
        if from == to {
            let opened = opened.unwrap();
            prop_assert_eq!(opened.expose(), plaintext);
        } else {
            prop_assert_eq!(opened.unwrap_err(), CryptoError::Forged);
        }
    }

    #[test]
    fn no_two_places_have_the_same_headers(one in (place(), store()), other in (place(), store())) {
        let owned = |headers: &[&[u8]]| headers.iter().map(|header| header.to_vec()).collect::<Vec<_>>();
        let same = one.0.context().headers(&one.1, owned) == other.0.context().headers(&other.1, owned);
        prop_assert_eq!(same, one == other);
    }

    #[test]
    fn material_unwraps_in_its_own_place_only(
        from in (material_context(), store(), 1..3_u8),
        to in (material_context(), store(), 1..3_u8),
    ) {
        let material = KeyMaterial::generate().unwrap();
        let wrapped = keyring(from.2, from.1).wrap(&from.0, &material).unwrap();
        let unwrapped = keyring(to.2, to.1).unwrap(&to.0, &wrapped);
        if from == to {
            let unwrapped = unwrapped.unwrap();
            prop_assert_eq!(unwrapped.bytes(), material.bytes());
        } else {
            prop_assert_eq!(unwrapped.unwrap_err(), CryptoError::Forged);
        }
    }

    #[test]
    fn a_data_key_unwraps_in_its_own_place_only(from in data_key_context(), to in data_key_context(), other_material in any::<bool>()) {
        let (material, other) = (KeyMaterial::generate().unwrap(), KeyMaterial::generate().unwrap());
        let wrapped = DataKey::generate().unwrap().wrap(&material, &from).unwrap();
        let under = if other_material { &other } else { &material };
        let opened = seed_of(under, &to, &wrapped);
        prop_assert_eq!(opened, (from == to && !other_material).then_some(wrapped));
    }

    #[test]
    fn a_value_opens_in_its_own_place_only(from in value_place(), to in value_place(), plaintext in proptest::collection::vec(any::<u8>(), 0..100)) {
        let (key, again) = twice();
        let value = with_value_context(&from, |context| key.seal_value(context, &plaintext)).unwrap();
        let opened = with_value_context(&to, |context| again.open_value(context, &value));
        if from == to {
            let opened = opened.unwrap();
            prop_assert_eq!(opened.expose(), plaintext);
        } else {
            prop_assert_eq!(opened.unwrap_err(), CryptoError::Forged);
        }
    }

    #[test]
    fn a_changed_value_or_commitment_does_not_open(place in value_place(), at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>()) {
        let (key, again) = twice();
        let mut value = with_value_context(&place, |context| key.seal_value(context, b"some value")).unwrap();
        let bytes = value.sealed.len();
        let index = at.index(32 + bytes);
        if cut {
            value.sealed.truncate(at.index(bytes));
        } else if index < 32 {
            value.commitment[index] ^= 1 << bit;
        } else {
            value.sealed[index - 32] ^= 1 << bit;
        }
        let opened = with_value_context(&place, |context| again.open_value(context, &value));
        prop_assert_eq!(opened.unwrap_err(), CryptoError::Forged);
    }

    #[test]
    fn a_changed_record_does_not_open(place in place(), at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>()) {
        let keyring = keyring(1, StoreId::from_bytes([1; 16]));
        let mut sealed = keyring.seal(&place.context(), b"some record").unwrap();
        let index = at.index(sealed.len());
        if cut {
            sealed.truncate(index);
        } else {
            sealed[index] ^= 1 << bit;
        }
        prop_assert_eq!(keyring.open(&place.context(), &sealed).unwrap_err(), CryptoError::Forged);
    }

    #[test]
    fn arbitrary_bytes_never_open_nor_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in ".{0,60}") {
        let keyring = keyring(1, StoreId::from_bytes([1; 16]));
        prop_assert!(keyring.open(&Context::Meta("state"), &bytes).is_err());
        let place = MaterialContext { namespace: NamespaceId::from_bytes([1; 16]), key: KeyId::from_bytes([1; 16]), version: 1 };
        prop_assert!(keyring.unwrap(&place, &bytes).is_err());
        if let Ok(key) = text.parse::<PublicKey>() {
            prop_assert_eq!(key.to_string(), text.trim());
        }
    }

    #[test]
    fn index_parts_and_kinds_do_not_run_together(one in proptest::collection::vec("[ab]{0,2}", 0..3), other in proptest::collection::vec("[ab]{0,2}", 0..3)) {
        let keyring = keyring(1, StoreId::from_bytes([1; 16]));
        let index = |domain, parts: &[String]| {
            let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
            keyring.blind_index(domain, &parts)
        };
        prop_assert_eq!(index(IndexDomain::Secret, &one) == index(IndexDomain::Secret, &other), one == other);
        prop_assert_ne!(index(IndexDomain::Secret, &one), index(IndexDomain::Key, &one));
        prop_assert_ne!(index(IndexDomain::Namespace, &one), index(IndexDomain::Cursor, &one));
    }
}

/// The same data key twice: sealing consumes one.
fn twice() -> (DataKey, DataKey) {
    let material = KeyMaterial::generate().unwrap();
    let place = DataKeyContext {
        store: StoreId::from_bytes([1; 16]),
        namespace: NamespaceId::from_bytes([1; 16]),
        secret: SecretId::from_bytes([1; 16]),
        sequence: 1,
        key: KeyId::from_bytes([1; 16]),
        key_version: 1,
    };
    let key = DataKey::generate().unwrap();
    let wrapped = key.wrap(&material, &place).unwrap();
    (key, DataKey::unwrap(&wrapped, &material, &place).unwrap())
}

#[test]
fn another_data_key_fails_at_the_commitment_and_a_forged_commitment_at_the_seal() {
    let place = (
        StoreId::from_bytes([1; 16]),
        [1; 16],
        [1; 16],
        1,
        "v-1",
        DataType::Text,
    );
    with_value_context(&place, |context| {
        let (key, again) = twice();
        let mut value = key.seal_value(context, b"value").unwrap();
        let (other, other_again) = twice();
        assert_eq!(
            other.open_value(context, &value).unwrap_err(),
            CryptoError::Forged
        );
        // The other key's own commitment, put beside this ciphertext: the cipher refuses what the commitment
        // let through.
        value.commitment = other.seal_value(context, b"value").unwrap().commitment;
        assert_eq!(
            other_again.open_value(context, &value).unwrap_err(),
            CryptoError::Forged
        );
        // And this key's reader stops at the commitment, though its ciphertext is whole.
        assert_eq!(
            again.open_value(context, &value).unwrap_err(),
            CryptoError::Forged
        );
    });
}

#[test]
fn equal_plaintexts_do_not_look_equal() {
    let keyring = keyring(1, StoreId::from_bytes([1; 16]));
    let seal = || keyring.seal(&Context::Meta("state"), b"same").unwrap();
    let (one, other) = (seal(), seal());
    assert_ne!(one[..16], other[..16], "nonce");
    assert_ne!(one[16..], other[16..], "seal");
}

#[test]
fn every_mac_depends_on_root_store_and_input() {
    let (store, other) = (StoreId::from_bytes([1; 16]), StoreId::from_bytes([2; 16]));
    let keyrings = [keyring(1, store), keyring(2, store), keyring(1, other)];
    let empty = StateDigest::default();
    let term = |keyring: &Keyring| empty.plus(keyring.record_term(1, b"k", b"v"));
    let mut macs: Vec<[u8; 32]> = Vec::new();
    for keyring in &keyrings {
        macs.push(keyring.anchor_mac(1, &empty));
        macs.push(keyring.anchor_mac(2, &empty));
        macs.push(keyring.anchor_mac(1, &term(keyring)));
        macs.push(keyring.seal_file_mac(b""));
        macs.push(keyring.seal_file_mac(b"x"));
        macs.push(keyring.blind_index(IndexDomain::Secret, &[b""]));
        macs.push(term(keyring).to_bytes());
        macs.push(empty.plus(keyring.record_term(2, b"k", b"v")).to_bytes());
        macs.push(empty.plus(keyring.record_term(1, b"kv", b"")).to_bytes());
        macs.push(empty.plus(keyring.record_term(1, b"", b"kv")).to_bytes());
    }
    let all = macs.len();
    macs.sort_unstable();
    macs.dedup();
    assert_eq!(macs.len(), all);
    assert_ne!(keyrings[0].public_key(), keyrings[1].public_key());
    assert_ne!(keyrings[0].public_key(), keyrings[2].public_key());
}

#[test]
fn a_root_key_has_32_bytes() {
    for length in [0, 31, 33, 64] {
        assert_eq!(
            RootKey::from_secret(&SecretBytes::new(vec![1; length])).unwrap_err(),
            CryptoError::Forged
        );
    }
}

#[test]
fn nothing_that_is_printed_holds_key_bytes() {
    let store = StoreId::from_bytes([1; 16]);
    let (key, _) = twice();
    let keyring = keyring(0xAB, store);
    assert_eq!(format!("{key:?}"), "DataKey { .. }");
    assert_eq!(
        format!("{:?}", KeyMaterial::generate().unwrap()),
        "KeyMaterial { .. }"
    );
    assert_eq!(format!("{:?}", keyring.signer()), "Signer { .. }");
    assert_eq!(format!("{:?}", StateDigest::default()), "StateDigest { .. }");
    assert_eq!(format!("{:?}", keyring.record_term(1, b"k", b"v")), "Term { .. }");
    assert_eq!(
        format!("{keyring:?}"),
        format!("Keyring {{ store: {store:?}, .. }}")
    );
    let root = root(0xAB);
    assert_eq!(
        format!("{root:?}"),
        format!("RootKey {{ locked: {}, .. }}", root.is_locked())
    );
    let value = SealedValue {
        commitment: [0xAB; 32],
        sealed: vec![0xAB; 40],
    };
    assert_eq!(format!("{value:?}"), "SealedValue(40 bytes)");
}

/// Does not compile where one of the types can be copied or shown: then two implementations fit.
#[test]
fn secret_types_cannot_be_copied_or_shown() {
    trait Unless<Which> {
        fn ok() {}
    }
    impl<T> Unless<()> for T {}
    struct Cloned;
    impl<T: Clone> Unless<Cloned> for T {}
    struct Shown;
    impl<T: std::fmt::Display> Unless<Shown> for T {}
    macro_rules! neither {
        ($($secret:ty),*) => { $(<$secret as Unless<_>>::ok();)* };
    }
    neither!(RootKey, Keyring, KeyMaterial, DataKey, Signer, SecretBytes);
    neither!(crate::seal::RecoveryKey, crate::seal::SlotSecret);
}
