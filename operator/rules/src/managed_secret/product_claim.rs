//! Whether a ManagedSecret whose name in the store is a product's may make, change and rotate that secret.
//!
//! INVARIANT: what a product's name stands for was made by a manager of the product, or by somebody who may
//! manage it: admission holds it, and this holds it where admission was not there.

use std::fmt;

use jiff::Timestamp;
use strongroom_crds::condition::Reason;
use strongroom_model::{DefaultSecretName, Hosting, PRODUCT_SEPARATOR};

use crate::policy::Identity;
use crate::product::{ProductFacts, ProductLabel, ProductRefusal, ProductState, offered};

/// What is known about a ManagedSecret of a product's name.
#[derive(Clone, Copy, Debug)]
pub struct ClaimFacts<'a> {
    /// Name of the namespace that it is in.
    pub namespace: &'a str,
    /// The name in the store.
    pub name: DefaultSecretName<'a>,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
    /// The EncryptionKey that `spec.encryptionKey` names.
    pub key: Option<&'a str>,
    /// Policies let a manager of the product encrypt under that key; true where there is none.
    pub key_granted: bool,
    /// Policies let a manager of the product decrypt under the key that the secret leaves for that one; true
    /// where it leaves none.
    pub held_key_granted: bool,
    /// The product of the code, also one that was deleted.
    pub product: Option<&'a ProductFacts>,
    /// Who wrote what the object declares now.
    pub author: ClaimAuthor<'a>,
    /// The store has a secret of this name, and this object as its owner.
    pub held: bool,
    /// The hosting of the secret that the store has, in use or in its recovery window.
    pub held_hosting: Option<Hosting>,
    /// The EncryptionKey that that secret lies under.
    pub held_key: Option<&'a str>,
    /// The tenant lets the secret leave that key, by [`super::key_release::lets_leave`].
    pub allow_default_key: bool,
    /// How many secrets of the wanted hosting the product has in the namespace, and in all.
    pub used: SecretCount,
}

/// How many secrets a product has, those in a recovery window included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecretCount {
    /// In the namespace of the object.
    pub in_namespace: u64,
    /// In all namespaces.
    pub total: u64,
}

/// Who wrote the declaration of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimAuthor<'a> {
    /// This one, by attestation; whether a manager is looked up here.
    Attested(&'a Identity),
    /// Somebody who has the verb `manage` on the product, by attestation.
    Manages(&'a Identity),
    /// The process itself, for a request that it had decided before.
    Ourselves,
    /// The claim was allowed for just this declaration before.
    Accepted,
    /// No attestation says it.
    Unattested,
}

/// Why a ManagedSecret may not have a product's secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimRefusal {
    /// The product, or its absence, refuses it.
    Product(ProductRefusal),
    /// The name before the `!` is no code.
    NoCode {
        /// The name in the store.
        name: String,
    },
    /// Its author neither is a manager nor may manage the product.
    NotManager {
        /// Which product.
        product: ProductLabel,
        /// The author, as the API server knows them.
        author: String,
    },
    /// Nobody knows who wrote it.
    NotAttested {
        /// Which product.
        product: ProductLabel,
    },
    /// It was there before the product.
    ProductNewer {
        /// Which product.
        product: ProductLabel,
    },
    /// The tenant did not let the product use the key.
    KeyNotGranted {
        /// Which product.
        product: ProductLabel,
        /// Name of the EncryptionKey.
        key: String,
        /// Namespace of the object and of the key.
        namespace: String,
    },
    /// The secret lies under a key of the tenant, who did not give that up.
    KeyKept {
        /// Which product.
        product: ProductLabel,
        /// Name of the EncryptionKey.
        key: String,
    },
    /// The product has as many secrets as it may.
    QuotaExceeded {
        /// Which product.
        product: ProductLabel,
        /// Whose quota it is.
        hosting: Hosting,
        /// Where it may have no more.
        reached: ReachedQuota,
    },
}

/// Which quota of a product is used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReachedQuota {
    /// That of the object's namespace.
    Namespace {
        /// `metadata.name` of the namespace.
        namespace: String,
        /// How many secrets the product has there.
        used: u64,
        /// How many it may have there.
        limit: u64,
    },
    /// That of all namespaces. How many secrets those have is no tenant's business, so no number is said.
    Total,
}

/// Whether the object may have the secret: make it where it does not hold it, else change it.
///
/// # Errors
/// [`ClaimRefusal`]: nothing is made, and what is there stays as it is.
pub fn claim(facts: &ClaimFacts<'_>) -> Result<(), ClaimRefusal> {
    let Some(product) = facts.product else {
        return Err(ClaimRefusal::Product(ProductRefusal::Unknown {
            code: facts.name.code().to_owned(),
        }));
    };
    acts(facts, product).map_err(ClaimRefusal::Product)?;
    author(facts, product)?;
    let label = || ProductLabel::from(product);
    if !facts.held && facts.created < product.since {
        return Err(ClaimRefusal::ProductNewer { product: label() });
    }
    let hosting = Hosting::under(facts.key);
    if (facts.held_hosting, hosting) == (Some(Hosting::Paid), Hosting::Free) && !facts.allow_default_key {
        return Err(ClaimRefusal::KeyKept {
            product: label(),
            key: facts.held_key.unwrap_or_default().to_owned(),
        });
    }
    if facts.held_hosting != Some(hosting) {
        offered(product, hosting).map_err(ClaimRefusal::Product)?;
        quota(facts, product, hosting)?;
    }
    let ungranted = facts.key.filter(|_| !facts.key_granted);
    if let Some(key) = ungranted.or(facts.held_key.filter(|_| !facts.held_key_granted)) {
        return Err(ClaimRefusal::KeyNotGranted {
            product: label(),
            key: key.to_owned(),
            namespace: facts.namespace.to_owned(),
        });
    }
    Ok(())
}

/// Whether secrets of the product are written here.
fn acts(facts: &ClaimFacts<'_>, product: &ProductFacts) -> Result<(), ProductRefusal> {
    let label = || ProductLabel::from(product);
    match product.state {
        ProductState::Absent => return Err(ProductRefusal::Absent { product: label() }),
        ProductState::Changed => return Err(ProductRefusal::Changed { product: label() }),
        ProductState::Present => {}
    }
    if product.suspend {
        return Err(ProductRefusal::Suspended { product: label() });
    }
    if !product.namespaces.selects(facts.namespace) {
        return Err(ProductRefusal::NamespaceNotSelected {
            product: label(),
            namespace: facts.namespace.to_owned(),
        });
    }
    Ok(())
}

fn author(facts: &ClaimFacts<'_>, product: &ProductFacts) -> Result<(), ClaimRefusal> {
    match facts.author {
        ClaimAuthor::Manages(_) | ClaimAuthor::Ourselves | ClaimAuthor::Accepted => Ok(()),
        ClaimAuthor::Attested(identity) if product.is_manager(identity) => Ok(()),
        ClaimAuthor::Attested(identity) => Err(ClaimRefusal::NotManager {
            product: product.into(),
            author: identity.to_string(),
        }),
        ClaimAuthor::Unattested => Err(ClaimRefusal::NotAttested {
            product: product.into(),
        }),
    }
}

/// Whether there is room for one more. The store counts again, in the commit.
fn quota(facts: &ClaimFacts<'_>, product: &ProductFacts, hosting: Hosting) -> Result<(), ClaimRefusal> {
    let limits = product.hosting.get(&hosting).copied().unwrap_or_default();
    let used = facts.used;
    let reached = if used.in_namespace >= limits.per_namespace {
        ReachedQuota::Namespace {
            namespace: facts.namespace.to_owned(),
            used: used.in_namespace,
            limit: limits.per_namespace,
        }
    } else if used.total >= limits.total {
        ReachedQuota::Total
    } else {
        return Ok(());
    };
    Err(ClaimRefusal::QuotaExceeded {
        product: product.into(),
        hosting,
        reached,
    })
}

impl ClaimRefusal {
    /// The cause, as conditions name it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Product(refusal) => match refusal {
                ProductRefusal::Absent { .. } => Reason::ProductAbsent,
                ProductRefusal::Changed { .. } => Reason::ProductChanged,
                ProductRefusal::Suspended { .. } => Reason::ProductSuspended,
                ProductRefusal::NamespaceNotSelected { .. } => Reason::NamespaceNotSelected,
                ProductRefusal::KeyRequired { .. } => Reason::KeyRequired,
                // Of listeners only a request is refused, never an object.
                ProductRefusal::NotOffered { .. }
                | ProductRefusal::DedicatedListener { .. }
                | ProductRefusal::OtherGateway { .. }
                | ProductRefusal::OrdinarySecret { .. } => Reason::HostingNotOffered,
                ProductRefusal::Unknown { .. } => Reason::ProductUnknown,
                ProductRefusal::Managed { .. } | ProductRefusal::NoSecretPolicies { .. } => {
                    Reason::NotManager
                }
            },
            Self::NoCode { .. } => Reason::ProductUnknown,
            Self::NotManager { .. } => Reason::NotManager,
            Self::NotAttested { .. } => Reason::NotAttested,
            Self::ProductNewer { .. } => Reason::ProductNewer,
            Self::KeyKept { .. } => Reason::KeyRequired,
            Self::KeyNotGranted { .. } => Reason::KeyNotGranted,
            Self::QuotaExceeded { .. } => Reason::QuotaExceeded,
        }
    }
}

impl fmt::Display for ClaimRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Product(refusal) => write!(f, "{refusal}"),
            Self::NoCode { name } => write!(
                f,
                "no product can have the name `{name}`: what stands before the `!` is no code of a SecretProduct; choose another `spec.storeName`"
            ),
            Self::NotManager { product, author } => write!(
                f,
                "this object was written by {author}, who is no manager of {product}; let the product write it, or choose a \
                 `spec.storeName` without `!`; a platform administrator with the verb manage on secretproducts/{} may write it as well",
                product.code
            ),
            Self::NotAttested { product } => write!(
                f,
                "nobody attested who wrote this object, so it makes nothing for {product}; see that the webhook `strongroom` of the chart \
                 is installed and reachable, and let the product write the object again"
            ),
            Self::ProductNewer { product } => write!(
                f,
                "this object is older than {product}, so its name is not the product's; delete it, and let the product make its own"
            ),
            Self::KeyNotGranted {
                product,
                key,
                namespace,
            } => write!(
                f,
                "{product} may not use EncryptionKey `{key}`; apply in namespace `{namespace}`: SecretPolicy with `secrets: \
                 [\"{code}{PRODUCT_SEPARATOR}*\"]`, `statements: [{{effect: Allow, principals: [{{product: {code}}}], actions: [\"keys:*\"]}}]`",
                code = product.code
            ),
            Self::KeyKept { product, key } => write!(
                f,
                "the secret lies under EncryptionKey `{key}` of this namespace, and {product} cannot take it from under that: name the key in \
                 `spec.encryptionKey` again; to give the control of the key up for one move, somebody of the namespace annotates this object \
                 then with `strongroom.dev/allow-default-key={key}/GENERATION`, where GENERATION is its `metadata.generation`"
            ),
            Self::QuotaExceeded {
                product,
                hosting,
                reached,
            } => {
                let hosting = hosting.as_str().to_lowercase();
                match reached {
                    ReachedQuota::Namespace {
                        namespace,
                        used,
                        limit,
                    } => write!(
                        f,
                        "{product} has {used} {hosting} secrets in namespace `{namespace}`, and {limit} are allowed"
                    )?,
                    ReachedQuota::Total => write!(
                        f,
                        "{product} has as many {hosting} secrets in all namespaces together as are allowed"
                    )?,
                }
                write!(
                    f,
                    "; those in a recovery window count: delete some and wait for the windows to end, or have `spec.quota.{hosting}` of the \
                     SecretProduct raised"
                )
            }
        }
    }
}

impl From<ProductRefusal> for ClaimRefusal {
    fn from(refusal: ProductRefusal) -> Self {
        Self::Product(refusal)
    }
}
