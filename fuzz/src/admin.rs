//! The admin socket, from both ends: what the process reads of whoever connects, and what a command reads of
//! whatever listens there.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | who reads: the process (even) or a command (odd) |
//! | rest | frames |

use strongroom_store::admin::{AdminRequest, AdminResponse, MAX_FRAME_BYTES, header, length};
use strongroom_store::codec::DecodeError;

/// Reads frames until one is none. What is read is written as the same bytes, and what is refused says why.
pub fn run(input: &[u8]) {
    let Some((side, mut stream)) = input.split_first() else {
        return;
    };
    while let Some(message) = next(&mut stream) {
        let again = if side % 2 == 0 {
            AdminRequest::decode(message).map(|request| request.encode())
        } else {
            AdminResponse::decode(message).map(|answer| answer.encode())
        };
        match again {
            Ok(again) => assert!(
                again.as_slice() == message,
                "a message has a second encoding: {message:02x?} and {again:02x?}"
            ),
            Err(error) => assert!(!error.to_string().is_empty(), "an error says nothing"),
        }
    }
}

/// How many messages of a stream are understood; all of them, or why one is not.
///
/// # Errors
/// [`DecodeError`] of the first that is not.
pub fn understood(input: &[u8]) -> Result<usize, DecodeError> {
    let (side, mut stream) = input.split_first().ok_or(DecodeError::Short)?;
    let mut count = 0;
    while let Some(message) = next(&mut stream) {
        if side % 2 == 0 {
            AdminRequest::decode(message)?;
        } else {
            AdminResponse::decode(message)?;
        }
        count += 1;
    }
    Ok(count)
}

/// The next message; none where the rest is no frame.
fn next<'a>(stream: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (before, rest) = stream.split_first_chunk::<4>()?;
    let length = length(*before).ok()?;
    assert!(length <= MAX_FRAME_BYTES, "room for {length} bytes is made");
    let (message, rest) = rest.split_at_checked(length)?;
    assert!(
        header(message) == Ok(*before),
        "a length has a second encoding: {before:02x?}"
    );
    *stream = rest;
    Some(message)
}
