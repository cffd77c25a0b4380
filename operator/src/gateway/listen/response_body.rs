//! The body of a response. It keeps the shares of its request until the client has received the last byte.
//!
//! HTTP/2 buffers data until the client has room for it, however long that takes. So each piece records when
//! it was handed over and when it was sent: it is sent once nothing refers to it any more.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

use super::connection::RequestGuard;

/// What a request holds: given back with the last byte of its answer.
pub(in crate::gateway) struct ResponseGuard(
    #[expect(dead_code, reason = "held, not looked at")] Arc<dyn Any + Send + Sync>,
);

impl ResponseGuard {
    pub(in crate::gateway) fn new(held: Arc<impl Any + Send + Sync>) -> Self {
        Self(held)
    }
}

/// What is kept until the last piece is taken.
struct ResponseState {
    request: RequestGuard,
    _held: Option<ResponseGuard>,
}

/// A body that tells when each piece was taken, and holds its request's guards until the last.
pub(super) struct ResponseBody {
    body: Body,
    open: Arc<ResponseState>,
}

impl ResponseBody {
    pub(super) fn new(body: Body, request: RequestGuard, held: Option<ResponseGuard>) -> Self {
        let open = ResponseState { request, _held: held };
        Self {
            body,
            open: Arc::new(open),
        }
    }
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let open = &self.open;
        frame.map(|frame| Some(frame?.map(|frame| frame.map_data(|bytes| Piece::track(bytes, open)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A part of an answer on its way.
struct Piece {
    bytes: Bytes,
    number: u64,
    open: Arc<ResponseState>,
}

impl Piece {
    fn track(bytes: Bytes, open: &Arc<ResponseState>) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        Bytes::from_owner(Self {
            number: open.request.piece(),
            open: Arc::clone(open),
            bytes,
        })
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.open.request.taken(self.number);
    }
}
