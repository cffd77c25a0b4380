//! Rotation: which schedule covers which secret, what people ask for, why a secret does not rotate, and the
//! one next step. When a covered secret is due is `schedule`'s business.

mod coverage;
mod machine;
mod refusal;
mod request;
#[cfg(test)]
mod tests;

pub use self::coverage::{
    ClaimWinner, Coverage, CoverageTable, CoveringSchedule, ScheduleClaim, claim, covering,
};
pub use self::machine::{RotationFacts, RotationState, RotationStep, RotationTrigger};
pub use self::refusal::{RotationRefusal, immutable};
pub use self::request::{RotateNow, RotationRequest, RotationRequester, keep_record, record};
