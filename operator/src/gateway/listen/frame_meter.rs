//! What the frames of a connection of HTTP/2 leave behind in memory, told by their heads alone as they come
//! (RFC 9113 section 4.1). Pure.
//!
//! Flow control knows the bytes of bodies alone. An open stream, a piece of a body that nobody has read and
//! trailers take memory that no window bounds: trailers of half a KiB, whose fields are one byte each by the
//! table of HPACK, become a map of a hundred.

use crate::gateway::limits;

/// What a client sends before its first frame (RFC 9113 section 3.4).
const PREFACE_BYTES: usize = 24;
/// The head of a frame: length, type, flags and stream.
const HEAD_BYTES: usize = 9;
/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// What h2 keeps for a stream: itself, and places for what comes and what goes. They stay when it ends, so
/// that no more count than may be open at the same time. What its head holds is its request's.
const STREAM_BYTES: u64 = 1_536;
/// What h2 keeps for a piece of a body besides its bytes.
const PIECE_BYTES: u64 = 256;
/// What trailers may hold: as many fields as a head has room for, each in a place of 104 bytes of a table
/// that has half of its places free, and their names.
const TRAILERS_BYTES: u64 = 96 << 10;

/// The frames of one connection.
#[derive(Debug)]
pub(super) struct FrameMeter {
    /// Bytes that are no head: the rest of the preface, or of a payload.
    skip: usize,
    head: [u8; HEAD_BYTES],
    /// Bytes of the head that came.
    came: usize,
    /// The newest stream: what comes with headers again has trailers.
    newest: u32,
    streams: u32,
}

impl Default for FrameMeter {
    fn default() -> Self {
        Self {
            skip: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            came: 0,
            newest: 0,
            streams: 0,
        }
    }
}

impl FrameMeter {
    /// What the frames whose heads end in these bytes may leave behind, in bytes.
    pub(super) fn weigh(&mut self, mut bytes: &[u8]) -> u64 {
        let mut weight = 0_u64;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((byte, rest)) = bytes.split_first() else {
                return weight;
            };
            if let Some(place) = self.head.get_mut(self.came) {
                *place = *byte;
            }
            bytes = rest;
            self.came += 1;
            if self.came == HEAD_BYTES {
                self.came = 0;
                weight = weight.saturating_add(self.frame());
            }
        }
    }

    /// A head is whole.
    fn frame(&mut self) -> u64 {
        let [long, middle, short, kind, _flags, stream @ ..] = self.head;
        self.skip = usize::try_from(u32::from_be_bytes([0, long, middle, short])).unwrap_or(usize::MAX);
        // The first bit is reserved.
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        match kind {
            DATA => PIECE_BYTES,
            HEADERS if stream > self.newest => {
                self.newest = stream;
                self.streams = self.streams.saturating_add(1);
                if self.streams > limits::HTTP2_STREAMS {
                    0
                } else {
                    STREAM_BYTES
                }
            }
            HEADERS => TRAILERS_BYTES,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, stream: u32, payload: usize) -> Vec<u8> {
        let mut frame = u32::try_from(payload).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0xff]);
        frame.extend(stream.to_be_bytes());
        // Whoever begins to read in the middle reads frames of bodies.
        frame.resize(HEAD_BYTES + payload, 0);
        frame
    }

    fn begun() -> FrameMeter {
        let mut meter = FrameMeter::default();
        assert_eq!(meter.weigh(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 0);
        meter
    }

    #[test]
    fn each_kind_of_frame_has_its_weight_however_the_bytes_are_cut() {
        let frames = [
            (frame(4, 0, 18), 0),
            (frame(HEADERS, 1, 300), STREAM_BYTES),
            (frame(DATA, 1, 0), PIECE_BYTES),
            (frame(PING, 0, 8), 0),
            (frame(DATA, 1, 16_384), PIECE_BYTES),
            (frame(HEADERS, 0x8000_0003, 20), STREAM_BYTES),
            // A head that goes on is one head.
            (frame(9, 3, 20), 0),
            (frame(HEADERS, 1, 20), TRAILERS_BYTES),
            (frame(HEADERS, 3, 0), TRAILERS_BYTES),
        ];
        let mut meter = begun();
        for (frame, weight) in &frames {
            assert_eq!(meter.weigh(frame), *weight, "{:?}", &frame[..HEAD_BYTES]);
        }
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frames.iter().flat_map(|(frame, _)| frame));
        let whole: u64 = frames.iter().map(|(_, weight)| weight).sum();
        for step in [1, 2, 7, 9, 10, 1_000, bytes.len()] {
            let mut meter = FrameMeter::default();
            let weight: u64 = bytes.chunks(step).map(|part| meter.weigh(part)).sum();
            assert_eq!(weight, whole, "{step}");
        }
    }

    #[test]
    fn streams_weigh_as_many_as_may_be_open() {
        let mut meter = begun();
        let mut weight = 0;
        for number in 0..10 * limits::HTTP2_STREAMS {
            weight += meter.weigh(&frame(HEADERS, 2 * number + 1, 12));
        }
        assert_eq!(weight, u64::from(limits::HTTP2_STREAMS) * STREAM_BYTES);
    }
}
