//! Policies of RAM, the access control of Alibaba Cloud, as SecretPolicies, and back
//! (<https://www.alibabacloud.com/help/en/ram/user-guide/policy-structure-and-syntax>).
//!
//! What is imported is kept in the SecretPolicy as it was written, and comes back byte for byte as long as
//! the statements are those that were made of it. What cannot be said here is refused with its place, never
//! left out: without a condition an Allow would be for more.
//!
//! | module | idea |
//! |---|---|
//! | `json` | JSON with the place of each value |
//! | `document` | a policy of RAM as it is written |
//! | `action`, `resource`, `condition` | what stands in a statement, in both directions |
//! | `accounts` | which account is which namespace |
//! | `import`, `export` | both directions |

mod accounts;
mod action;
mod condition;
mod document;
mod error;
mod export;
mod import;
mod json;
mod json_text;
mod resource;

#[cfg(test)]
mod tests;

pub use accounts::{RamAccounts, RamAccountsError};
pub use error::{RamPolicyError, RamPolicyReason};
pub use export::{RamExportError, export};
pub use import::{ImportHint, ImportedPolicy, PolicyTarget, import};

/// Largest policy that is read, in bytes.
pub const RAM_POLICY_BYTES: usize = 32_768;
