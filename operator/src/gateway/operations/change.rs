//! A change that goes through the custom resources: authorised first, then made in the object and in the
//! store, and audited whether it succeeds or not.

use std::sync::Arc;

use strongroom_model::id::RequestId;
use strongroom_rules::policy::{Action, RequestFacts, StatementRef};
use strongroom_store::vault::{AuditNote, Command, KeyRef, KeyView, Meta, Refusal, SecretView, StoreError};

use crate::external_sources::FirstOwner;
use crate::gateway::problem::{Problem, invalid};
use crate::gateway::request::authorise::permit;
use crate::gateway::request::record::{self, audit_action};
use crate::gateway::request::{
    AccessRequest, NamespaceRef, OperationContext, RequestContext, SecretPath, TargetKey, find,
};
use crate::gateway::{Gateway, blocking};

/// A change that policies allow.
#[derive(Clone, Debug)]
pub(super) struct SecretChange {
    pub(super) gateway: Arc<Gateway>,
    pub(super) request: RequestContext,
    pub(super) path: SecretPath,
    /// The secret, where there is one.
    pub(super) secret: Option<Arc<SecretView>>,
    action: Action,
    new_key: NewSecretKey,
    statements: Vec<StatementRef>,
}

/// The key that a secret comes under by a change.
#[derive(Clone, Debug, Default)]
pub(super) struct NewSecretKey {
    /// None: the namespace's default key, or it stays under its own.
    pub(super) name: Option<String>,
    /// None: there is no key of this name.
    pub(super) found: Option<KeyView>,
}

impl NewSecretKey {
    /// Looks for the key of this name in a namespace.
    pub(super) async fn find(
        gateway: &Arc<Gateway>,
        namespace: &NamespaceRef,
        name: Option<String>,
    ) -> Result<Self, Problem> {
        let found = match (namespace.id(), &name) {
            (Some(namespace), Some(name)) => {
                let name = name.parse().map_err(invalid)?;
                let gateway = Arc::clone(gateway);
                blocking(move || Ok(gateway.store.find_key(namespace, &name)?)).await?
            }
            _ => None,
        };
        Ok(Self { name, found })
    }

    /// The key by which it is decided about the change.
    pub(super) fn target(&self) -> TargetKey<'_> {
        TargetKey::named(self.name.as_deref(), self.found.as_ref())
    }

    /// What the store calls it.
    ///
    /// # Errors
    /// [`Code::KeyNotFound`](crate::gateway::problem::Code::KeyNotFound) where there is none of the name.
    pub(super) fn key_ref(&self) -> Result<KeyRef, Problem> {
        match (&self.name, &self.found) {
            (_, Some(key)) => Ok(KeyRef::Customer(key.id)),
            (Some(name), None) => Err(Problem::no_encryption_key(name)),
            (None, None) => Ok(KeyRef::Default),
        }
    }
}

/// A change that did not come about.
#[derive(Debug)]
pub(super) enum ChangeError {
    /// It is not audited yet.
    Unrecorded(Problem),
    /// The store has recorded it.
    Recorded(Problem),
}

impl From<Problem> for ChangeError {
    fn from(problem: Problem) -> Self {
        Self::Unrecorded(problem)
    }
}

impl From<Refusal> for ChangeError {
    fn from(refusal: Refusal) -> Self {
        Self::Unrecorded(StoreError::Refused(refusal).into())
    }
}

impl SecretChange {
    /// The change of a secret that is there.
    pub(super) async fn for_secret(
        context: OperationContext,
        path: SecretPath,
        action: Action,
    ) -> Result<(Self, Arc<SecretView>), Problem> {
        Self::for_moving_secret(context, path, action, NewSecretKey::default()).await
    }

    /// The same of one that comes under this key by it.
    pub(super) async fn for_moving_secret(
        context: OperationContext,
        path: SecretPath,
        action: Action,
        key: NewSecretKey,
    ) -> Result<(Self, Arc<SecretView>), Problem> {
        blocking(move || {
            let change = Self::authorise(context, path, action, key, false)?;
            match change.secret.clone() {
                Some(secret) => Ok((change, secret)),
                None => Err(Problem::no_secret(&change.path)),
            }
        })
        .await
    }

    /// The making of one, under this key, whether or not there is one already.
    pub(super) async fn for_new_secret(
        context: OperationContext,
        path: SecretPath,
        key: NewSecretKey,
    ) -> Result<Self, Problem> {
        blocking(move || Self::authorise(context, path, Action::CreateSecret, key, true)).await
    }

    fn authorise(
        context: OperationContext,
        path: SecretPath,
        action: Action,
        new_key: NewSecretKey,
        exists: bool,
    ) -> Result<Self, Problem> {
        let OperationContext { gateway, request, .. } = context;
        let secret = find::secret(&gateway, &path)?.into_view();
        let mut change = Self {
            gateway,
            request,
            path,
            secret,
            action,
            new_key,
            statements: Vec::new(),
        };
        let facts = change.request.facts();
        let exists = exists || change.secret.is_some();
        let decision = permit(&change.gateway, &change.request, &change.access(&facts), exists)?;
        change.statements = decision.statements;
        Ok(change)
    }

    /// The name of the namespace.
    pub(super) fn namespace(&self) -> &str {
        self.path.namespace().name()
    }

    /// Whether the object with this UID may make the default secret that it names: the rule about its author
    /// has said so.
    pub(super) fn was_made_by_product(&self, uid: Option<&str>) -> bool {
        let sources = &self.gateway.external_sources;
        match sources.first_owner(self.namespace(), self.path.name()) {
            FirstOwner::Object(owner) => Some(owner.uid.as_str()) == uid,
            FirstOwner::Nobody | FirstOwner::Undecided | FirstOwner::Refused(_) => false,
        }
    }

    /// The same change, where policies allow this action of the secret as well.
    pub(super) async fn also(mut self, action: Action) -> Result<Self, Problem> {
        blocking(move || {
            self.action = action;
            let facts = self.request.facts();
            let decision = permit(&self.gateway, &self.request, &self.access(&facts), true)?;
            for statement in decision.statements {
                if !self.statements.contains(&statement) {
                    self.statements.push(statement);
                }
            }
            Ok(self)
        })
        .await
    }

    fn access<'a>(&'a self, facts: &'a RequestFacts) -> AccessRequest<'a> {
        AccessRequest {
            action: self.action,
            path: &self.path,
            secret: self.secret.as_deref(),
            new_key: self.new_key.target(),
            facts,
        }
    }

    /// Changes the store, in the caller's name: once for a request, by whose id the store knows a repetition.
    pub(super) async fn run<C: Command + Send + 'static>(&self, command: C) -> Result<C::Reply, ChangeError>
    where
        C::Reply: Send,
    {
        self.run_as(command, self.request.id()).await
    }

    /// A change of the store beside the one that was asked for, under an id of its own.
    pub(super) async fn run_beside<C: Command + Send + 'static>(
        &self,
        command: C,
    ) -> Result<C::Reply, ChangeError>
    where
        C::Reply: Send,
    {
        let request = RequestId::generate().map_err(|_| Problem::from(StoreError::NotCommitted))?;
        self.run_as(command, request).await
    }

    async fn run_as<C: Command + Send + 'static>(
        &self,
        command: C,
        request: RequestId,
    ) -> Result<C::Reply, ChangeError>
    where
        C::Reply: Send,
    {
        let store = self.gateway.store.clone();
        let meta = Meta {
            request,
            ..self.request.meta(&self.statements)
        };
        blocking(move || Ok(store.run(command, meta).map_err(Problem::from)))
            .await?
            .map_err(ChangeError::Recorded)
    }

    /// Records a change of which the store sees nothing.
    pub(super) async fn note(&self, detail: &str) -> Result<(), ChangeError> {
        let note = AuditNote {
            detail: detail.to_owned(),
            ..record::note_about(
                audit_action(self.action),
                &self.path,
                self.secret.as_ref().map(|secret| secret.id),
            )
        };
        let meta = self.request.meta(&self.statements);
        record::later(&self.gateway, note, meta)
            .await
            .map_err(ChangeError::Recorded)
    }

    /// The result. A failure is audited.
    pub(super) async fn settle<T>(self, outcome: Result<T, ChangeError>) -> Result<T, Problem> {
        match outcome {
            Ok(done) => Ok(done),
            Err(ChangeError::Recorded(problem)) => Err(problem),
            Err(ChangeError::Unrecorded(problem)) => Err(blocking(move || {
                let facts = self.request.facts();
                record::refuse(
                    &self.gateway,
                    &self.request,
                    &self.access(&facts),
                    &self.statements,
                    problem,
                )
            })
            .await?),
        }
    }
}
