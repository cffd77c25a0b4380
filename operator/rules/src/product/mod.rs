//! Products: who manages which, what the operation matrix says to whom, and what becomes of a product that is
//! deleted or applied again.
//!
//! The matrix (`matrix.csv`) is data. It is asked before policies, and nothing that it refuses is allowed by
//! one; what it leaves to policies is decided in [`crate::policy`].

mod change;
mod directory;
mod listener;
mod matrix;
mod refusal;
mod verdict;

#[cfg(test)]
mod tests;

pub use change::{ProductChange, ProductIdentity, compare_product};
pub use directory::{
    CallerFacts, ManagerFacts, NamespaceSelection, ProductDirectory, ProductFacts, ProductState, QuotaLimits,
    Target,
};
pub use listener::ListenerFacts;
pub use matrix::{ListenerKind, MATRIX_CSV, MatrixCell, ProductRole, cell, page};
pub use refusal::{ProductLabel, ProductRefusal};
pub use verdict::{MatrixVerdict, decide_product, offered};
