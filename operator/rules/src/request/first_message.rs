//! How long the first message of a stream is, as its bytes come: it is bounded before anything of it is
//! decoded. Pure.

/// Largest first message, in bytes.
pub const HELLO_BYTES: u32 = 64 << 10;
/// What stands before a message (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): one byte,
/// and its length in four.
pub const PREFIX: usize = 5;

/// How much of the first message may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstMessage {
    /// Bytes of the prefix that came.
    Prefix([u8; PREFIX], usize),
    /// Bytes of the message that are to come.
    Message(usize),
    /// It is over: what comes now is looked at elsewhere.
    Over,
}

/// The first message is larger than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the first message is larger than {HELLO_BYTES} bytes")]
pub struct FirstMessageTooLarge;

impl Default for FirstMessage {
    fn default() -> Self {
        Self::Prefix([0; PREFIX], 0)
    }
}

impl FirstMessage {
    /// After these bytes.
    ///
    /// # Errors
    /// [`FirstMessageTooLarge`], as soon as the prefix says so.
    pub fn after(self, mut bytes: &[u8]) -> Result<Self, FirstMessageTooLarge> {
        let mut first = self;
        loop {
            match first {
                Self::Prefix(mut prefix, came) => {
                    let Some((byte, rest)) = bytes.split_first() else {
                        return Ok(first);
                    };
                    if let Some(place) = prefix.get_mut(came) {
                        *place = *byte;
                    }
                    bytes = rest;
                    first = if came + 1 < PREFIX {
                        Self::Prefix(prefix, came + 1)
                    } else {
                        let [_, length @ ..] = prefix;
                        let length = u32::from_be_bytes(length);
                        if length > HELLO_BYTES {
                            return Err(FirstMessageTooLarge);
                        }
                        Self::Message(usize::try_from(length).unwrap_or(usize::MAX))
                    };
                }
                Self::Message(left) => {
                    return Ok(match left.checked_sub(bytes.len()) {
                        None | Some(0) => Self::Over,
                        Some(left) => Self::Message(left),
                    });
                }
                Self::Over => return Ok(Self::Over),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(length.to_be_bytes());
        bytes.resize(PREFIX + usize::try_from(length).unwrap(), 7);
        bytes
    }

    #[test]
    fn the_first_message_alone_is_bounded_however_it_is_cut() {
        let good = message(HELLO_BYTES);
        for step in [1, 3, 5, 6, 1_000, good.len()] {
            let mut first = FirstMessage::default();
            for part in good.chunks(step) {
                assert_ne!(first, FirstMessage::Over);
                first = first.after(part).unwrap();
            }
            assert_eq!(first, FirstMessage::Over);
            assert_eq!(first.after(&message(1 << 20)), Ok(FirstMessage::Over));
        }
        let large = message(HELLO_BYTES + 1);
        let begun = FirstMessage::default().after(&large[..4]).unwrap();
        assert_eq!(
            begun.after(&large[4..5]),
            Err(FirstMessageTooLarge),
            "its length is enough"
        );
        assert_eq!(FirstMessage::default().after(&message(0)), Ok(FirstMessage::Over));
    }
}
