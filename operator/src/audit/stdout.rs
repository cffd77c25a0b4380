//! Audit records on standard output, one JSON object a line, for whatever collects the pod's output. Logs go
//! to standard error.

use std::io::{self, Write};

/// Standard output.
#[derive(Debug)]
pub(super) struct Stdout;

impl Stdout {
    pub(super) async fn deliver(&mut self, lines: &[u8]) -> io::Result<()> {
        let lines = lines.to_vec();
        // Whoever reads it may be slow.
        tokio::task::spawn_blocking(move || {
            let mut out = io::stdout().lock();
            out.write_all(&lines)?;
            out.flush()
        })
        .await
        .map_err(io::Error::other)?
    }
}
