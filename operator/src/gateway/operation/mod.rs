//! What an operation is, whichever protocol calls it. The router and the OpenAPI document are both made from
//! the rows, so they always list the same operations.
//!
//! Must not know HTTP: a protocol turns what it reads into an [`Input`], and an [`Answer`] into what it
//! writes.
//!
//! | module | idea |
//! |---|---|
//! | [`row`] | what an operation is to the outside, and what takes all of them |
//! | [`input`] | what it is given |
//! | [`answer`] | what it comes to |

mod answer;
mod input;
mod row;

pub(in crate::gateway) use self::answer::{Answer, AnswerBody, Output, StreamEvent, Succeeded, Success};
pub(in crate::gateway) use self::input::{
    BodyInput, CallerCache, Everywhere, Input, NamespaceText, NoQuery, PathInput, PathParts, QueryInput,
    SchemaFn, parse_body, schema_of,
};
pub(in crate::gateway) use self::row::{
    Content, Operation, OperationTable, OperationTerms, ResponseSpec, Verb,
};
