//! The result of an operation, before a protocol writes it.

use futures::stream::BoxStream;
use serde::Serialize;
use strongroom_model::name::VersionId;
use zeroize::Zeroizing;

use crate::gateway::problem::{Code, Problem};

/// How an operation succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Success {
    /// Nothing is left to do.
    Done,
    /// Something is there now.
    Created,
    /// It will be done.
    Accepted,
    /// The caller has the newest already.
    Unchanged,
}

/// What an operation comes to.
pub(in crate::gateway) trait Output: Send + 'static {
    /// What leaves; `usual`: how the operation succeeds where nothing else is said.
    fn into_answer(self, usual: Success) -> Result<Answer, Problem>;
}

impl<T: Serialize + Send + 'static> Output for T {
    fn into_answer(self, usual: Success) -> Result<Answer, Problem> {
        let json = serde_json::to_vec(&self)
            .map_err(|error| Problem::new(Code::StoreUnavailable, error.to_string()))?;
        Ok(Answer::new(usual, AnswerBody::Json(json)))
    }
}

/// An output that says how the operation succeeded.
#[derive(Debug)]
pub(in crate::gateway) struct Succeeded<T>(pub(in crate::gateway) Success, pub(in crate::gateway) T);

impl<T: Serialize + Send + 'static> Output for Succeeded<T> {
    fn into_answer(self, _: Success) -> Result<Answer, Problem> {
        self.1.into_answer(self.0)
    }
}

/// What a protocol writes: the kind of success, the version that the answer is about, and the body.
#[derive(Debug)]
pub(in crate::gateway) struct Answer {
    pub(in crate::gateway) success: Success,
    /// The version that it is about, for whoever asks again.
    pub(in crate::gateway) version: Option<VersionId>,
    pub(in crate::gateway) body: AnswerBody,
}

impl Answer {
    pub(in crate::gateway) const fn new(success: Success, body: AnswerBody) -> Self {
        Self {
            success,
            version: None,
            body,
        }
    }
}

impl Output for Answer {
    fn into_answer(self, _: Success) -> Result<Answer, Problem> {
        Ok(self)
    }
}

/// What an answer carries, and how it is to be wiped.
pub(in crate::gateway) enum AnswerBody {
    Empty,
    /// JSON that holds no value, or a sealed one.
    Json(Vec<u8>),
    /// JSON that holds a value; it is wiped when it has been sent.
    ValueJson(Zeroizing<Vec<u8>>),
    /// The bytes of a value, which are wiped likewise.
    ValueBytes(Zeroizing<Vec<u8>>),
    /// Events, as they come.
    Events(BoxStream<'static, StreamEvent>),
}

impl AnswerBody {
    /// Bytes that are there already; of events there are none yet.
    pub(in crate::gateway) fn size(&self) -> usize {
        match self {
            Self::Empty | Self::Events(_) => 0,
            Self::Json(bytes) => bytes.len(),
            Self::ValueJson(bytes) | Self::ValueBytes(bytes) => bytes.len(),
        }
    }
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Json(_) => "Json(..)",
            Self::ValueJson(_) => "ValueJson(..)",
            Self::ValueBytes(_) => "ValueBytes(..)",
            Self::Events(_) => "Events(..)",
        })
    }
}

/// What is told at once of what is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct StreamEvent {
    pub(in crate::gateway) kind: &'static str,
    pub(in crate::gateway) id: Option<String>,
    /// A JSON document.
    pub(in crate::gateway) data: String,
}
