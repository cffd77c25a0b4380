//! The row of an operation in the table: what callers see of it, and what the stations before it need to
//! know.

use schemars::JsonSchema;
use serde_json::Value;
use strongroom_rules::policy::Action;

use super::answer::{Output, Success};
use super::input::{BodyInput, Input, PathInput, QueryInput, SchemaFn, schema_of};
use crate::gateway::problem::Problem;
use crate::gateway::request::{Cost, OperationContext};

/// What an operation does with what its path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// The row of an operation.
#[derive(Clone)]
pub(in crate::gateway) struct Operation {
    pub(in crate::gateway) id: &'static str,
    pub(in crate::gateway) verb: Verb,
    pub(in crate::gateway) path: &'static str,
    pub(in crate::gateway) about: &'static str,
    /// What the stations before it need.
    pub(in crate::gateway) terms: OperationTerms,
    pub(in crate::gateway) query: Option<SchemaFn>,
    pub(in crate::gateway) body: Option<SchemaFn>,
    pub(in crate::gateway) answers: Vec<ResponseSpec>,
}

/// What the stations before an operation need to know of it.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct OperationTerms {
    pub(in crate::gateway) cost: Cost,
    /// Under which action a refusal is audited that comes before the operation.
    pub(in crate::gateway) action: Action,
    /// Only for whoever comes over the extension API; inside, what others are told.
    pub(in crate::gateway) people_only: Option<&'static str>,
    /// How it succeeds where its output does not say.
    pub(in crate::gateway) success: Success,
}

/// One way in which an operation succeeds.
#[derive(Clone)]
pub(in crate::gateway) struct ResponseSpec {
    pub(in crate::gateway) success: Success,
    /// None: there is no body.
    pub(in crate::gateway) content: Vec<(&'static str, Content)>,
}

/// The form of a body.
#[derive(Clone)]
pub(in crate::gateway) enum Content {
    Schema(SchemaFn),
    Literal(Value),
}

impl Operation {
    /// An operation that reads.
    pub(in crate::gateway) const fn get(id: &'static str, path: &'static str) -> Self {
        Self::new(id, Verb::Get, path, Cost::Read)
    }

    /// An operation that counts towards the caller's rate of writes.
    pub(in crate::gateway) const fn write(id: &'static str, verb: Verb, path: &'static str) -> Self {
        Self::new(id, verb, path, Cost::Write)
    }

    const fn new(id: &'static str, verb: Verb, path: &'static str, cost: Cost) -> Self {
        Self {
            id,
            verb,
            path,
            about: "",
            terms: OperationTerms {
                cost,
                action: Action::DescribeSecret,
                people_only: None,
                success: Success::Done,
            },
            query: None,
            body: None,
            answers: Vec::new(),
        }
    }

    /// A read by another verb than `Get`.
    pub(in crate::gateway) const fn reads(mut self) -> Self {
        self.terms.cost = Cost::Read;
        self
    }

    /// What people read about it: a short sentence.
    pub(in crate::gateway) const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// The action that policies are asked about; where there is none, DescribeSecret.
    pub(in crate::gateway) const fn acts(mut self, action: Action) -> Self {
        self.terms.action = action;
        self
    }

    /// Only over the extension API, where the API server has decided by RBAC.
    pub(in crate::gateway) const fn only_for_people(mut self, otherwise: &'static str) -> Self {
        self.terms.people_only = Some(otherwise);
        self
    }

    /// What it answers, as JSON. How it usually succeeds is said first.
    pub(in crate::gateway) fn answers<T: JsonSchema>(self, success: Success) -> Self {
        self.answer(success, "application/json", Content::Schema(schema_of::<T>))
    }

    /// What it answers, in another form. Several forms of one success are alternatives.
    pub(in crate::gateway) fn answers_as(self, success: Success, kind: &'static str, schema: Value) -> Self {
        self.answer(success, kind, Content::Literal(schema))
    }

    /// What it answers without a body.
    pub(in crate::gateway) fn answers_nothing(mut self, success: Success) -> Self {
        self.answers.push(ResponseSpec {
            success,
            content: Vec::new(),
        });
        self
    }

    fn answer(mut self, success: Success, kind: &'static str, content: Content) -> Self {
        if self.answers.is_empty() {
            self.terms.success = success;
        }
        match self.answers.iter_mut().find(|answer| answer.success == success) {
            Some(answer) => answer.content.push((kind, content)),
            None => self.answers.push(ResponseSpec {
                success,
                content: vec![(kind, content)],
            }),
        }
        self
    }

    /// The same, with what its function takes.
    pub(in crate::gateway) fn taking<Q: QueryInput, B: BodyInput>(self) -> Self {
        Self {
            query: Q::SCHEMA,
            body: B::SCHEMA,
            ..self
        }
    }
}

/// What takes the rows, each with its function: a protocol's router, or a document.
pub(in crate::gateway) trait OperationTable {
    fn add<P, Q, B, O, F, Fut>(&mut self, operation: Operation, run: F)
    where
        P: PathInput,
        Q: QueryInput,
        B: BodyInput,
        O: Output,
        F: Fn(OperationContext, Input<P, Q, B>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Problem>> + Send + 'static;
}

/// The rows without their functions, for tests of all of them.
#[cfg(test)]
impl OperationTable for Vec<Operation> {
    fn add<P, Q, B, O, F, Fut>(&mut self, operation: Operation, _: F)
    where
        P: PathInput,
        Q: QueryInput,
        B: BodyInput,
        O: Output,
        F: Fn(OperationContext, Input<P, Q, B>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Problem>> + Send + 'static,
    {
        self.push(operation.taking::<Q, B>());
    }
}
