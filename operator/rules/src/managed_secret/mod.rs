//! `ManagedSecret`: from facts to the next step, and from its state to its conditions.

pub mod certificate_condition;
pub mod conditions;
pub mod facts;
pub mod key_release;
pub mod plan;
pub mod product_claim;
pub mod renewal;
pub mod verdict;

#[cfg(test)]
mod tests;
