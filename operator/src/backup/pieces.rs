//! A stream of pieces between async code and code that waits for a disk or computes. Each end waits for the
//! other, so memory stays bounded.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// Pieces that wait for the reader.
pub(super) const MAX_QUEUED: usize = 8;

/// Cuts what is written into pieces. Fails once nobody reads any more.
pub(super) struct PieceWriter {
    piece: Vec<u8>,
    most: usize,
    sender: mpsc::Sender<Vec<u8>>,
}

impl PieceWriter {
    /// Pieces of so many bytes at most.
    pub(super) fn new(most: usize, sender: mpsc::Sender<Vec<u8>>) -> Self {
        Self {
            piece: Vec::with_capacity(most),
            most,
            sender,
        }
    }
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.most.saturating_sub(self.piece.len()).min(bytes.len());
        self.piece
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        if self.piece.len() >= self.most {
            self.flush()?;
        }
        Ok(room)
    }

    /// Sends what there is.
    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(self.most));
        self.sender
            .blocking_send(piece)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Reads pieces until no more come.
pub(super) struct PieceReader {
    piece: Bytes,
    receiver: mpsc::Receiver<Bytes>,
}

impl PieceReader {
    pub(super) const fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self {
            piece: Bytes::new(),
            receiver,
        }
    }
}

impl Read for PieceReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(into.len());
        if let Some(into) = into.get_mut(..length) {
            self.piece.copy_to_slice(into);
        }
        Ok(length)
    }
}
