//! `SecretProduct`: which products there are, who manages them and where they may own secrets.
//!
//! What the watches of products and namespaces say is kept in one index ([`ProductIndex`]). The reconcile of
//! a product has the store record it and says how it stands; `publish` makes the directory of all of them,
//! which the gateway and the reconciles of ManagedSecrets decide on.

mod directory;
mod events;
mod index;
mod publish;
mod reconcile;
mod status;
mod watch;

#[cfg(test)]
mod tests;

pub(crate) use self::index::ProductIndex;
#[cfg(test)]
pub(crate) use self::publish::publish_once;
pub(super) use self::publish::run;
#[cfg(test)]
pub(crate) use self::watch::follow;
pub(super) use self::watch::secret_products;
