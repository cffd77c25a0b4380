//! Statements that are in memory once, however many policies say the same: ten thousand secrets with the same
//! readers hold one Cedar policy.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use strongroom_crds::v1alpha1::PolicyStatement;

use super::compile::{CompileError, CompiledStatement};

/// Statements in force anywhere. Its lock is held to look one up, never while one is compiled.
#[derive(Debug, Default)]
pub struct SharedStatements {
    known: Mutex<StatementCache>,
}

#[derive(Debug, Default)]
struct StatementCache {
    statements: HashMap<[u8; 32], Weak<CompiledStatement>>,
    /// How many were added since those that are gone were forgotten.
    added: usize,
}

/// After so many, what nobody says any more is looked for.
const FORGET_AFTER: usize = 1_000;

impl SharedStatements {
    /// The statement, which is compiled where nobody says it yet.
    ///
    /// INVARIANT: all that a statement means stands in its text, in its namespace and in whether it is about
    /// identities.
    pub(super) fn get_or_compile(
        &self,
        (namespace, identities, statement): (&str, bool, &PolicyStatement),
        compile: impl FnOnce() -> Result<CompiledStatement, CompileError>,
    ) -> Result<Arc<CompiledStatement>, CompileError> {
        let nameless = PolicyStatement {
            sid: None,
            ..statement.clone()
        };
        let Ok(text) = serde_json::to_vec(&(namespace, identities, nameless)) else {
            return compile().map(Arc::new);
        };
        let digest: [u8; 32] = Sha256::digest(&text).into();
        if let Some(same) = self.known.lock().statements.get(&digest).and_then(Weak::upgrade) {
            return Ok(same);
        }
        let compiled = Arc::new(compile()?);
        let mut known = self.known.lock();
        known.added += 1;
        if known.added >= FORGET_AFTER.max(known.statements.len() / 2) {
            known.added = 0;
            known
                .statements
                .retain(|_, statement| statement.strong_count() > 0);
        }
        known.statements.insert(digest, Arc::downgrade(&compiled));
        Ok(compiled)
    }

    /// How many are said by somebody.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let known = self.known.lock();
        known
            .statements
            .values()
            .filter(|statement| statement.strong_count() > 0)
            .count()
    }
}
