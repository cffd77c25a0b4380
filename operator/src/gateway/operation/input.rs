//! The input of an operation: what its path names, its parameters and its body, each in a type.

use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;
use strongroom_rules::policy::Action;

use crate::gateway::problem::{Problem, invalid};
use crate::gateway::request::Limited;
use crate::gateway::request::find::{self, NamespaceRef, SecretPath};
use crate::gateway::state::Gateway;

/// Makes a schema, and puts what it refers to among the document's.
pub(in crate::gateway) type SchemaFn = fn(&mut SchemaGenerator) -> Value;

pub(in crate::gateway) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// What an operation is given.
#[derive(Debug)]
pub(in crate::gateway) struct Input<P, Q = NoQuery, B = NoBody> {
    pub(in crate::gateway) path: P,
    pub(in crate::gateway) query: Q,
    pub(in crate::gateway) body: B,
    pub(in crate::gateway) cached: CallerCache,
}

/// What the caller says that it has already.
#[derive(Debug, Default)]
pub(in crate::gateway) struct CallerCache {
    /// Ids of versions.
    pub(in crate::gateway) versions: Vec<String>,
    /// The id of the last event of a stream.
    pub(in crate::gateway) event: Option<String>,
}

/// The parts of a path that name something.
pub(in crate::gateway) trait PathParts: Sized + Send + 'static {
    /// The parts of these texts, which are as many as the path of the operation leaves open.
    fn from_texts(texts: Vec<String>) -> Result<Self, Problem>;
}

impl PathParts for () {
    fn from_texts(_: Vec<String>) -> Result<Self, Problem> {
        Ok(())
    }
}

impl PathParts for String {
    fn from_texts(texts: Vec<String>) -> Result<Self, Problem> {
        let [text] = exactly(texts)?;
        Ok(text)
    }
}

impl PathParts for (String, String) {
    fn from_texts(texts: Vec<String>) -> Result<Self, Problem> {
        Ok(exactly::<2>(texts)?.into())
    }
}

impl PathParts for (String, String, String) {
    fn from_texts(texts: Vec<String>) -> Result<Self, Problem> {
        Ok(exactly::<3>(texts)?.into())
    }
}

fn exactly<const N: usize>(texts: Vec<String>) -> Result<[String; N], Problem> {
    let count = |texts: Vec<String>| invalid(format!("the path has {} parts instead of {N}", texts.len()));
    texts.try_into().map_err(count)
}

/// What an operation is about, as the stations before it leave it.
pub(in crate::gateway) trait PathInput: Sized + Send + 'static {
    /// The parts of a path, in their order.
    type Parts: PathParts;

    /// Finds what the parts name.
    fn find(
        gateway: &Gateway,
        limited: Limited<'_>,
        action: Action,
        parts: Self::Parts,
    ) -> impl Future<Output = Result<Self, Problem>> + Send;
}

/// Of an operation that is about no namespace.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Everywhere;

impl PathInput for Everywhere {
    type Parts = ();

    async fn find(_: &Gateway, _: Limited<'_>, _: Action, _: ()) -> Result<Self, Problem> {
        Ok(Self)
    }
}

/// The name of a namespace, whether it is there or not.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct NamespaceText(pub(in crate::gateway) String);

impl PathInput for NamespaceText {
    type Parts = String;

    async fn find(_: &Gateway, _: Limited<'_>, _: Action, name: String) -> Result<Self, Problem> {
        Ok(Self(name))
    }
}

impl PathInput for NamespaceRef {
    type Parts = String;

    async fn find(
        gateway: &Gateway,
        limited: Limited<'_>,
        action: Action,
        name: String,
    ) -> Result<Self, Problem> {
        find::namespace(gateway, limited, action, name).await
    }
}

impl PathInput for SecretPath {
    type Parts = (String, String);

    async fn find(
        gateway: &Gateway,
        limited: Limited<'_>,
        action: Action,
        (namespace, name): (String, String),
    ) -> Result<Self, Problem> {
        let namespace = find::namespace(gateway, limited, action, namespace).await?;
        Ok(Self::new(namespace, name))
    }
}

/// A secret, and a version or a stage of it.
impl PathInput for (SecretPath, String) {
    type Parts = (String, String, String);

    async fn find(
        gateway: &Gateway,
        limited: Limited<'_>,
        action: Action,
        (namespace, name, part): (String, String, String),
    ) -> Result<Self, Problem> {
        let secret = SecretPath::find(gateway, limited, action, (namespace, name)).await?;
        Ok((secret, part))
    }
}

/// Parameters of an operation.
pub(in crate::gateway) trait QueryInput: Sized + Send + 'static {
    /// None: there are none, and what is sent is not looked at.
    const SCHEMA: Option<SchemaFn>;

    /// Reads a query, without its `?`.
    fn read(query: &str) -> Result<Self, Problem>;
}

/// No parameters.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct NoQuery;

impl QueryInput for NoQuery {
    const SCHEMA: Option<SchemaFn> = None;

    fn read(_: &str) -> Result<Self, Problem> {
        Ok(Self)
    }
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> QueryInput for T {
    const SCHEMA: Option<SchemaFn> = Some(schema_of::<T>);

    fn read(query: &str) -> Result<Self, Problem> {
        serde_urlencoded::from_str(query)
            .map_err(|error| invalid(format!("the query is invalid: {error}; docs/api.md describes it")))
    }
}

/// The body of an operation.
pub(in crate::gateway) trait BodyInput: Sized + Send + 'static {
    /// None: there is none, and what is sent is not read.
    const SCHEMA: Option<SchemaFn>;

    fn parse(body: &[u8]) -> Result<Self, Problem>;
}

/// Of an operation that reads nothing of what is sent.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct NoBody;

impl BodyInput for NoBody {
    const SCHEMA: Option<SchemaFn> = None;

    fn parse(_: &[u8]) -> Result<Self, Problem> {
        Ok(Self)
    }
}

/// The body as what it should be. What is wrong is told by its place alone, and that only below one of these
/// `fields`: a value may stand anywhere else, a name included.
pub(in crate::gateway) fn parse_body<T: DeserializeOwned>(
    body: &[u8],
    fields: &[&str],
) -> Result<T, Problem> {
    let read = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(body));
    read.map_err(|error| {
        let path = error.path().to_string();
        let known = path
            .split(['.', '['])
            .next()
            .is_some_and(|root| fields.contains(&root));
        let place = if known { path.as_str() } else { "." };
        invalid(format!(
            "the body is invalid at `{place}`; docs/api.md describes it"
        ))
    })
}
