//! Whether there is room for what a command would write: in a namespace, or for a default secret on the
//! accounts of its product and in the share of all products.
//!
//! Refused are new secrets, larger values and larger metadata. A rotation always passes; where the namespace
//! is full, the oldest versions of the secret that no stage is on make room for it.

use strongroom_model::name::{NamespaceName, SecretName};
use strongroom_model::{DefaultSecretName, Hosting, PRODUCT_SEPARATOR, RESERVED_PRODUCT_CODE};

use super::{Effect, Head, Refusal, StoreError, View, oldest_without_stage};
use crate::format::{Namespace, Quota, StoredDataKey, StoredVersion, head_row_bytes};
use crate::value::Value;
use crate::vault::product_account::{ProductAccount, hosting_of};
use crate::vault::quota::{QuotaAccount, QuotaUse, Usage};

/// Metadata of a secret never need room up to so many bytes of its head.
const SMALL_HEAD_BYTES: u64 = 4_096;

/// Bytes of the rows of a version with this value.
pub(super) fn bytes_of(value: &Value) -> u64 {
    StoredVersion::row_bytes(value.encoded_len()) + StoredDataKey::ROW_BYTES
}

/// An account with an end, and what is on it with what the commands before in the same group took.
struct BoundedAccount<'v> {
    account: QuotaAccount,
    namespace: &'v Namespace,
    used: Usage,
    limit: Quota,
}

impl<'v> BoundedAccount<'v> {
    /// The account that a secret is on. Those of Strongroom itself have no end.
    fn for_secret(view: &View<'_>, namespace: &'v Namespace, head: &Head) -> Option<Self> {
        match QuotaAccount::for_head(head) {
            QuotaAccount::Namespace(_) if head.name.is_products() => None,
            account => Self::new(view, namespace, account),
        }
    }

    fn new(view: &View<'_>, namespace: &'v Namespace, account: QuotaAccount) -> Option<Self> {
        Some(Self {
            account,
            namespace,
            used: view.used(account),
            limit: view.limit(account)?,
        })
    }

    /// What does not come to more of something may be whatever there is of that.
    fn fits(&self, more: Usage) -> bool {
        let then = self.used.plus(more);
        (more.secrets == 0 || then.secrets <= self.limit.secrets)
            && (more.bytes == 0 || then.bytes <= self.limit.bytes)
    }

    fn full_refusal(&self) -> Refusal {
        let (used, limit) = (self.used, self.limit);
        match self.account {
            QuotaAccount::Namespace(_) => Refusal::NamespaceFull {
                namespace: self.namespace.name.clone(),
                used,
                limit,
            },
            QuotaAccount::Products => Refusal::ProductsFull { used, limit },
        }
    }
}

/// That a secret takes so much.
fn usage_of(head: &Head, usage: Usage) -> QuotaUse {
    QuotaUse {
        account: QuotaAccount::for_head(head),
        usage,
    }
}

/// Whether there is room for a new secret; what it takes.
pub(super) fn check_new_secret(
    view: &View<'_>,
    namespace: &Namespace,
    head: &Head,
    version_bytes: u64,
) -> Result<QuotaUse, StoreError> {
    check_product(view, namespace, &head.name, hosting_of(head))?;
    let takes = Usage {
        secrets: 1,
        bytes: head_row_bytes(head).saturating_add(version_bytes),
    };
    match BoundedAccount::for_secret(view, namespace, head) {
        Some(account) if !account.fits(takes) => Err(account.full_refusal().into()),
        _ => Ok(usage_of(head, takes)),
    }
}

/// Whether the product of a default secret may have one more of the hosting that the secret comes to.
pub(super) fn check_new_hosting(
    view: &View<'_>,
    namespace: &Namespace,
    head: &Head,
) -> Result<(), StoreError> {
    check_product(view, namespace, &head.name, hosting_of(head))
}

/// Whether the product that a name speaks of may have one more default secret.
fn check_product(
    view: &View<'_>,
    namespace: &Namespace,
    name: &SecretName,
    hosting: Hosting,
) -> Result<(), StoreError> {
    let Ok(default) = DefaultSecretName::split(name) else {
        return match name.as_str().split_once(PRODUCT_SEPARATOR) {
            Some((code, _)) if code != RESERVED_PRODUCT_CODE => {
                Err(Refusal::ProductUnknown(code.to_owned()).into())
            }
            _ => Ok(()),
        };
    };
    let Some(default) = default else { return Ok(()) };
    let unknown = || Refusal::ProductUnknown(default.code().to_owned());
    let code = default.product_code().map_err(|_| unknown())?;
    let quota = view.product(&code)?.ok_or_else(unknown)?.quota(hosting);
    let account = ProductAccount {
        code,
        hosting,
        namespace: namespace.id,
    };
    let (in_namespace, total) = view.product_secrets(&account);
    let exceeded = |namespace: Option<NamespaceName>, used: u64, limit: u64| -> Result<(), StoreError> {
        Err(Refusal::ProductQuotaExceeded {
            code: account.code.clone(),
            hosting,
            namespace,
            used,
            limit,
        }
        .into())
    };
    if total >= quota.total {
        return exceeded(None, total, quota.total);
    }
    if in_namespace >= quota.per_namespace {
        return exceeded(Some(namespace.name.clone()), in_namespace, quota.per_namespace);
    }
    Ok(())
}

/// Whether a secret with a value of this many bytes could be made: what can be known before its head is.
pub(crate) fn check_any_secret(
    view: &View<'_>,
    namespace: &Namespace,
    value: Option<&Value>,
) -> Result<(), Refusal> {
    check_least(view, namespace, QuotaAccount::Namespace(namespace.id), value)
}

/// The same of a secret of this name and hosting: a default secret has its product's quota and a share of its
/// own.
pub(crate) fn check_any_default_secret(
    view: &View<'_>,
    namespace: &Namespace,
    (name, hosting): (&SecretName, Hosting),
    value: Option<&Value>,
) -> Result<(), StoreError> {
    check_product(view, namespace, name, hosting)?;
    let account = if name.is_products() {
        QuotaAccount::Products
    } else {
        QuotaAccount::Namespace(namespace.id)
    };
    Ok(check_least(view, namespace, account, value)?)
}

fn check_least(
    view: &View<'_>,
    namespace: &Namespace,
    account: QuotaAccount,
    value: Option<&Value>,
) -> Result<(), Refusal> {
    let least = Usage {
        secrets: 1,
        bytes: value.map_or(1, bytes_of),
    };
    match BoundedAccount::new(view, namespace, account) {
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
) -> Result<QuotaUse, StoreError> {
    let Some(account) = BoundedAccount::for_secret(view, namespace, head) else {
        return Ok(usage_of(head, Usage::default()));
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
        return Ok(usage_of(head, takes(head, freed)));
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
    Ok(usage_of(head, takes(head, freed)))
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
) -> Result<QuotaUse, Refusal> {
    let (comes, goes) = (head_row_bytes(head), head_row_bytes(before));
    let takes = Usage {
        secrets: 0,
        bytes: comes.saturating_sub(goes),
    };
    match BoundedAccount::for_secret(view, namespace, head) {
        Some(account) if comes > goes && comes > SMALL_HEAD_BYTES && !account.fits(takes) => {
            Err(account.full_refusal())
        }
        _ => Ok(usage_of(head, takes)),
    }
}
