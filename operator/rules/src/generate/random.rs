//! Where randomness comes from. A decision takes it as an argument; the edge makes it with [`system`].

pub use rsa::rand_core::CryptoRng;
use rsa::rand_core::UnwrapErr;

/// The system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gave no random bytes: {0}")]
pub struct RandomError(getrandom::Error);

/// The system's random numbers.
///
/// # Errors
/// If the system gives none. Once it gave some it does not fail any more, which is why what is returned
/// cannot fail.
pub fn system() -> Result<impl CryptoRng, RandomError> {
    getrandom::fill(&mut [0; 32]).map_err(RandomError)?;
    Ok(UnwrapErr(getrandom::SysRng))
}

/// A number below `bound`, each with the same probability: numbers of the last, incomplete round are drawn
/// again.
pub(super) fn below(bound: u32, random: &mut dyn CryptoRng) -> u32 {
    let bound = bound.max(1);
    let fair = u32::MAX - u32::MAX % bound;
    loop {
        let drawn = random.next_u32();
        if drawn < fair {
            return drawn % bound;
        }
    }
}
