//! PutSecretValue: `PUT /v1/namespaces/{namespace}/secrets/{name}/versions/{versionId}`.
//!
//! The version's id is the caller's choice and the idempotency token: the same id with the same value is a
//! success that changes nothing, with another value a conflict. Which of the two it is would let a caller
//! guess a value: callers that may not read it are told only of what they put themselves (`puts`). Only a
//! ManagedSecret with the source `external` takes values; its first one makes the secret in the store. That
//! of a default secret has to be one that its product made: a name is not taken by being there first.

use std::collections::BTreeMap;

use strongroom_api::sealed::VersionContext;
use strongroom_api::v1::{PutSecretValueRequest, VersionAnswer};
use strongroom_model::id::SecretId;
use strongroom_model::name::{ExternalId, Stage, VersionId};
use strongroom_rules::policy::{Action, RequestFacts};
use strongroom_store::value::Value;
use strongroom_store::vault::{
    AuditNote, CreateSecret, KeyRef, KeyView, ObjectRef, PutValue, Recovery, Refusal, SecretView, StoreError,
    WriteOutcome,
};

use super::incoming::read_value;
use super::shape;
use crate::external_sources::{ExternalDeclaration, FirstOwner};
use crate::gateway::operation::{Input, NoQuery, Succeeded, Success};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::authorise::{is_allowed, permit};
use crate::gateway::request::record::{self, audit_action};
use crate::gateway::request::{AccessRequest, OperationContext, RequestContext, SecretPath, TargetKey, find};
use crate::gateway::{Gateway, blocking};

/// A version to write.
struct Put {
    version: VersionId,
    value: Value,
    stages: Vec<Stage>,
    /// What follows the deletion of a secret that is made with it.
    recovery: Recovery,
}

pub(super) async fn run(
    context: OperationContext,
    input: Input<(SecretPath, String), NoQuery, PutSecretValueRequest>,
) -> Result<Succeeded<VersionAnswer>, Problem> {
    let Input {
        path: (path, version),
        body,
        ..
    } = input;
    let namespaces = &context.gateway.namespaces;
    let recovery = namespaces.recovery(path.namespace().name()).await;
    blocking(move || {
        let about = VersionContext {
            namespace: path.namespace().name(),
            secret: path.name(),
            version: &version,
        };
        let value = read_value(&context, body.data, body.sealed, &about)?;
        let stages: Result<Vec<Stage>, _> = body.stages.iter().map(|stage| stage.parse()).collect();
        let put = Put {
            version: version.parse().map_err(invalid)?,
            value,
            stages: stages.map_err(invalid)?,
            recovery,
        };
        write(&context.gateway, &context.request, &path, put)
    })
    .await
}

fn write(
    gateway: &Gateway,
    request: &RequestContext,
    path: &SecretPath,
    put: Put,
) -> Result<Succeeded<VersionAnswer>, Problem> {
    let namespace = path.namespace().name();
    let found = find::secret(gateway, path)?;
    let secret = found.view();
    let owner = declaring(gateway, path, secret);
    let declaration = match &owner {
        FirstOwner::Object(declaration) => Some(declaration.clone()),
        FirstOwner::Nobody | FirstOwner::Undecided | FirstOwner::Refused(_) => None,
    };
    let under = new_key(gateway, path, secret, declaration.as_ref())?;
    let current = [Stage::Current];
    let stages = if put.stages.is_empty() {
        &current[..]
    } else {
        &put.stages
    };
    let facts = RequestFacts {
        stages: stages.iter().map(ToString::to_string).collect(),
        version: Some(put.version.to_string()),
        ..request.facts()
    };
    let access = AccessRequest {
        action: Action::PutSecretValue,
        path,
        secret,
        new_key: under.target(),
        facts: &facts,
    };
    let decision = permit(
        gateway,
        request,
        &access,
        secret.is_some() || owner != FirstOwner::Nobody,
    )?;
    let refused = |problem| record::refuse(gateway, request, &access, &decision.statements, problem);
    let Some(declaration) = declaration else {
        return Err(refused(no_owner(path.name(), &owner))?);
    };
    match &under {
        NewKey::Missing(key) => return Err(refused(Problem::no_encryption_key(key))?),
        NewKey::Required(key) => return Err(refused(other_key(key))?),
        NewKey::Default | NewKey::Customers(_) => {}
    }
    if secret.is_none() && stages != current {
        let why = "the first version of a secret is Current; add other stages afterwards";
        return Err(refused(invalid(why))?);
    }
    let id = put.version.clone();
    let meta = request.meta(&decision.statements);
    let mut may_compare = may_compare(gateway, request, &access, &id)?;
    let is_there = |secret: &&SecretView| secret.versions.iter().any(|version| version.id == id);
    if !may_compare && secret.as_ref().is_some_and(is_there) {
        return Err(refused(version_conflict())?);
    }
    let written = match secret {
        Some(secret) => add(gateway, secret.id, put, meta.clone())?,
        None => {
            let again = Put {
                version: put.version.clone(),
                value: put.value.duplicate(),
                stages: put.stages.clone(),
                recovery: put.recovery,
            };
            match create(gateway, path, &declaration, &under, put, meta.clone()) {
                // Another request made it in between.
                Err(StoreError::Refused(Refusal::SecretExists)) => {
                    match find::secret(gateway, path)?.view() {
                        Some(secret) => {
                            may_compare = false;
                            add(gateway, secret.id, again, meta.clone())?
                        }
                        None => return Err(StoreError::NotCommitted.into()),
                    }
                }
                done => done?,
            }
        }
    };
    if written.created {
        gateway
            .external_sources
            .notify_changed(namespace, &declaration.object);
        gateway.puts.remember(
            &request.caller().principal.identity,
            written.secret.id,
            &id,
            request.now(),
        );
    } else if !may_compare {
        // Another request put it in between, and with which value is not told.
        return Err(refused(version_conflict())?);
    }
    let detail = match (written.created, &declaration.native) {
        // Nothing changed, so that no change is audited; the attempt is.
        (false, _) => Some("the version was there".to_owned()),
        // Whoever wrote the object chose where the value is seen, before there was one.
        (true, Some(native)) if secret.is_none() => {
            Some(format!("first value, to be shown in Secret `{native}`"))
        }
        (true, _) => None,
    };
    if let Some(detail) = detail {
        let note = AuditNote {
            version: Some(id.clone()),
            detail,
            ..record::note_about(
                audit_action(Action::PutSecretValue),
                path,
                Some(written.secret.id),
            )
        };
        record::now(gateway, note, &meta)?;
    }
    let success = if written.created {
        Success::Created
    } else {
        Success::Done
    };
    let version = written.secret.versions.iter().find(|version| version.id == id);
    let version = version.ok_or(StoreError::Refused(Refusal::VersionNotFound))?;
    Ok(Succeeded(success, shape::version(version)))
}

/// Whether the caller may be told that an existing version has the value that they sent: they may read it, or
/// they put it themselves.
fn may_compare(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'_>,
    version: &VersionId,
) -> Result<bool, Problem> {
    let Some(secret) = access.secret else {
        return Ok(true);
    };
    let identity = &request.caller().principal.identity;
    if gateway.puts.contains(identity, secret.id, version, request.now()) {
        return Ok(true);
    }
    let there = secret.versions.iter().find(|known| known.id == *version);
    let facts = RequestFacts {
        stages: there
            .iter()
            .flat_map(|version| &version.stages)
            .map(ToString::to_string)
            .collect(),
        ..access.facts.clone()
    };
    let reads = AccessRequest {
        action: Action::GetSecretValue,
        facts: &facts,
        ..access.clone()
    };
    is_allowed(gateway, request, &reads)
}

/// The answer to a version that is there, whatever its value is.
fn version_conflict() -> Problem {
    StoreError::Refused(Refusal::VersionConflict).into()
}

/// The key that a secret which is not there yet comes under.
enum NewKey {
    Default,
    Customers(Box<KeyView>),
    /// There is none of this name.
    Missing(String),
    /// Another one says that the secret must lie under it.
    Required(String),
}

impl NewKey {
    fn target(&self) -> TargetKey<'_> {
        match self {
            Self::Default | Self::Required(_) => TargetKey::Default,
            Self::Customers(key) => TargetKey::Customer(key),
            Self::Missing(name) => TargetKey::Missing(name),
        }
    }
}

/// The object that takes the value. Of a default secret that no object owns it is one that the product made.
fn declaring(gateway: &Gateway, path: &SecretPath, secret: Option<&SecretView>) -> FirstOwner {
    let (namespace, name) = (path.namespace().name(), path.name());
    let sources = &gateway.external_sources;
    let owner = secret.and_then(|secret| secret.object.as_ref());
    if owner.is_none() && path.default_secret().is_some() {
        return sources.first_owner(namespace, name);
    }
    let owner = owner.map(|object| object.uid.as_str());
    let found = sources.for_secret(namespace, name, owner);
    found.map_or(FirstOwner::Nobody, FirstOwner::Object)
}

fn new_key(
    gateway: &Gateway,
    path: &SecretPath,
    secret: Option<&SecretView>,
    declaration: Option<&ExternalDeclaration>,
) -> Result<NewKey, Problem> {
    let (None, Some(declaration)) = (secret, declaration) else {
        return Ok(NewKey::Default);
    };
    let required = gateway
        .external_sources
        .required_key(path.namespace().name(), path.name());
    if let Some(required) = required.filter(|required| Some(required) != declaration.key.as_ref()) {
        return Ok(NewKey::Required(required));
    }
    let (Some(namespace), Some(name)) = (path.namespace().id(), &declaration.key) else {
        return Ok(NewKey::Default);
    };
    let found = match name.parse() {
        Ok(name) => gateway.store.find_key(namespace, &name)?,
        // The schema lets no such name through; there is no key of it.
        Err(_) => None,
    };
    Ok(found.map_or_else(
        || NewKey::Missing(name.clone()),
        |key| NewKey::Customers(Box::new(key)),
    ))
}

fn add(
    gateway: &Gateway,
    secret: SecretId,
    put: Put,
    meta: strongroom_store::vault::Meta,
) -> Result<WriteOutcome, StoreError> {
    let command = PutValue {
        secret,
        version: put.version,
        value: put.value,
        stages: put.stages,
    };
    gateway.store.run(command, meta)
}

fn create(
    gateway: &Gateway,
    path: &SecretPath,
    declaration: &ExternalDeclaration,
    under: &NewKey,
    put: Put,
    meta: strongroom_store::vault::Meta,
) -> Result<WriteOutcome, StoreError> {
    let not_there = || StoreError::Refused(Refusal::NamespaceNotFound);
    let command = CreateSecret {
        id: SecretId::generate().map_err(|_| StoreError::NotCommitted)?,
        namespace: path.namespace().id().ok_or_else(not_there)?,
        name: path.parsed().cloned().ok_or_else(not_there)?,
        description: String::new(),
        // The controller writes them, from the object.
        labels: BTreeMap::new(),
        key: match under {
            NewKey::Customers(key) => KeyRef::Customer(key.id),
            NewKey::Default | NewKey::Missing(_) | NewKey::Required(_) => KeyRef::Default,
        },
        version: put.version,
        value: put.value,
        object: Some(ObjectRef {
            uid: ExternalId::new(&declaration.uid).map_err(|_| not_there())?,
            name: declaration.object.clone(),
        }),
        recovery: put.recovery,
    };
    gateway.store.run(command, meta)
}

/// Why no object takes the value.
fn no_owner(name: &str, owner: &FirstOwner) -> Problem {
    match owner {
        FirstOwner::Undecided => {
            let why = format!(
                "whether the ManagedSecret of `{name}` may make the secret is not decided yet; try again, and see its condition Ready"
            );
            Problem::new(Code::ClusterUnavailable, why).retry_after(1)
        }
        FirstOwner::Refused(object) => Problem::new(
            Code::ManagedElsewhere,
            format!(
                "ManagedSecret `{object}` has the name `{name}` and was not made by the product, as its condition Ready says; have it deleted, and apply one as the product"
            ),
        ),
        FirstOwner::Nobody | FirstOwner::Object(_) => not_external(name),
    }
}

fn not_external(name: &str) -> Problem {
    Problem::new(
        Code::SourceNotExternal,
        format!(
            "no ManagedSecret with `source: {{external: {{}}}}` declares secret `{name}`, so its values come from elsewhere; change the source to \
             write them over the API"
        ),
    )
}

fn other_key(name: &str) -> Problem {
    Problem::new(
        Code::KeyRequired,
        format!(
            "EncryptionKey `{name}` requires in `spec.requiredFor` that this secret uses it; set `spec.encryptionKey` of the ManagedSecret to it"
        ),
    )
}
