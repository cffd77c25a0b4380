//! The text of a watched object, packed: ten thousand of them are kept, and they are much alike. LZ4 with a
//! text that is like most of them unpacks about as fast as memory is copied. Must not be stored outside of
//! memory: only the same build of the program can unpack it.

use lz4_flex::block::{
    compress_prepend_size_with_dict, decompress_size_prepended_with_dict, uncompressed_size,
};

/// What most texts are made of. What is like its end is packed best.
const DICTIONARY: &[u8] = br#"{"metadata":{"annotations":{"strongroom.dev/rotate-now":""}},"spec":{"deletion":{"policy":"Retain"},"description":"","encryptionKey":"","readers":["*"],"suspend":false,"secret":{"name":"secret-","template":{"data":{}},"type":"Opaque"},"source":{"external":{},"import":{"secretRef":{"name":""}},"generate":{"keys":{"username":{"literal":""},"password":{"password":{"length":32,"symbols":true}}}}}},"status":{"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"","observedGeneration":1,"reason":"Ready","status":"True","type":"Reconciling"},{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"the secret is current","observedGeneration":1,"reason":"Ready","status":"True","type":"Ready"}],"lastRotation":"2026-01-01T00:00:00Z","lastVerified":"2026-01-01T00:00:00Z","nativeSecret":{"name":"secret-"},"nextRotation":"2026-01-01T00:00:00Z","observedGeneration":1,"rotationSchedule":"","secretId":"","stages":{"Current":"v-","Previous":"v-"},"versions":[{"created":"2026-01-01T00:00:00Z","id":"v-","seq":1,"stages":["Previous"]},{"created":"2026-01-01T00:00:00Z","id":"v-","seq":2,"stages":["Current"]}]}}"#;

/// A packed text.
#[derive(Clone)]
pub(super) struct CompressedText(Box<[u8]>);

impl CompressedText {
    pub(super) fn compress(text: &[u8]) -> Self {
        Self(compress_prepend_size_with_dict(text, DICTIONARY).into_boxed_slice())
    }

    /// Bytes that it takes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of the text: they stand before it.
    pub(super) fn uncompressed_len(&self) -> usize {
        uncompressed_size(&self.0).map_or(0, |(bytes, _)| bytes)
    }

    /// The text. What does not unpack, which nothing in memory does, is no object.
    pub(super) fn text(&self) -> Vec<u8> {
        decompress_size_prepended_with_dict(&self.0, DICTIONARY).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back() {
        let mut noise = vec![0; 3_000];
        getrandom::fill(&mut noise).unwrap();
        // Noise, what is like most, and each cut anywhere.
        for text in [noise.as_slice(), DICTIONARY, &[DICTIONARY, DICTIONARY].concat()] {
            for length in (0..text.len()).step_by(37).chain([text.len()]) {
                let packed = CompressedText::compress(&text[..length]);
                assert_eq!(packed.text(), &text[..length]);
                assert_eq!(packed.uncompressed_len(), length);
            }
        }
    }

    #[test]
    fn what_most_are_like_takes_less_than_half() {
        let text = br#"{"metadata":{},"spec":{"secret":{"name":"checkout-db"},"source":{"generate":{"keys":{"password":{"password":{"length":32}}}}}},"status":{"conditions":[{"lastTransitionTime":"2026-11-26T05:31:16Z","message":"the secret is current","observedGeneration":1,"reason":"Ready","status":"True","type":"Ready"}],"nativeSecret":{"name":"checkout-db"},"observedGeneration":1,"secretId":"0123456789abcdef0123456789abcdef","stages":{"Current":"v-abcdefghijklmnop"},"versions":[{"created":"2026-11-26T05:31:16Z","id":"v-abcdefghijklmnop","seq":1,"stages":["Current"]}]}}"#;
        let packed = CompressedText::compress(text);
        assert!(
            packed.0.len() * 2 < text.len(),
            "{} of {}",
            packed.0.len(),
            text.len()
        );
        assert_eq!(packed.text(), text);
    }
}
