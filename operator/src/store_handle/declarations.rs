//! What objects declare and who wrote them, as the store keeps it.

use std::collections::HashSet;

use jiff::Timestamp;
use strongroom_model::name::ExternalId;
use strongroom_rules::declaration::Digest;
use strongroom_store::audit::Requester;
use strongroom_store::vault::{
    AcceptDeclaration, ApproveDeclaration, BeginAttestations, DeclarationOutcome, DeclaredObject,
    ForgetWithdrawn, ObjectDigest, WithdrawDeclaration,
};

use super::{StoreFailure, StoreHandle, store_time};

fn bytes(digest: Digest) -> ObjectDigest {
    ObjectDigest(*digest.bytes())
}

impl StoreHandle {
    /// From now on a change that nobody attests counts as one.
    pub(crate) async fn begin_attestations(&self) -> Result<(), StoreFailure> {
        self.change("Namespace", BeginAttestations).await
    }

    /// Takes in what an object declares that was made at this time, and joins it with who wrote it.
    pub(crate) async fn take_declaration(
        &self,
        object: DeclaredObject,
        created: Timestamp,
        digest: Digest,
    ) -> Result<DeclarationOutcome, StoreFailure> {
        let kind = object.kind.clone();
        let command = AcceptDeclaration {
            object,
            created: store_time(created),
            digest: bytes(digest),
        };
        self.change(&kind, command).await
    }

    /// Records that an object is gone; with its last state, where that was seen. `awaited`: something may
    /// belong to it that goes later.
    pub(crate) async fn withdraw_declaration(
        &self,
        object: DeclaredObject,
        digest: Option<Digest>,
        awaited: bool,
    ) -> Result<DeclarationOutcome, StoreFailure> {
        let kind = object.kind.clone();
        let command = WithdrawDeclaration {
            object,
            digest: digest.map(bytes),
            awaited,
        };
        self.change(&kind, command).await
    }

    /// Objects of this kind whose declarations were taken in, but for those with these UIDs.
    pub(crate) async fn declarations_without(
        &self,
        kind: &'static str,
        there: HashSet<String>,
    ) -> Result<Vec<DeclaredObject>, StoreFailure> {
        self.read(move |store| Ok(store.declarations_without_object(kind, |uid| !there.contains(uid))?))
            .await
    }

    /// Who wrote what the object with this UID declares, as far as anybody knows.
    pub(crate) async fn requester_of(&self, uid: &str) -> Result<Option<Requester>, StoreFailure> {
        let uid = ExternalId::new(uid)?;
        self.read(move |store| Ok(store.requester_of(&uid)?)).await
    }

    /// Whether just this of the object with this UID was approved last.
    pub(crate) async fn is_approved(&self, uid: &str, digest: Digest) -> Result<bool, StoreFailure> {
        let uid = ExternalId::new(uid)?;
        self.read(move |store| Ok(store.is_approved(&uid, bytes(digest))?))
            .await
    }

    /// Remembers what of an object was approved.
    pub(crate) async fn approve(&self, kind: &str, uid: &str, digest: Digest) -> Result<(), StoreFailure> {
        let approve = ApproveDeclaration {
            uid: ExternalId::new(uid)?,
            digest: bytes(digest),
        };
        self.change(kind, approve).await
    }

    /// Who deleted the object with this UID, as far as that is kept.
    pub(crate) async fn withdrawer_of(&self, uid: &str) -> Result<Option<Requester>, StoreFailure> {
        let uid = ExternalId::new(uid)?;
        self.read(move |store| Ok(store.withdrawer_of(&uid)?)).await
    }

    /// Objects that are gone and of which it is kept who deleted them.
    pub(crate) async fn withdrawn_objects(&self) -> Result<Vec<DeclaredObject>, StoreFailure> {
        self.read(move |store| Ok(store.withdrawn_objects()?)).await
    }

    /// Forgets who deleted these objects of a kind; at most 256.
    pub(crate) async fn forget_withdrawn(&self, kind: &str, uids: &[String]) -> Result<(), StoreFailure> {
        let uids: Result<Vec<ExternalId>, _> = uids.iter().map(|uid| ExternalId::new(uid)).collect();
        self.change(kind, ForgetWithdrawn(uids?)).await
    }
}
