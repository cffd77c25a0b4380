//! What comes before an operation: who asks, and how much of the service a request may take from others meanwhile.
//!
//! | module | idea |
//! |---|---|
//! | [`share`] | an account of what each holds of something |
//! | [`address`] | which part of what strangers share one address may have |
//! | [`room`] | everything that there is room for, and what a request holds of it |
//! | [`failures`] | how often an address may fail to say who it is |
//! | [`refusals`] | what was refused, counted |

mod address;
mod failures;
mod refusals;
mod room;
mod share;
#[cfg(test)]
pub(in crate::gateway) mod token;

pub(crate) use self::address::{AddressShare, AddressShares};
pub(in crate::gateway) use self::failures::Failures;
pub(crate) use self::refusals::Refusals;
pub(in crate::gateway) use self::refusals::{LimitScope, LimitedResource, RefusalReason};
pub(in crate::gateway) use self::room::{Arrived, Room, Slot};
pub(in crate::gateway) use self::share::{Full, Share, Shares};
