//! The body of a request. What the connection itself buffers is out of reach here.

use axum::body::Body;
use futures::StreamExt;
use zeroize::Zeroizing;

use crate::gateway::problem::{Code, Problem, invalid};

/// The body, if it comes whole and has at most so many bytes, in a buffer that never grows and is wiped.
pub(super) async fn read(body: Body, most: usize) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut whole = Zeroizing::new(Vec::with_capacity(most));
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| invalid("the body is incomplete"))?;
        if whole.len() + piece.len() > most {
            let detail = format!("the body is larger than {} KiB", most >> 10);
            return Err(Problem::new(Code::TooLarge, detail));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}
