//! The keys of a file, written as the specification has it: `whsec_` and base64. Several, one a line, while a
//! receiver changes over from one to the next: then each signs.

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::AsyncReadExt;
use zeroize::Zeroizing;

/// By what the specification tells a key from anything else.
const PREFIX: &[u8] = b"whsec_";
/// Bytes of a key. The most are a block of the hash.
const KEY_BYTES: RangeInclusive<usize> = 24..=BLOCK_BYTES;
/// Bytes of a block of SHA-256.
const BLOCK_BYTES: usize = 64;
/// Bytes of a file that is read at all.
const MAX_FILE_BYTES: u64 = 4096;

/// A file that holds no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum SigningKeyError {
    /// It is not there, or not for us.
    #[error(
        "the signing key `{path}` cannot be read: {source}; mount it there, or correct `key` of the sink"
    )]
    Read {
        /// The file of the signing key.
        path: String,
        /// What the system answered.
        source: io::Error,
    },
    /// It is something else.
    #[error("`{path}` is too large for a file of signing keys; name the right one in `key` of the sink")]
    TooLarge {
        /// The file of the signing key.
        path: String,
    },
    /// A line of it is something else. What stands there may be a key all the same, so it is not told.
    #[error("`{path}` line {line} is no signing key: write `whsec_` and the base64 of 24 to 64 random bytes")]
    Malformed {
        /// The file of the signing key.
        path: String,
        /// Which line, from one on.
        line: usize,
    },
    /// There is none.
    #[error("`{path}` holds no signing key: write `whsec_` and the base64 of 24 to 64 random bytes")]
    Empty {
        /// The file of the signing key.
        path: String,
    },
}

/// Keys, each padded with zeros to a block (RFC 2104).
pub(super) struct SigningKeys(Vec<Zeroizing<[u8; BLOCK_BYTES]>>);

impl SigningKeys {
    /// Those that the file has now.
    pub(super) async fn read(path: &Path) -> Result<Self, SigningKeyError> {
        let text = contents(path).await.map_err(|source| SigningKeyError::Read {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &[u8]) -> Result<Self, SigningKeyError> {
        let shown = || path.display().to_string();
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(SigningKeyError::TooLarge { path: shown() });
        }
        let mut keys = Vec::new();
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let key = key(line).ok_or_else(|| SigningKeyError::Malformed {
                path: shown(),
                line: number + 1,
            })?;
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(SigningKeyError::Empty { path: shown() });
        }
        Ok(Self(keys))
    }

    /// The signature by each key, as the header wants them.
    pub(super) fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let signatures: Vec<String> = self
            .0
            .iter()
            .map(|block| {
                let mut mac = <Hmac<Sha256> as KeyInit>::new((&**block).into());
                let dot = ".".as_bytes();
                for part in [id.as_bytes(), dot, timestamp.as_bytes(), dot, body] {
                    mac.update(part);
                }
                format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
            })
            .collect();
        signatures.join(" ")
    }
}

async fn contents(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = tokio::fs::File::open(path).await?;
    let mut text = Zeroizing::new(Vec::new());
    // One byte more tells that there is more.
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).await?;
    Ok(text)
}

/// The key of a line.
fn key(line: &[u8]) -> Option<Zeroizing<[u8; BLOCK_BYTES]>> {
    let encoded = line.strip_prefix(PREFIX)?;
    let decoded = Zeroizing::new(BASE64.decode(encoded).ok()?);
    if !KEY_BYTES.contains(&decoded.len()) {
        return None;
    }
    let mut block = Zeroizing::new([0_u8; BLOCK_BYTES]);
    for (to, from) in block.iter_mut().zip(decoded.iter()) {
        *to = *from;
    }
    Some(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/etc/strongroom/audit-webhook/key";

    fn parse(text: &str) -> Result<SigningKeys, SigningKeyError> {
        SigningKeys::parse(Path::new(FILE), text.as_bytes())
    }

    fn wrong(text: &str) -> String {
        parse(text).err().unwrap().to_string()
    }

    /// The vector that the libraries of the specification are tested by.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let sign = |keys: &str| {
            let keys = parse(keys).unwrap();
            keys.sign(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                br#"{"test": 2432232314}"#,
            )
        };
        let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(sign(key), signature);
        assert_eq!(sign(&format!("\n  {key}\r\n")), signature);
        // Two keys: two signatures, in their order.
        let both = sign(&format!("{key}\nwhsec_{}\n", BASE64.encode(&[7; 64])));
        assert!(
            both.starts_with(&format!("{signature} v1,")) && both.len() == 2 * signature.len() + 1,
            "{both}"
        );
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_without_what_stands_in_it() {
        let short = format!("whsec_{}", BASE64.encode(&[1; 23]));
        let long = format!("whsec_{}", BASE64.encode(&[1; 65]));
        let good = format!("whsec_{}", BASE64.encode(&[1; 24]));
        for text in [
            short.as_str(),
            long.as_str(),
            "c2VjcmV0",
            "whsec_c2Vj!cmV0",
            "whsec_",
        ] {
            let wrong = wrong(&format!("{good}\n{text}\n"));
            assert!(
                wrong.contains("line 2 is no signing key") && wrong.contains(FILE) && !wrong.contains("c2Vj"),
                "{text}: {wrong}"
            );
            assert!(!wrong.contains(&good), "{wrong}");
        }
        for text in ["", "\n \n"] {
            assert!(wrong(text).contains("holds no signing key"), "{text}");
        }
        assert!(wrong(&"x".repeat(5_000)).contains("too large"));
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_named() {
        let keep = tempfile::tempdir().unwrap();
        let missing = keep.path().join("key");
        let wrong = SigningKeys::read(&missing).await.err().unwrap().to_string();
        assert!(
            wrong.contains(&missing.display().to_string()) && wrong.contains("cannot be read"),
            "{wrong}"
        );
        std::fs::write(&missing, "x".repeat(10_000)).unwrap();
        let wrong = SigningKeys::read(&missing).await.err().unwrap();
        assert!(matches!(wrong, SigningKeyError::TooLarge { .. }), "{wrong}");
    }
}
