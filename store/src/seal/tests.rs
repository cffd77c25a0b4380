use super::*;
use crate::crypto::RootKey;
use crate::id::StoreId;
use crate::secret::SecretBytes;
use proptest::prelude::*;

const CHEAP: PassphraseCost = PassphraseCost {
    memory_kib: 64,
    passes: 1,
    lanes: 1,
};

fn key(byte: u8) -> SecretBytes {
    SecretBytes::new(vec![byte; 32])
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
        assert_eq!(file.unlock(&secret).unwrap().to_secret(), root.to_secret());
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

#[test]
fn a_slot_moved_to_another_store_does_not_open() {
    // The slot's bytes are kept whole; only the store id around them changes, and the checksum is made anew.
    use sha2::{Digest, Sha256};
    let (file, _) = sealed();
    let mut bytes = file.encode();
    bytes[8] ^= 1;
    let body = bytes.len() - 32;
    let digest = Sha256::digest(&bytes[..body]);
    bytes[body..].copy_from_slice(&digest);
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
    assert!(format!("{file:?}").contains("SealFile"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in ".{0,80}") {
        let _ = SealFile::decode(&bytes);
        let _ = RecoveryKey::parse(&text);
    }
}
