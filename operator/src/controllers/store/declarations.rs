//! What objects declare and who wrote them, as the store keeps it.

use std::collections::HashSet;
use std::future::Future;

use jiff::Timestamp;
use strongroom_rules::declaration::Digest;
use strongroom_store::audit::Requester;
use strongroom_store::name::ExternalId;
use strongroom_store::time::Timestamp as StoreTime;
use strongroom_store::vault::{
    AcceptDeclaration, BeginAttestations, DeclarationOutcome, DeclaredObject, ObjectDigest, Store,
    WithdrawDeclaration,
};

use super::StoreFailure;
use super::vault::{change_as, read};

/// What the controllers ask of the store about declarations. Calls that change something are done when they
/// return.
pub(crate) trait DeclarationStore: Send + Sync + 'static {
    /// From now on a change that nobody attests counts as one.
    fn begin_attestations(&self) -> impl Future<Output = Result<(), StoreFailure>> + Send;
    /// Takes in what an object declares that was made at this time, and joins it with who wrote it.
    fn take_declaration(
        &self,
        object: DeclaredObject,
        created: Timestamp,
        digest: Digest,
    ) -> impl Future<Output = Result<DeclarationOutcome, StoreFailure>> + Send;
    /// Puts on record that an object is gone; with its last state, where that was seen.
    fn withdraw_declaration(
        &self,
        object: DeclaredObject,
        digest: Option<Digest>,
    ) -> impl Future<Output = Result<DeclarationOutcome, StoreFailure>> + Send;
    /// Objects of this kind whose declarations were taken in, but for those with these UIDs.
    fn declarations_without(
        &self,
        kind: &'static str,
        there: HashSet<String>,
    ) -> impl Future<Output = Result<Vec<DeclaredObject>, StoreFailure>> + Send;
    /// Who wrote what the object with this UID declares, as far as anybody knows.
    fn requester_of(&self, uid: &str)
    -> impl Future<Output = Result<Option<Requester>, StoreFailure>> + Send;
}

fn bytes(digest: Digest) -> ObjectDigest {
    ObjectDigest(*digest.bytes())
}

impl DeclarationStore for Store {
    async fn begin_attestations(&self) -> Result<(), StoreFailure> {
        change_as(self, "Namespace", BeginAttestations).await
    }

    async fn take_declaration(
        &self,
        object: DeclaredObject,
        created: Timestamp,
        digest: Digest,
    ) -> Result<DeclarationOutcome, StoreFailure> {
        let controller = object.kind.clone();
        let command = AcceptDeclaration {
            object,
            created: StoreTime::from_millis(created.as_millisecond()),
            digest: bytes(digest),
        };
        change_as(self, &controller, command).await
    }

    async fn withdraw_declaration(
        &self,
        object: DeclaredObject,
        digest: Option<Digest>,
    ) -> Result<DeclarationOutcome, StoreFailure> {
        let controller = object.kind.clone();
        let command = WithdrawDeclaration {
            object,
            digest: digest.map(bytes),
        };
        change_as(self, &controller, command).await
    }

    async fn declarations_without(
        &self,
        kind: &'static str,
        there: HashSet<String>,
    ) -> Result<Vec<DeclaredObject>, StoreFailure> {
        read(self, move |store| {
            Ok(store.declarations_without_object(kind, |uid| !there.contains(uid))?)
        })
        .await
    }

    async fn requester_of(&self, uid: &str) -> Result<Option<Requester>, StoreFailure> {
        let uid = ExternalId::new(uid)?;
        read(self, move |store| Ok(store.requester_of(&uid)?)).await
    }
}
