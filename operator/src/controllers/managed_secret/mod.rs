//! `ManagedSecret`: observe, plan, apply, again until nothing is left to do, and then report (`reconcile`).

mod apply;
mod binding;
mod certificate;
mod consumers;
mod contest;
mod holder;
mod import;
mod key_check;
mod key_generation;
pub(crate) mod labels;
pub(crate) mod native;
mod native_outcome;
mod native_read;
mod native_write;
mod new_version;
mod observe;
mod observed_secret;
mod plain_value;
mod prepare;
mod product;
mod reconcile;
pub(crate) mod removal;
pub(crate) mod replace;
mod rotation;
mod sealed;
mod status;
mod stored_facts;
mod value_generation;
pub(super) mod watch;

#[cfg(test)]
mod tests;

/// How closely to look at the native Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NativeCheck {
    /// Only where a decision needs it.
    Light,
    /// In any case: a create found the name taken.
    Thorough,
}
