use proptest::prelude::*;

use super::*;

/// `openssl ecparam -genkey`.
const EC: &[u8] = include_bytes!("testdata/ec.pem");
/// `openssl pkcs12 -nodes`: attributes before each block, the friendly name in no known encoding.
const BAG: &[u8] = include_bytes!("testdata/bag.pem");
/// `openssl x509 -text`.
const TEXT: &[u8] = include_bytes!("testdata/text.pem");
/// `openssl ec -aes256`.
const ENCRYPTED: &[u8] = include_bytes!("testdata/encrypted.pem");

fn labels(text: &[u8]) -> Vec<String> {
    let blocks = blocks(text).unwrap();
    blocks.iter().map(|block| block.label.to_owned()).collect()
}

fn written(text: &[u8]) -> String {
    let mut written = String::new();
    for block in blocks(text).unwrap() {
        let before = written.len();
        block.write(&mut written);
        assert!(written.len() - before <= block.size());
    }
    written
}

#[test]
fn what_openssl_writes_around_its_blocks_is_passed_over() {
    assert_eq!(labels(EC), ["EC PARAMETERS", "EC PRIVATE KEY"]);
    assert_eq!(written(EC).as_bytes(), EC);
    assert_eq!(labels(BAG), ["CERTIFICATE", "PRIVATE KEY"]);
    assert_eq!(labels(TEXT), ["CERTIFICATE"]);
    let certificate = written(TEXT);
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----\nMII"));
    assert!(written(BAG).starts_with(&certificate));
}

#[test]
fn headers_stay_and_what_is_under_a_password_has_no_bytes() {
    assert_eq!(written(ENCRYPTED).as_bytes(), ENCRYPTED);
    assert!(
        blocks(ENCRYPTED)
            .unwrap()
            .iter()
            .all(|block| block.bytes().is_none())
    );
    let armor = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\nbWU=\n=aBcD\n-----END PGP PUBLIC KEY BLOCK-----\n";
    assert_eq!(written(armor.as_bytes()), armor);
}

#[test]
fn each_line_end_indentation_and_label_is_read_and_one_is_written() {
    let plain = "-----BEGIN A-B C-----\nAAEC\nAw==\n-----END A-B C-----\n";
    let strict = "-----BEGIN A-B C-----\nAAECAw==\n-----END A-B C-----\n";
    for text in [
        plain.to_owned(),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        plain.trim_end().to_owned(),
        format!("\u{feff}{plain}"),
        plain.replace('\n', " \t\n  "),
        plain.replace('\n', "\n\n"),
        plain.replace('\n', ""),
        plain.replace('\n', " "),
        plain.replace("Aw==", "Aw"),
        plain.replace("Aw==", "Aw="),
        plain.replace("AAEC", "AA\u{a0}EC"),
        format!("# paste the -----BEGIN A----- block below\n{plain}the end"),
    ] {
        assert_eq!(written(text.as_bytes()), strict, "{text:?}");
    }
    let whole = "-----BEGIN X-----\nAAEC=\n-----END X-----\n";
    assert_eq!(written(whole.as_bytes()), whole.replace('=', ""));
    let empty = "-----BEGIN X-----\n-----END X-----";
    assert_eq!(written(empty.as_bytes()), format!("{empty}\n"));
    assert_eq!(labels(format!("{plain}\r\n{empty}").as_bytes()), ["A-B C", "X"]);
}

#[test]
fn what_is_no_pem_is_refused_with_its_block() {
    let good = "-----BEGIN X-----\nAA==\n-----END X-----\n";
    for (text, error) in [
        ("", (0, PemError::NoBlock)),
        ("----BEGIN X----\nAA==\n----END X----", (0, PemError::NoBlock)),
        (
            "a -----BEGIN X-----\nAA==\n-----END X-----",
            (0, PemError::NoBlock),
        ),
        ("-----BEGIN X-----\nAA==\n", (0, PemError::NoEnd)),
        ("-----BEGIN X-----\nAA==\n-----END Y-----", (0, PemError::NoEnd)),
        (
            "-----BEGIN X-----\nAA==\n-----BEGIN X-----\nAA==\n-----END X-----",
            (0, PemError::NoEnd),
        ),
        ("-----BEGIN X----\nAA==\n-----END X-----", (0, PemError::Label)),
        (
            &format!("{good}-----BEGIN X-----\nA\n-----END X-----"),
            (1, PemError::Body),
        ),
    ] {
        assert_eq!(blocks(text.as_bytes()).map(|_| ()), Err(error), "{text:?}");
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(bytes: Vec<u8>, label in "[A-Z0-9]{1,12}( [A-Z0-9]{1,12}){0,2}") {
        prop_assume!(!label.starts_with("PGP "));
        let block = Block { label: &label, headers: Vec::new(), body: Body::Bytes(Zeroizing::new(bytes.clone()), Zeroizing::new(data_encoding::BASE64.encode(&bytes))) };
        let mut text = String::new();
        block.write(&mut text);
        prop_assert!(text.len() <= block.size());
        prop_assert!(text.lines().all(|line| line.len() <= LINE || line.starts_with(DASHES.iter().map(|b| *b as char).collect::<String>().as_str())));
        let again = blocks(text.as_bytes()).unwrap();
        prop_assert_eq!(again[0].bytes(), Some(bytes.as_slice()));
    }

    #[test]
    fn any_bytes_give_an_answer(parts in proptest::collection::vec(proptest::sample::select(vec![
        "-----BEGIN ", "-----END ", "-----", "X", "\n", "\r", "\r\n", " ", ":", "AA==", "=", "é", "\u{0}", "PGP ", "-",
    ]), 0..40)) {
        let _ = blocks(parts.concat().as_bytes());
    }
}
