//! One entry of either chain. Must not hold a value or a hash of one; `detail` is for facts about the
//! request, such as a count.

use std::num::NonZeroU64;

use strongroom_model::id::{KeyId, RequestId, SecretId};
use strongroom_model::name::{NamespaceName, SecretName, Stage, VersionId};
use strongroom_model::time::Timestamp;
use zeroize::Zeroizing;

use super::free_text::{cut, short};
use super::{Action, Actor, Circumstances, Requester};
use crate::codec::{DecodeError, Reader, Writer};

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It was refused or failed, with this stable code.
    Refused(String),
}

/// Who did what and how it ended: what a record of either chain holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When, by the wall clock of the process.
    pub time: Timestamp,
    /// Who asked for it.
    pub actor: Actor,
    /// What was asked for.
    pub action: Action,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// In which namespace.
    pub namespace: Option<NamespaceName>,
    /// On which secret, by name.
    pub secret: Option<SecretName>,
    /// On which secret, by id.
    pub secret_id: Option<SecretId>,
    /// Which version.
    pub version: Option<VersionId>,
    /// Which label.
    pub stage: Option<Stage>,
    /// Under which encryption key.
    pub key: Option<KeyId>,
    /// For which request.
    pub request: Option<RequestId>,
    /// Facts about the request, at most 256 bytes; never about a value.
    pub detail: String,
    /// Of a request from outside: where it came from, and what decided.
    pub circumstances: Option<Box<Circumstances>>,
    /// How many requests it stands for: 1, but for a sum of refusals.
    pub count: NonZeroU64,
    /// Whom the actor, a node, says that it served, at most 256 bytes. Nobody else saw it.
    pub claimed: Option<String>,
    /// Of what a controller does because of an object: who wrote that.
    pub requester: Option<Requester>,
}

impl Entry {
    /// An entry about nothing in particular yet.
    #[must_use]
    pub const fn new(time: Timestamp, actor: Actor, action: Action) -> Self {
        Self {
            time,
            actor,
            action,
            outcome: AuditOutcome::Done,
            namespace: None,
            secret: None,
            secret_id: None,
            version: None,
            stage: None,
            key: None,
            request: None,
            detail: String::new(),
            circumstances: None,
            count: NonZeroU64::MIN,
            claimed: None,
            requester: None,
        }
    }

    /// Whether it stands for more than one request, or for what somebody says of another.
    const fn is_extended(&self) -> bool {
        self.count.get() > 1 || self.claimed.is_some()
    }

    /// Whether the caller came over the extension API.
    fn is_over_extension_api(&self) -> bool {
        self.circumstances
            .as_ref()
            .is_some_and(|circumstances| circumstances.extension_api)
    }

    /// The first byte: 1, 2 where the circumstances follow, 3 where a count and a claim do as well, 4, which
    /// is 3 of a request over the extension API, or 5 where the requester follows after those. The lowest
    /// that says it all, so that an older program refuses no more than it must.
    fn format(&self) -> u8 {
        match (self.is_extended(), &self.circumstances) {
            _ if self.requester.is_some() => 5,
            _ if self.is_over_extension_api() => 4,
            (true, _) => 3,
            (false, Some(_)) => 2,
            (false, None) => 1,
        }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        // As long as a record of a read is that names pod, node and a statement or two.
        let mut writer = Writer::with_capacity(512);
        let format = self.format();
        writer
            .u8(format)
            .i64(self.time.as_millis())
            .u8(self.actor.code())
            .text(cut(self.actor.text()))
            .u8(self.action.code());
        match &self.outcome {
            AuditOutcome::Done => writer.u8(0),
            AuditOutcome::Refused(code) => writer.u8(1).text(cut(code)),
        };
        writer
            .option(self.namespace.as_ref(), |w, name| w.text(name.as_str()))
            .option(self.secret.as_ref(), |w, name| w.text(name.as_str()))
            .option(self.secret_id, |w, id| w.fixed(id.as_bytes()))
            .option(self.version.as_ref(), |w, id| w.text(id.as_str()))
            .option(self.stage.as_ref(), |w, stage| w.text(stage.as_str()))
            .option(self.key, |w, id| w.fixed(id.as_bytes()))
            .option(self.request, |w, id| w.fixed(id.as_bytes()))
            .text(cut(&self.detail));
        if format >= 3 {
            writer
                .option(self.circumstances.as_ref(), |w, circumstances| {
                    circumstances.encode(w);
                    w
                })
                .u64(self.count.get())
                .option(self.claimed.as_ref(), |w, claimed| w.text(cut(claimed)));
            if let Some(requester) = &self.requester {
                requester.encode(&mut writer);
            }
        } else if let Some(circumstances) = &self.circumstances {
            circumstances.encode(&mut writer);
        }
        writer.finish()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let format = r.format(5)?;
        let time = Timestamp::from_millis(r.i64()?);
        let actor = match (r.u8()?, short(&mut r, "actor")?.to_owned()) {
            (1, text) => Actor::Controller(text),
            (2, text) => Actor::Admin(text),
            (3, text) => Actor::Principal(text),
            (4, text) if text.is_empty() => Actor::System,
            _ => return Err(DecodeError::Invalid("actor")),
        };
        let action = Action::from_code(r.u8()?)?;
        let outcome = match r.u8()? {
            0 => AuditOutcome::Done,
            1 => AuditOutcome::Refused(short(&mut r, "outcome")?.to_owned()),
            _ => return Err(DecodeError::Invalid("outcome")),
        };
        let mut entry = Self {
            time,
            actor,
            action,
            outcome,
            namespace: r.option("namespace", |r| r.parsed("namespace"))?,
            secret: r.option("secret", |r| r.parsed("secret"))?,
            secret_id: r.option("secret id", |r| r.array().map(SecretId::from_bytes))?,
            version: r.option("version", |r| r.parsed("version"))?,
            stage: r.option("stage", |r| r.parsed("stage"))?,
            key: r.option("key", |r| r.array().map(KeyId::from_bytes))?,
            request: r.option("request", |r| r.array().map(RequestId::from_bytes))?,
            detail: short(&mut r, "detail")?.to_owned(),
            circumstances: None,
            count: NonZeroU64::MIN,
            claimed: None,
            requester: None,
        };
        let circumstances = |r: &mut Reader<'_>| Circumstances::decode(r).map(Box::new);
        if format == 2 {
            entry.circumstances = Some(circumstances(&mut r)?);
        }
        if format >= 3 {
            entry.circumstances = r.option("circumstances", circumstances)?;
            entry.count = NonZeroU64::new(r.u64()?).ok_or(DecodeError::Invalid("count"))?;
            entry.claimed = r.option("claim", |r| Ok(short(r, "claim")?.to_owned()))?;
        }
        if format == 5 {
            entry.requester = Some(Requester::decode(&mut r)?);
        }
        // One entry has one form.
        if entry.format() != format {
            return Err(DecodeError::Invalid("format"));
        }
        r.end()?;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests;
