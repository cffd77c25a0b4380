//! Audit records on standard output, one JSON object a line, for whatever collects the pod's output. Logs go
//! to standard error.

use std::io::{self, Write};

use futures::future::BoxFuture;

use super::destination::Destination;
use super::line::json_lines;
use super::one_write::OneWrite;
use super::sink::{Batch, Sink, SinkError};
use super::sink_kind::SinkKind;

/// How it is named.
pub(super) const KIND: SinkKind = SinkKind::Configured {
    form: "stdout",
    local_form: None,
    parse: |text| (text == "stdout").then(|| Ok(Destination::new(text.to_owned(), Stdout::default))),
};

/// Standard output.
#[derive(Debug, Default)]
struct Stdout(OneWrite);

async fn write(lines: Vec<u8>) -> io::Result<()> {
    // Whoever reads it may be slow.
    tokio::task::spawn_blocking(move || {
        let mut out = io::stdout().lock();
        out.write_all(&lines)?;
        out.flush()
    })
    .await
    .map_err(io::Error::other)?
}

impl Sink for Stdout {
    fn deliver<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), SinkError>> {
        let write = write(json_lines(batch.lines));
        Box::pin(async move { self.0.run(write).await.map_err(SinkError::Io) })
    }
}
