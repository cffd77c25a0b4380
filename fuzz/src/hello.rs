//! The first message of a node that has not said yet who it is: its frame as it comes in pieces, then what
//! stands in it.

use prost::Message;
use strongroom_api::stream::proto::NodeMessage;
use strongroom_rules::request::first_message::{FirstMessage, FirstMessageTooLarge, HELLO_BYTES, PREFIX};

/// All pieces, one after the other.
fn after<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<FirstMessage, FirstMessageTooLarge> {
    let mut first = FirstMessage::default();
    for piece in pieces {
        first = first.after(piece)?;
    }
    Ok(first)
}

/// Reads a stream's beginning: however it is cut, the same comes of it, and what is let through is bounded.
pub fn run(input: &[u8]) {
    let Some((cut, stream)) = input.split_first() else {
        return;
    };
    let whole = after(std::iter::once(stream));
    let pieces = after(stream.chunks(usize::from(*cut).max(1)));
    assert_eq!(whole, pieces, "it depends on the pieces");
    let Some((prefix, rest)) = stream.split_first_chunk::<PREFIX>() else {
        assert!(whole.is_ok(), "it is refused before its length came");
        return;
    };
    let [_, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length);
    assert_eq!(whole.is_err(), length > HELLO_BYTES, "the bound is another");
    if whole == Ok(FirstMessage::Over)
        && let Some(message) = usize::try_from(length).ok().and_then(|length| rest.get(..length))
        && let Ok(read) = NodeMessage::decode(message)
    {
        let again = NodeMessage::decode(read.encode_to_vec().as_slice());
        assert!(again.is_ok(), "what was read cannot be written");
    }
}
