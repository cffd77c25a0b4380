use proptest::prelude::*;
use strongroom_model::SecretBytes;
use strongroom_model::id::StoreId;

use super::*;
use crate::crypto::RootKey;

const CHEAP: PassphraseCost = PassphraseCost {
    memory_kib: 64,
    passes: 1,
    lanes: 1,
};

fn key(byte: u8) -> SecretBytes {
    SecretBytes::new(vec![byte; 32])
}

fn same(one: &RootKey, other: &RootKey) -> bool {
    one.with(|one| other.with(|other| one == other))
}

fn sealed() -> (SealFile, RootKey) {
    let root = RootKey::generate().unwrap();
    let file = SealFile::new(
        StoreId::generate().unwrap(),
        &root,
        &SlotSecret::KeyFile(key(1)),
        "first",
    )
    .unwrap();
    (file, root)
}

#[test]
fn every_kind_of_slot_opens_the_same_root() {
    let (mut file, root) = sealed();
    let recovery = RecoveryKey::generate().unwrap();
    let shown = recovery.reveal();
    file.add_slot(&root, &SlotSecret::KubernetesSecret(key(2)), "kubernetes")
        .unwrap();
    file.add_slot(
        &root,
        &SlotSecret::Passphrase(SecretBytes::new(b"correct horse battery".to_vec()), CHEAP),
        "p",
    )
    .unwrap();
    file.add_slot(&root, &SlotSecret::Recovery(recovery), "paper")
        .unwrap();
    let file = SealFile::decode(&file.encode()).unwrap();
    for secret in [
        SlotSecret::KeyFile(key(1)),
        SlotSecret::KubernetesSecret(key(2)),
        SlotSecret::Passphrase(
            SecretBytes::new(b"correct horse battery".to_vec()),
            PassphraseCost::default(),
        ),
        SlotSecret::Recovery(RecoveryKey::parse(&shown.to_lowercase().replace('-', " ")).unwrap()),
    ] {
        assert!(same(&file.unlock(&secret).unwrap(), &root));
        let slot = file.slots().into_iter().find(|slot| slot.kind == secret.kind());
        assert_eq!(file.opened_by(&secret).unwrap(), slot);
    }
    assert_eq!(file.slots().len(), 4);
}

#[test]
fn a_wrong_key_opens_nothing() {
    let (file, _) = sealed();
    assert!(matches!(
        file.unlock(&SlotSecret::KeyFile(key(9))),
        Err(SealError::WrongKey(SlotKind::KeyFile))
    ));
    assert!(matches!(
        file.unlock(&SlotSecret::KubernetesSecret(key(1))),
        Err(SealError::NoSuchSlot(SlotKind::KubernetesSecret))
    ));
    assert!(matches!(
        file.unlock(&SlotSecret::KeyFile(SecretBytes::new(vec![1; 31]))),
        Err(SealError::KeyLength(SlotKind::KeyFile, 31))
    ));
    for other in [SlotSecret::KeyFile(key(9)), SlotSecret::KubernetesSecret(key(1))] {
        assert_eq!(file.opened_by(&other).unwrap(), None);
    }
    let short = SlotSecret::KeyFile(SecretBytes::new(vec![1; 31]));
    assert!(matches!(file.opened_by(&short), Err(SealError::KeyLength(_, 31))));
}

#[test]
fn slots_are_removed_but_never_the_last() {
    let (mut file, root) = sealed();
    let second = file
        .add_slot(&root, &SlotSecret::KubernetesSecret(key(2)), "")
        .unwrap();
    let first = file.slots()[0].id;
    file.remove_slot(first).unwrap();
    assert!(matches!(
        file.unlock(&SlotSecret::KeyFile(key(1))),
        Err(SealError::NoSuchSlot(_))
    ));
    assert!(matches!(file.remove_slot(first), Err(SealError::UnknownSlot(_))));
    assert!(matches!(file.remove_slot(second), Err(SealError::LastSlot)));
}

#[test]
fn another_root_key_adds_no_slot() {
    let (mut file, _) = sealed();
    let other = RootKey::generate().unwrap();
    assert!(matches!(
        file.add_slot(&other, &SlotSecret::KeyFile(key(3)), ""),
        Err(SealError::WrongKey(_))
    ));
}

#[test]
fn every_flipped_bit_is_found() {
    let (file, _) = sealed();
    let bytes = file.encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(SealFile::decode(&flipped).is_err(), "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert!(SealFile::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

/// Makes the checksum anew, as somebody would who changes the file on purpose.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let body = bytes.len() - 32;
    let digest = Sha256::digest(&bytes[..body]);
    bytes[body..].copy_from_slice(&digest);
    bytes
}

#[test]
fn a_bit_flipped_on_purpose_never_gives_another_root_key() {
    let (file, root) = sealed();
    let bytes = file.encode();
    for bit in 0..(bytes.len() - 32) * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match SealFile::decode(&with_checksum(flipped)) {
            Err(SealError::Damaged(_) | SealError::UnknownFormat(_)) => {}
            Err(other) => panic!("bit {bit}: {other}"),
            Ok(changed) => match changed.unlock(&SlotSecret::KeyFile(key(1))) {
                Err(SealError::WrongKey(_) | SealError::NoSuchSlot(_)) => {}
                Err(other) => panic!("bit {bit}: {other}"),
                Ok(opened) => panic!("bit {bit}: opened, right key: {}", same(&opened, &root)),
            },
        }
    }
}

#[test]
fn another_slot_changed_on_purpose_does_not_matter_to_ours() {
    let (mut file, root) = sealed();
    let alone = file.encode().len() - 32;
    file.add_slot(&root, &SlotSecret::KubernetesSecret(key(2)), "second")
        .unwrap();
    let mut bytes = file.encode();
    bytes[alone + 8 + 1 + 4] ^= 1;
    let changed = SealFile::decode(&with_checksum(bytes)).unwrap();
    assert!(same(
        &changed.unlock(&SlotSecret::KeyFile(key(1))).unwrap(),
        &root
    ));
    assert!(matches!(
        changed.unlock(&SlotSecret::KubernetesSecret(key(2))),
        Err(SealError::WrongKey(_))
    ));
}

#[test]
fn a_passphrase_slot_keeps_to_its_cost() {
    let (mut file, root) = sealed();
    let phrase = || SecretBytes::new(b"correct horse battery".to_vec());
    let passphrase = |cost| SlotSecret::Passphrase(phrase(), cost);
    for (memory_kib, passes, lanes) in [
        (0, 1, 1),
        (64, 0, 1),
        (64, 1, 0),
        (7, 1, 1),
        ((1 << 20) + 1, 1, 1),
        (64, 65, 1),
        (64, 1, 65),
        (u32::MAX, u32::MAX, u32::MAX),
    ] {
        let cost = PassphraseCost {
            memory_kib,
            passes,
            lanes,
        };
        assert!(
            matches!(file.add_slot(&root, &passphrase(cost), ""), Err(SealError::Cost)),
            "{cost:?}"
        );
    }
    for short in ["", "elevenbytes", "äääää"] {
        let short = SlotSecret::Passphrase(SecretBytes::new(short.into()), CHEAP);
        assert!(matches!(
            file.add_slot(&root, &short, ""),
            Err(SealError::PassphraseTooShort)
        ));
    }
    let alone = file.encode().len() - 32;
    file.add_slot(&root, &passphrase(CHEAP), "").unwrap();
    let bytes = file.encode();
    let decoded = SealFile::decode(&bytes).unwrap();
    assert!(same(&decoded.unlock(&passphrase(CHEAP)).unwrap(), &root));
    // Id, kind, empty label, memory; then the passes: 1 becomes 3.
    let mut costlier = bytes.clone();
    costlier[alone + 8 + 1 + 4 + 4 + 3] = 3;
    let costlier = SealFile::decode(&with_checksum(costlier)).unwrap();
    assert!(matches!(
        costlier.unlock(&passphrase(CHEAP)),
        Err(SealError::WrongKey(SlotKind::Passphrase))
    ));
    // A cost that would eat all memory is no seal file at all.
    let mut greedy = bytes;
    greedy[alone + 8 + 1 + 4] = 0xff;
    assert!(matches!(
        SealFile::decode(&with_checksum(greedy)),
        Err(SealError::Damaged(_))
    ));
}

#[test]
fn a_file_of_any_length_is_refused_without_reading_it_all() {
    let dir = tempfile::tempdir().unwrap();
    let endless = std::fs::File::create(dir.path().join(FILE_NAME)).unwrap();
    endless.set_len(1 << 40).unwrap();
    assert!(matches!(
        SealFile::load(dir.path()),
        Err(SealError::Damaged("it is too long"))
    ));
}

#[test]
fn the_longest_file_is_read_again() {
    let (mut file, root) = sealed();
    let label = "\u{10ffff}".repeat(200);
    while file
        .add_slot(&root, &SlotSecret::KubernetesSecret(key(2)), &label)
        .is_ok()
    {}
    assert_eq!(file.slots().len(), 16);
    assert!(matches!(
        file.add_slot(&root, &SlotSecret::KeyFile(key(2)), ""),
        Err(SealError::TooManySlots)
    ));
    assert_eq!(SealFile::decode(&file.encode()).unwrap(), file);
}

#[test]
fn a_slot_moved_to_another_store_does_not_open() {
    // The slot's bytes are kept whole; only the store id around them changes, and the checksum is made anew.
    let (file, _) = sealed();
    let mut bytes = file.encode();
    bytes[8] ^= 1;
    let bytes = with_checksum(bytes);
    let moved = SealFile::decode(&bytes).unwrap();
    assert!(matches!(
        moved.unlock(&SlotSecret::KeyFile(key(1))),
        Err(SealError::WrongKey(_))
    ));
}

#[test]
fn the_file_is_replaced_whole_and_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(SealFile::load(dir.path()), Err(SealError::Missing(_))));
    let (mut file, root) = sealed();
    file.write(dir.path()).unwrap();
    // What a crash between write and rename left behind is no obstacle.
    std::fs::write(dir.path().join("store.seal.new"), b"half").unwrap();
    file.add_slot(&root, &SlotSecret::KubernetesSecret(key(2)), "")
        .unwrap();
    file.write(dir.path()).unwrap();
    assert_eq!(SealFile::load(dir.path()).unwrap(), file);
    let mode = std::fs::metadata(dir.path().join(FILE_NAME))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!dir.path().join("store.seal.new").exists());
}

#[test]
fn a_mistyped_recovery_key_is_told_from_a_malformed_one() {
    let shown = RecoveryKey::generate().unwrap().reveal();
    let swapped = if shown.starts_with('A') { 'B' } else { 'A' };
    let mistyped = format!("{swapped}{}", &shown[1..]);
    assert_eq!(
        RecoveryKey::parse(&mistyped).unwrap_err(),
        RecoveryKeyError::Mistyped
    );
    assert_eq!(
        RecoveryKey::parse("hello").unwrap_err(),
        RecoveryKeyError::Malformed
    );
    assert_eq!(
        RecoveryKey::parse(&shown[5..]).unwrap_err(),
        RecoveryKeyError::Malformed
    );
}

#[test]
fn debug_shows_no_key() {
    let (file, root) = sealed();
    let secret = SlotSecret::KeyFile(SecretBytes::new(b"marker-marker-marker-marker-mark".to_vec()));
    for text in [
        format!("{root:?}"),
        format!("{secret:?}"),
        format!("{:?}", RecoveryKey::generate().unwrap()),
    ] {
        assert!(!text.contains("marker") && text.len() < 80, "{text}");
    }
    let shown = format!("{file:?}");
    assert!(
        shown.starts_with("SealFile") && !shown.contains("wrapped") && !shown.contains("check"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in ".{0,80}") {
        let _ = SealFile::decode(&bytes);
        let _ = RecoveryKey::parse(&text);
    }

    /// Past the magic and the checksum, where the fields are read.
    #[test]
    fn arbitrary_slots_never_panic(fields in proptest::collection::vec(any::<u8>(), 0..400), slots in 0..4_u32) {
        let mut bytes = b"SRSEAL\0\x01".to_vec();
        bytes.extend_from_slice(&[7; 48]);
        bytes.extend_from_slice(&slots.to_be_bytes());
        bytes.extend_from_slice(&fields);
        bytes.extend_from_slice(&[0; 32]);
        let bytes = with_checksum(bytes);
        if let Ok(file) = SealFile::decode(&bytes) {
            prop_assert_eq!(file.encode(), bytes);
        }
    }

    #[test]
    fn several_changed_bytes_open_nothing_else(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (file, root) = sealed();
        let mut bytes = file.encode();
        let body = bytes.len() - 32;
        for (index, byte) in changes {
            bytes[index.index(body)] = byte;
        }
        if let Ok(changed) = SealFile::decode(&with_checksum(bytes))
            && let Ok(opened) = changed.unlock(&SlotSecret::KeyFile(key(1))) {
            prop_assert!(same(&opened, &root));
            prop_assert_eq!(changed, file);
        }
    }

    #[test]
    fn a_recovery_key_is_read_as_people_write_it(blanks in proptest::collection::vec(0..4_usize, 56)) {
        let key = RecoveryKey::generate().unwrap();
        let mut typed = String::new();
        for (character, blank) in key.reveal().chars().filter(|character| *character != '-').zip(blanks) {
            typed.push(if blank == 0 { character.to_ascii_lowercase() } else { character });
            typed.push_str(["", " ", "-", "\n"][blank]);
        }
        let parsed = RecoveryKey::parse(&typed).unwrap();
        prop_assert_eq!(parsed.bytes(), key.bytes());
    }
}
