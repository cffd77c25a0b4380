//! Reads of what outside objects declare: access policies, declarations, attestations.

use strongroom_model::name::ExternalId;

use crate::audit::Requester;
use crate::format::{Attestation, Declaration, EnforcedPolicy};
use crate::vault::error::StoreError;
use crate::vault::indexed_record::each_indexed;
use crate::vault::store::Store;
use crate::vault::types::{
    AttestationId, DeclaredObject, EnforcedPolicies, ObjectDigest, PendingAttestation,
};

impl Store {
    /// What is kept of all access policies.
    ///
    /// # Errors
    /// [`StoreError::Engine`]. A record that cannot be read is counted, and hides no other.
    pub fn policies(&self) -> Result<EnforcedPolicies, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let mut found = EnforcedPolicies::default();
        each_indexed::<EnforcedPolicy>(&self.shared.keyring, snapshot.as_ref(), |policy| match policy {
            Ok((_, policy)) => found.policies.push(policy),
            Err(_) => found.unreadable += 1,
        })?;
        Ok(found)
    }

    /// Who was about to change or delete an object of which nothing was seen yet, in any order. What cannot
    /// be read is left out.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub fn pending_attestations(&self) -> Result<Vec<PendingAttestation>, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let mut found = Vec::new();
        each_indexed::<Attestation>(&self.shared.keyring, snapshot.as_ref(), |attestation| {
            found.extend(attestation.map(|(index, attestation)| PendingAttestation {
                id: AttestationId(index),
                namespace: attestation.namespace,
                uid: attestation.uid,
                at: attestation.at,
            }));
        })?;
        Ok(found)
    }

    /// Objects of this kind whose declarations were taken in and of which `is_gone` says that they are gone,
    /// by their uid.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub fn declarations_without_object(
        &self,
        kind: &str,
        is_gone: impl Fn(&str) -> bool,
    ) -> Result<Vec<DeclaredObject>, StoreError> {
        self.declared_objects(|declaration| {
            let object = &declaration.object;
            !declaration.gone && object.kind == kind && is_gone(object.uid.as_str())
        })
    }

    /// Objects that are gone and of which it is kept who deleted them, in any order. What cannot be read is
    /// left out.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub fn withdrawn_objects(&self) -> Result<Vec<DeclaredObject>, StoreError> {
        self.declared_objects(|declaration| declaration.gone)
    }

    fn declared_objects(
        &self,
        keep: impl Fn(&Declaration) -> bool,
    ) -> Result<Vec<DeclaredObject>, StoreError> {
        let snapshot = self.shared.engine.snapshot()?;
        let mut found = Vec::new();
        each_indexed::<Declaration>(&self.shared.keyring, snapshot.as_ref(), |declaration| {
            let kept = declaration.ok().filter(|(_, declaration)| keep(declaration));
            found.extend(kept.map(|(_, declaration)| declaration.object));
        })?;
        Ok(found)
    }

    /// Who wrote what this object declares; none where nobody knows, or nothing of it was taken in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn requester_of(&self, uid: &ExternalId) -> Result<Option<Requester>, StoreError> {
        self.last_requester(uid, false)
    }

    /// Who deleted this object; none where it is there, or that is not kept any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn withdrawer_of(&self, uid: &ExternalId) -> Result<Option<Requester>, StoreError> {
        self.last_requester(uid, true)
    }

    fn last_requester(&self, uid: &ExternalId, gone: bool) -> Result<Option<Requester>, StoreError> {
        self.with_view(|view| {
            let declaration = view.declaration(uid)?;
            Ok(declaration
                .filter(|declaration| declaration.gone == gone)
                .and_then(|declaration| declaration.requester))
        })
    }

    /// Whether just this of the object was approved last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_approved(&self, uid: &ExternalId, digest: ObjectDigest) -> Result<bool, StoreError> {
        self.with_view(|view| {
            let approved = view
                .declaration(uid)?
                .and_then(|declaration| declaration.approved);
            Ok(approved == Some(view.keyed_digest(uid, digest)))
        })
    }
}
