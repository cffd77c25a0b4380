//! The statements that are attached to one name. Names whose statements say the same share one shard: ten thousand secrets with the same readers
//! hold one Cedar policy. Must not decide anything.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::Action;
use super::compile::Compiled;
use super::request::Request;
use super::shard::{Says, Shard, Target, Unanswerable};

/// Shards by the statements that are in them, in their order: each by its address, which stays while the shard does.
#[derive(Debug, Default)]
pub(super) struct Shards {
    shards: HashMap<Vec<usize>, Weak<Shard>>,
}

impl Shards {
    /// The shard of these statements, whose ids in it are their numbers.
    fn of(&mut self, statements: &[Arc<Compiled>]) -> Arc<Shard> {
        let addresses = statements
            .iter()
            .map(|statement| Arc::as_ptr(statement).addr())
            .collect();
        if let Some(known) = self.shards.get(&addresses).and_then(Weak::upgrade) {
            return known;
        }
        let mut shard = Shard::default();
        for (number, statement) in statements.iter().enumerate() {
            shard.add_or_deny(&number.to_string(), statement);
        }
        let shard = Arc::new(shard);
        // INVARIANT: a shard that is there holds its statements, so no other statement can have one of these addresses.
        self.shards.insert(addresses, Arc::downgrade(&shard));
        shard
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }

    /// Forgets the shards that nobody has any more.
    pub(super) fn forget(&mut self) {
        self.shards.retain(|_, shard| shard.strong_count() > 0);
    }
}

/// The statements of one name.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Each with its id in the namespace.
    statements: Vec<(String, Arc<Compiled>)>,
    held: Held,
}

/// More statements than this are seldom the same elsewhere, and are too many to be put together anew with each change.
const MOST: usize = 16;

/// Where the statements are.
#[derive(Debug)]
enum Held {
    /// In a shard that other names may have too; their ids in it are their numbers.
    Shared(Arc<Shard>),
    /// In a shard of this name alone, by their own ids.
    Own(Box<Shard>),
}

impl Default for Held {
    fn default() -> Self {
        Self::Shared(Arc::default())
    }
}

impl Shared {
    /// Adds a statement; one of the same id must not be there.
    pub(super) fn add(&mut self, id: &str, statement: &Arc<Compiled>, shards: &mut Shards) {
        self.statements.push((id.to_owned(), Arc::clone(statement)));
        match &mut self.held {
            Held::Own(shard) => shard.add_or_deny(id, statement),
            Held::Shared(_) if self.statements.len() <= MOST => self.share(shards),
            Held::Shared(_) => {
                let mut shard = Shard::default();
                for (id, statement) in &self.statements {
                    shard.add_or_deny(id, statement);
                }
                self.held = Held::Own(Box::new(shard));
            }
        }
    }

    /// Removes a statement, if it is there.
    pub(super) fn remove(&mut self, id: &str, shards: &mut Shards) {
        self.statements.retain(|(known, _)| known != id);
        match &mut self.held {
            Held::Own(shard) if self.statements.len() > MOST => shard.remove(id),
            Held::Own(_) | Held::Shared(_) => self.share(shards),
        }
    }

    fn share(&mut self, shards: &mut Shards) {
        let statements: Vec<_> = self
            .statements
            .iter()
            .map(|(_, statement)| Arc::clone(statement))
            .collect();
        self.held = Held::Shared(shards.of(&statements));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Puts the question. Ids of the statements that decided come with the answer.
    pub(super) fn ask(
        &self,
        request: &Request<'_>,
        action: Action,
        target: Target,
    ) -> Result<(Says, Vec<String>), Unanswerable> {
        match &self.held {
            Held::Own(shard) => shard.ask(request, action, target),
            Held::Shared(shard) => {
                let (says, numbers) = shard.ask(request, action, target)?;
                let id =
                    |number: &String| Some(self.statements.get(number.parse::<usize>().ok()?)?.0.clone());
                Ok((says, numbers.iter().filter_map(id).collect()))
            }
        }
    }
}
