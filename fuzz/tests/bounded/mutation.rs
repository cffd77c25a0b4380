//! Inputs that are nearly right: a seed with a few changes of the kinds that decoders and parsers trip over.

use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;

/// Largest input.
const MAX_INPUT_BYTES: usize = 64 * 1024;

/// Numbers at the edge of what a length, a count or a sequence can be.
const EDGES: [u64; 12] = [
    0,
    1,
    2,
    0x7f,
    0xff,
    0xffff,
    0x7fff_ffff,
    0xffff_fffe,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX - 1,
    u64::MAX,
];

/// A name for an input.
pub(crate) fn fingerprint(input: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    hasher.finish()
}

/// Makes inputs; the same number and seeds give the same ones.
pub(crate) struct Mutator<'a> {
    rng: Rng,
    seeds: &'a [Vec<u8>],
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(number: u64, seeds: &'a [Vec<u8>]) -> Self {
        assert!(!seeds.is_empty(), "there is no seed");
        Self {
            rng: Rng::with_seed(number),
            seeds,
        }
    }

    /// The next input.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.seed().to_vec();
        for _ in 0..1 << self.rng.u32(0..4) {
            self.change(&mut input);
        }
        input.truncate(MAX_INPUT_BYTES);
        input
    }

    fn seed(&mut self) -> &'a [u8] {
        &self.seeds[self.rng.usize(0..self.seeds.len())]
    }

    /// Part of some bytes, mostly short.
    fn part<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let from = self.rng.usize(0..=bytes.len());
        let most = [4, 16, 64, MAX_INPUT_BYTES][self.rng.usize(0..4)].min(bytes.len() - from);
        &bytes[from..from + self.rng.usize(0..=most)]
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.rng.usize(0..=input.len());
        match self.rng.u32(0..12) {
            0 | 1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.rng.u32(0..8);
                }
            }
            2 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.rng.u8(..);
                }
            }
            3 => input.truncate(at),
            4 => {
                let until = (at + 1 + self.rng.usize(0..32)).min(input.len());
                input.drain(at..until);
            }
            5 => {
                let byte = self.rng.u8(..);
                input.insert(at, byte);
            }
            // What stands elsewhere in it, once more: fields, tags, keys of a map.
            6 => {
                let whole = input.clone();
                let part = self.part(&whole).to_vec();
                input.splice(at..at, part);
            }
            // What stands in another seed, in the place of what stands here.
            7 => {
                let seed = self.seed();
                let part = self.part(seed).to_vec();
                let until = (at + if self.rng.bool() { part.len() } else { 0 }).min(input.len());
                input.splice(at..until, part);
            }
            8 => self.number(input, at),
            9 | 10 => self.resize(input, at),
            _ => self.digits(input, at),
        }
    }

    /// A number of four or eight bytes at the edge of what it can be.
    fn number(&mut self, input: &mut [u8], at: usize) {
        let edge = EDGES[self.rng.usize(0..EDGES.len())].to_be_bytes();
        let bytes = if self.rng.bool() { &edge[4..] } else { &edge[..] };
        for (to, from) in input.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }

    /// Other bytes, and another number of them, in the place of the next field that has its length before it.
    fn resize(&mut self, input: &mut Vec<u8>, at: usize) {
        let field = |from: usize| {
            let bytes = input.get(from..from + 4)?;
            let length = u32::from_be_bytes(bytes.try_into().ok()?) as usize;
            (length <= input.len() - from - 4).then_some((from, length))
        };
        let Some((from, length)) = (at..input.len()).find_map(field) else {
            return;
        };
        let longest = [8, 64, 300, 5_000][self.rng.usize(0..4)];
        let wanted = self.rng.usize(0..=longest);
        let old = &input[from + 4..from + 4 + length];
        let filling = if old.is_empty() { b"a" } else { old };
        let new: Vec<u8> = filling.iter().copied().cycle().take(wanted).collect();
        let count = u32::try_from(wanted).unwrap_or(u32::MAX).to_be_bytes();
        input.splice(from..from + 4 + length, count.into_iter().chain(new));
    }

    /// Another number in the place of the next decimal one.
    fn digits(&mut self, input: &mut Vec<u8>, at: usize) {
        let Some(from) = input[at..]
            .iter()
            .position(u8::is_ascii_digit)
            .map(|from| at + from)
        else {
            return;
        };
        let count = input[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let edge = EDGES[self.rng.usize(0..EDGES.len())];
        let number = if self.rng.bool() {
            edge
        } else {
            self.rng.u64(0..100)
        };
        input.splice(from..from + count, number.to_string().into_bytes());
    }
}
