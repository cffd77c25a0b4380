//! Whether there is room in a namespace for what a command would write.
//!
//! Refused are new secrets, larger values and larger metadata. A rotation always passes; where the namespace
//! is full, the oldest versions of the secret that no stage is on make room for it.

use super::{Effect, Head, Refusal, StoreError, View, oldest_without_stage};
use crate::format::{Namespace, Quota, StoredDataKey, StoredVersion, head_row_bytes};
use crate::value::Value;
use crate::vault::quota::Usage;

/// Metadata of a secret never need room up to so many bytes of its head.
const SMALL_HEAD_BYTES: u64 = 4_096;

/// Bytes of the rows of a version with this value.
pub(super) fn bytes_of(value: &Value) -> u64 {
    StoredVersion::row_bytes(value.encoded_len()) + StoredDataKey::ROW_BYTES
}

/// A namespace with an end, and what it has with what the commands before in the same group took.
struct NamespaceAccount<'v> {
    namespace: &'v Namespace,
    used: Usage,
    limit: Quota,
}

impl<'v> NamespaceAccount<'v> {
    /// The account that a secret of this name is on. Those of products are bounded by their products, and
    /// only counted here.
    fn for_secret(view: &View<'_>, namespace: &'v Namespace, head: &Head) -> Option<Self> {
        if head.name.is_products() {
            return None;
        }
        Self::for_namespace(view, namespace)
    }

    fn for_namespace(view: &View<'_>, namespace: &'v Namespace) -> Option<Self> {
        Some(Self {
            namespace,
            used: view.used(&namespace.id),
            limit: view.limit(&namespace.id)?,
        })
    }

    /// What does not come to more of something may be whatever there is of that.
    fn fits(&self, more: Usage) -> bool {
        let then = self.used.plus(more);
        (more.secrets == 0 || then.secrets <= self.limit.secrets)
            && (more.bytes == 0 || then.bytes <= self.limit.bytes)
    }

    fn full_refusal(&self) -> Refusal {
        Refusal::NamespaceFull {
            namespace: self.namespace.name.clone(),
            used: self.used,
            limit: self.limit,
        }
    }
}

/// Whether there is room for a new secret; what it takes.
pub(super) fn check_new_secret(
    view: &View<'_>,
    namespace: &Namespace,
    head: &Head,
    version_bytes: u64,
) -> Result<Usage, Refusal> {
    let takes = Usage {
        secrets: 1,
        bytes: head_row_bytes(head).saturating_add(version_bytes),
    };
    match NamespaceAccount::for_secret(view, namespace, head) {
        Some(account) if !account.fits(takes) => Err(account.full_refusal()),
        _ => Ok(takes),
    }
}

/// Whether a secret with a value of this many bytes could be made: what can be known before its head is.
pub(crate) fn check_any_secret(
    view: &View<'_>,
    namespace: &Namespace,
    value: Option<&Value>,
) -> Result<(), Refusal> {
    let least = Usage {
        secrets: 1,
        bytes: value.map_or(1, bytes_of),
    };
    match NamespaceAccount::for_namespace(view, namespace) {
        Some(account) if !account.fits(least) => Err(account.full_refusal()),
        _ => Ok(()),
    }
}

/// Whether there is room for the version that was just added to `head`, which was `before`; what it takes.
/// With `may_grow` its value may be larger than all before it also where the namespace is full.
pub(super) fn make_space_for_version(
    view: &View<'_>,
    namespace: &Namespace,
    before: &Head,
    head: &mut Head,
    version_bytes: u64,
    may_grow: bool,
    effects: &mut Vec<Effect>,
) -> Result<Usage, StoreError> {
    let Some(account) = NamespaceAccount::for_secret(view, namespace, head) else {
        return Ok(Usage::default());
    };
    // Of the values first: a head changes by a few bytes, and no version goes for those.
    let mut freed = 0_u64;
    for version in &before.versions {
        if head.version(&version.id).is_none() {
            freed = freed.saturating_add(view.version_bytes(&head.id, version.sequence)?);
        }
    }
    let takes = |head: &Head, freed: u64| {
        let comes = version_bytes.saturating_add(head_row_bytes(head));
        let goes = freed.saturating_add(head_row_bytes(before));
        Usage {
            secrets: 0,
            bytes: comes.saturating_sub(goes),
        }
    };
    if account.fits(takes(head, freed)) {
        return Ok(takes(head, freed));
    }
    if !may_grow && is_larger(view, before, version_bytes)? {
        return Err(account.full_refusal().into());
    }
    while freed < version_bytes
        && let Some(oldest) = oldest_without_stage(head)
    {
        freed = freed.saturating_add(view.version_bytes(&head.id, oldest)?);
        head.versions.retain(|version| version.sequence != oldest);
        effects.push(Effect::DropVersion(head.namespace, head.id, oldest));
    }
    Ok(takes(head, freed))
}

/// Whether a version of so many bytes is larger than every one that a secret has.
fn is_larger(view: &View<'_>, before: &Head, version_bytes: u64) -> Result<bool, StoreError> {
    for version in &before.versions {
        if view.version_bytes(&before.id, version.sequence)? >= version_bytes {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether there is room for other metadata; what they take.
pub(super) fn check_new_metadata(
    view: &View<'_>,
    namespace: &Namespace,
    before: &Head,
    head: &Head,
) -> Result<Usage, Refusal> {
    let (comes, goes) = (head_row_bytes(head), head_row_bytes(before));
    let takes = Usage {
        secrets: 0,
        bytes: comes.saturating_sub(goes),
    };
    match NamespaceAccount::for_secret(view, namespace, head) {
        Some(account) if comes > goes && comes > SMALL_HEAD_BYTES && !account.fits(takes) => {
            Err(account.full_refusal())
        }
        _ => Ok(takes),
    }
}
