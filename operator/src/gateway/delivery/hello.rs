//! The first message of a node that is not authenticated yet: its size is bounded before anything of it is
//! decoded. Plugins of earlier versions send their token in it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use strongroom_rules::request::first_message::{FirstMessage, FirstMessageTooLarge};
use tonic::Status;

/// A body whose first message is bounded.
pub(super) struct BoundedHello {
    body: Body,
    first: FirstMessage,
}

impl BoundedHello {
    pub(super) fn wrap(body: Body) -> Body {
        Body::new(Self {
            body,
            first: FirstMessage::default(),
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
                Err(FirstMessageTooLarge) => {
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
