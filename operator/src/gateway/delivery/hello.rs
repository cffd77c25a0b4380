//! The first message of a node that has not said yet who it is: bounded before anything of it is decoded. Plugins of earlier versions send their token in it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tonic::Status;

/// Largest first message, in bytes.
pub(super) const HELLO_BYTES: u32 = 64 << 10;
/// What stands before a message (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): one byte, and its length in four.
const PREFIX: usize = 5;

/// How much of the first message may still come: pure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// Bytes of the prefix that came.
    Prefix([u8; PREFIX], usize),
    /// Bytes of the message that are to come.
    Message(usize),
    /// It is over: what comes now is looked at elsewhere.
    Over,
}

/// The first message is larger than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Default for First {
    fn default() -> Self {
        Self::Prefix([0; PREFIX], 0)
    }
}

impl First {
    /// After these bytes.
    ///
    /// # Errors
    /// [`TooLarge`], as soon as the prefix says so.
    pub(super) fn after(self, mut bytes: &[u8]) -> Result<Self, TooLarge> {
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
                            return Err(TooLarge);
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

/// A body whose first message is bounded.
pub(super) struct BoundedHello {
    body: Body,
    first: First,
}

impl BoundedHello {
    pub(super) fn of(body: Body) -> Body {
        Body::new(Self {
            body,
            first: First::default(),
        })
    }
}

impl HttpBody for BoundedHello {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(bytes) = frame.data_ref()
        {
            match self.first.after(bytes) {
                Ok(first) => self.first = first,
                Err(TooLarge) => {
                    let text =
                        "the first message is too large; send the token in the metadata `authorization`";
                    return Poll::Ready(Some(Err(axum::Error::new(Status::resource_exhausted(text)))));
                }
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
            let mut first = First::default();
            for part in good.chunks(step) {
                assert_ne!(first, First::Over);
                first = first.after(part).unwrap();
            }
            assert_eq!(first, First::Over);
            assert_eq!(first.after(&message(1 << 20)), Ok(First::Over));
        }
        let large = message(HELLO_BYTES + 1);
        let begun = First::default().after(&large[..4]).unwrap();
        assert_eq!(begun.after(&large[4..5]), Err(TooLarge), "its length is enough");
        assert_eq!(First::default().after(&message(0)), Ok(First::Over));
    }
}
