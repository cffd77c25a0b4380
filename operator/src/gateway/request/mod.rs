//! The way of a request before its operation, station by station, and how much of the service it may take
//! from others meanwhile. Each station gives what only it can make, and what the next one takes. A read of a
//! value is authorised where everything is, in [`authorise`].
//!
//! | module | idea |
//! |---|---|
//! | [`scope`] | what is known of a request before its caller is |
//! | [`context`] | who asks, when and from where |
//! | [`authenticate`] | finds that out |
//! | [`limit`] | how often a caller may ask |
//! | [`find`] | the namespace and the secret that are meant; names are parsed here |
//! | [`product`] | what a product's ownership of the secret says, before any policy |
//! | [`authorise`] | may the caller? |
//! | [`record`] | nothing leaves before it is audited |
//! | [`share`] | an account of what each holds of something |
//! | [`tenant`] | a caller as accounts know it |
//! | [`address`] | which part of what unauthenticated clients share one address may have |
//! | [`capacity`] | everything that there is room for, and what a request holds of it |
//! | [`head`] | how much memory the head of a request holds |
//! | [`failures`] | how often an address may fail to say who it is |
//! | [`refusals`] | what was refused, counted |

mod address;
pub(in crate::gateway) mod authenticate;
pub(in crate::gateway) mod authorise;
mod capacity;
mod context;
mod failures;
pub(in crate::gateway) mod find;
mod head;
pub(in crate::gateway) mod limit;
pub(in crate::gateway) mod product;
pub(in crate::gateway) mod record;
mod refusals;
mod scope;
mod share;
mod tenant;
#[cfg(test)]
pub(in crate::gateway) mod token;

pub(crate) use self::address::{AddressShare, AddressShares};
pub(in crate::gateway) use self::authenticate::{Credentials, TokenOrigin};
pub(in crate::gateway) use self::authorise::{AccessRequest, Authorised, TargetKey};
pub(in crate::gateway) use self::capacity::{AdmissionOutcome, Capacity, Slot};
pub(in crate::gateway) use self::context::{Arrival, OperationContext, RequestContext};
pub(in crate::gateway) use self::failures::AuthFailures;
pub(in crate::gateway) use self::find::{NamespaceRef, SecretPath};
pub(in crate::gateway) use self::head::head_bytes;
pub(in crate::gateway) use self::limit::{Cost, Limited};
pub(crate) use self::refusals::RefusalMetrics;
pub(in crate::gateway) use self::refusals::{LimitScope, LimitedResource, RefusalReason};
pub(in crate::gateway) use self::scope::RequestScope;
pub(in crate::gateway) use self::share::{Share, ShareExhausted, Shares};
pub(in crate::gateway) use self::tenant::{NamespaceKey, PrincipalKey};
