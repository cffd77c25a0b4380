//! What comes before an operation: who asks, and how much of the service a request may take from others
//! meanwhile.
//!
//! | module | idea |
//! |---|---|
//! | [`share`] | an account of what each holds of something |
//! | [`address`] | which part of what strangers share one address may have |
//! | [`capacity`] | everything that there is room for, and what a request holds of it |
//! | [`failures`] | how often an address may fail to say who it is |
//! | [`refusals`] | what was refused, counted |

mod address;
mod capacity;
mod failures;
mod refusals;
mod share;
#[cfg(test)]
pub(in crate::gateway) mod token;

pub(crate) use self::address::{AddressShare, AddressShares};
pub(in crate::gateway) use self::capacity::{AdmissionOutcome, Capacity, Slot};
pub(in crate::gateway) use self::failures::AuthFailures;
pub(crate) use self::refusals::RefusalMetrics;
pub(in crate::gateway) use self::refusals::{LimitScope, LimitedResource, RefusalReason};
pub(in crate::gateway) use self::share::{Share, ShareExhausted, Shares};
