//! Key pairs as OpenSSH reads and writes them: the private key in its own format
//! (<https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key>), the public key as a line of
//! authorized_keys (RFC 4253 section 6.6).

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::key_pair::KeyPair;
use super::random::CryptoRng;

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Characters a line of the private key, as OpenSSH writes them.
const LINE_CHARACTERS: usize = 70;
/// Private parts are padded to a multiple of this many bytes, the block of the cipher `none`.
const PADDING_BLOCK_BYTES: usize = 8;

/// Fields in the wire encoding of RFC 4251 section 5. Wiped when dropped.
#[derive(Default)]
pub(super) struct Fields(Zeroizing<Vec<u8>>);

impl Fields {
    fn number(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Bytes with their length before them.
    pub(super) fn string(mut self, bytes: &[u8]) -> Self {
        // Nothing here is longer than a key.
        self = self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(bytes);
        self
    }

    /// A number that is not negative, big-endian, in as few bytes as it takes.
    pub(super) fn integer(self, bytes: &[u8]) -> Self {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        let digits = bytes.get(start..).unwrap_or_default();
        let mut padded = Zeroizing::new(Vec::with_capacity(digits.len() + 1));
        // A leading one would be the sign.
        if digits.first().is_some_and(|first| first & 0x80 != 0) {
            padded.push(0);
        }
        padded.extend_from_slice(digits);
        self.string(&padded)
    }
}

/// The pair of this algorithm, with the fields of its public and of its private key after the algorithm's
/// name.
pub(super) fn pair(
    algorithm: &str,
    public: &Fields,
    private: &Fields,
    comment: &str,
    random: &mut dyn CryptoRng,
) -> KeyPair {
    let mut blob = Fields::default().string(algorithm.as_bytes());
    blob.0.extend_from_slice(&public.0);

    // Twice the same number shows that an encrypted key was opened right.
    let mut check = [0; 4];
    random.fill_bytes(&mut check);
    let check = u32::from_be_bytes(check);
    let mut secret = Fields(Zeroizing::new(Vec::with_capacity(private.0.len() + 256)))
        .number(check)
        .number(check)
        .string(algorithm.as_bytes());
    secret.0.extend_from_slice(&private.0);
    secret = secret.string(comment.as_bytes());
    let missing = (PADDING_BLOCK_BYTES - secret.0.len() % PADDING_BLOCK_BYTES) % PADDING_BLOCK_BYTES;
    secret.0.extend((1_u8..).take(missing));

    let mut whole = Fields(Zeroizing::new(Vec::with_capacity(
        secret.0.len() + blob.0.len() + 64,
    )));
    whole.0.extend_from_slice(MAGIC);
    let whole = whole
        .string(b"none")
        .string(b"none")
        .string(b"")
        .number(1)
        .string(&blob.0)
        .string(&secret.0);
    KeyPair {
        private: armored(&whole.0),
        public: format!("{algorithm} {} {comment}\n", BASE64.encode(&blob.0)),
    }
}

fn armored(bytes: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64.encode(bytes));
    let mut text = Zeroizing::new(String::with_capacity(
        encoded.len() + encoded.len() / LINE_CHARACTERS + 80,
    ));
    text.push_str("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(LINE_CHARACTERS).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END OPENSSH PRIVATE KEY-----\n");
    text
}
