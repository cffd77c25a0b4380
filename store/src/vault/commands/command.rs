//! What a command is, and what a decision says.

use strongroom_model::id::SecretId;
use strongroom_model::time::Timestamp;

use super::EntryDraft;
use crate::audit::Action;
use crate::vault::effect::Effect;
use crate::vault::error::StoreError;
use crate::vault::quota::QuotaUse;
use crate::vault::view::View;

/// A request that may change the store.
pub trait Command: Send + 'static {
    /// What the caller gets.
    type Reply: Send + 'static;

    /// What a refusal is recorded as.
    const ACTION: Action;

    /// The secret that a refusal is recorded about.
    fn subject(&self) -> Option<SecretId> {
        None
    }

    /// Decides on a view of the store.
    ///
    /// # Errors
    /// [`Refusal`](crate::vault::Refusal) where the rules say no.
    #[doc(hidden)]
    fn decide(self, view: &View<'_>, now: Timestamp) -> Result<Decision<Self::Reply>, StoreError>;

    /// Answers a request that was carried out before: its answer got lost on the way. Nothing changes; the
    /// answer is as things stand now. Only a command that does nothing the second time may leave this to
    /// `decide`.
    ///
    /// # Errors
    /// [`Refusal`](crate::vault::Refusal) where what the request made is not there any more.
    #[doc(hidden)]
    fn repeated(self, view: &View<'_>, now: Timestamp) -> Result<Decision<Self::Reply>, StoreError>
    where
        Self: Sized,
    {
        self.decide(view, now)
    }
}

/// What a decision says.
#[derive(Debug)]
pub struct Decision<T> {
    pub(crate) effects: Vec<Effect>,
    /// The records of what changes; none where nothing does.
    pub(crate) entries: Vec<EntryDraft>,
    /// The room that it takes: those that are decided after it in the same group must not count on it.
    pub(crate) takes: Option<QuotaUse>,
    pub(crate) reply: T,
}

impl<T> Decision<T> {
    /// Nothing changes.
    pub(crate) const fn unchanged(reply: T) -> Self {
        Self {
            effects: Vec::new(),
            entries: Vec::new(),
            takes: None,
            reply,
        }
    }

    /// These effects happen, on this record.
    pub(crate) fn new(effects: Vec<Effect>, entry: EntryDraft, reply: T) -> Self {
        Self {
            effects,
            entries: vec![entry],
            takes: None,
            reply,
        }
    }

    /// It takes this room.
    pub(crate) fn with_usage(mut self, takes: QuotaUse) -> Self {
        self.takes = Some(takes);
        self
    }
}
