//! Random bytes that anybody may see: the id of a request, a nonce that lies beside what it belongs to. They
//! are the operating system's, as those of keys are, but fetched many at a time: a request waits for no call
//! of the system for each of them.
//!
//! Must not be used for what has to stay secret: bytes that are fetched ahead lie in plain memory. A copy of
//! the process, such as a snapshot of its machine, gives the same ones out: nothing may rest on that they are
//! unique among several machines.

use std::cell::RefCell;

/// Bytes that a thread fetches at once.
const FETCHED_BYTES: usize = 1_024;

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes; check that /dev/urandom works")]
pub struct NoRandomness;

/// What a thread has fetched.
struct RandomBuffer {
    bytes: [u8; FETCHED_BYTES],
    /// How many of them are given out; the whole buffer before the first are fetched.
    given: usize,
}

impl RandomBuffer {
    const EMPTY: Self = Self {
        bytes: [0; FETCHED_BYTES],
        given: FETCHED_BYTES,
    };

    /// INVARIANT: a byte is given out once, and none that `fetch` did not fill.
    fn take<const N: usize>(
        &mut self,
        fetch: impl FnOnce(&mut [u8]) -> Result<(), NoRandomness>,
    ) -> Result<[u8; N], NoRandomness> {
        const { assert!(N <= FETCHED_BYTES, "more than a thread fetches at once") };
        if self.given > FETCHED_BYTES - N {
            self.given = FETCHED_BYTES;
            fetch(&mut self.bytes)?;
            self.given = 0;
        }
        let rest = self.bytes.get(self.given..).unwrap_or_default();
        let taken = *rest.first_chunk::<N>().ok_or(NoRandomness)?;
        self.given += N;
        Ok(taken)
    }
}

thread_local! {
    static FETCHED: RefCell<RandomBuffer> = const { RefCell::new(RandomBuffer::EMPTY) };
}

/// Random bytes for what is no secret.
///
/// # Errors
/// [`NoRandomness`] where the operating system gives none.
pub fn public_random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let fetch = |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|_| NoRandomness);
    FETCHED
        .try_with(|fetched| fetched.borrow_mut().take(fetch))
        // The thread is ending.
        .unwrap_or_else(|_| {
            let mut bytes = [0; N];
            fetch(&mut bytes)?;
            Ok(bytes)
        })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_million_ids_of_several_threads_all_differ() {
        const EACH: usize = 250_000;
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    (0..EACH)
                        .map(|_| public_random().unwrap())
                        .collect::<Vec<[u8; 16]>>()
                })
            })
            .collect();
        let all: HashSet<[u8; 16]> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(all.len(), 4 * EACH);
    }

    #[test]
    fn a_byte_is_given_out_once_and_only_if_it_was_fetched() {
        let mut buffer = RandomBuffer::EMPTY;
        let mut fetches = 0_u8;
        let mut taken = Vec::new();
        // 1,024 is no multiple of 24: what is left at the end is not given out.
        for _ in 0..2 * (FETCHED_BYTES / 24) {
            let bytes: [u8; 24] = buffer
                .take(|bytes| {
                    fetches += 1;
                    bytes.fill(fetches);
                    Ok(())
                })
                .unwrap();
            taken.push(bytes);
        }
        assert_eq!(fetches, 2);
        let of = |fetch: u8| taken.iter().filter(|bytes| **bytes == [fetch; 24]).count();
        assert_eq!((of(1), of(2)), (FETCHED_BYTES / 24, FETCHED_BYTES / 24));

        let mut buffer = RandomBuffer::EMPTY;
        for _ in 0..2 {
            let failing = |bytes: &mut [u8]| {
                bytes.fill(7);
                Err(NoRandomness)
            };
            assert_eq!(buffer.take::<16>(failing), Err(NoRandomness));
        }
    }
}
