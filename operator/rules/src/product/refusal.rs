//! Messages that a product, or its absence, refuses a request, for people who may know of the secret.

use std::fmt;

use strongroom_model::Hosting;

use super::directory::ProductFacts;

/// Why something is refused, before any policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProductRefusal {
    /// The product alone does it, or nobody.
    Managed {
        /// Which product, with its page.
        product: ProductLabel,
        /// Name of the secret.
        secret: String,
        /// A manager asked.
        by_manager: bool,
    },
    /// A free secret was asked for at a dedicated gateway.
    DedicatedListener {
        /// Name of the secret.
        secret: String,
    },
    /// A paid secret was asked for at a gateway for other products.
    OtherGateway {
        /// Name of the secret.
        secret: String,
    },
    /// A secret that no product owns was asked for at a dedicated gateway.
    OrdinarySecret {
        /// Name of the secret.
        secret: String,
    },
    /// The product does not offer the hosting.
    NotOffered {
        /// Which product.
        product: ProductLabel,
        /// The hosting that was asked for.
        hosting: Hosting,
    },
    /// The product offers paid hosting alone, and no key was named.
    KeyRequired {
        /// Which product.
        product: ProductLabel,
    },
    /// A free secret has no policy of its own.
    NoSecretPolicies {
        /// Name of the secret.
        secret: String,
    },
    /// There never was a product of the code.
    Unknown {
        /// What stands before the `!`.
        code: String,
    },
    /// The product was deleted.
    Absent {
        /// Which product, as it was last seen.
        product: ProductLabel,
    },
    /// The product is another one than its secrets were made by.
    Changed {
        /// Which product.
        product: ProductLabel,
    },
    /// Its SecretProduct says `suspend`: nothing is written.
    Suspended {
        /// Which product.
        product: ProductLabel,
    },
    /// The product may not own secrets in the namespace.
    NamespaceNotSelected {
        /// Which product.
        product: ProductLabel,
        /// Name of the namespace.
        namespace: String,
    },
}

/// A product as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductLabel {
    /// Name of the SecretProduct.
    pub code: String,
    /// What people call it.
    pub display_name: Option<String>,
    /// Page that says how its secrets are made and changed.
    pub docs: Option<String>,
}

impl From<&ProductFacts> for ProductLabel {
    fn from(product: &ProductFacts) -> Self {
        Self {
            code: product.code.to_string(),
            display_name: product.display_name.clone(),
            docs: product.docs.clone(),
        }
    }
}

impl fmt::Display for ProductLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "product `{}`", self.code)?;
        match &self.display_name {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ProductRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Managed {
                product,
                secret,
                by_manager: true,
            } => write!(
                f,
                "`{secret}` is a secret of {product}, and a product does not do this: for a new value it puts a new version, and policies \
                 are the tenant's"
            ),
            Self::Managed {
                product,
                secret,
                by_manager: false,
            } => {
                write!(f, "`{secret}` is managed by {product}: make the change there")?;
                match &product.docs {
                    Some(docs) => write!(f, " ({docs})"),
                    None => Ok(()),
                }
            }
            Self::DedicatedListener { secret } => write!(
                f,
                "`{secret}` has free hosting, which is at the shared gateway alone: ask there"
            ),
            Self::OtherGateway { secret } => write!(
                f,
                "this gateway is for other products than that of `{secret}`: use the shared gateway, or a gateway of the product"
            ),
            Self::OrdinarySecret { secret } => write!(
                f,
                "`{secret}` is no product's secret, and this gateway has secrets of products alone: use the shared gateway"
            ),
            Self::NotOffered { product, hosting } => write!(
                f,
                "{product} does not offer {} hosting: {}",
                hosting.as_str().to_lowercase(),
                match hosting {
                    Hosting::Free => "name an EncryptionKey of the namespace",
                    Hosting::Paid => "leave the EncryptionKey out",
                }
            ),
            Self::KeyRequired { product } => write!(
                f,
                "{product} offers paid hosting alone: name an EncryptionKey of the namespace, which the tenant makes first and lets the \
                 product use"
            ),
            Self::NoSecretPolicies { secret } => write!(
                f,
                "`{secret}` has identity policies alone, so it has no policy of its own: allow it by a SecretPolicy with `identities`"
            ),
            Self::Unknown { code } => write!(
                f,
                "there is no product `{code}`: apply a SecretProduct of this name, or choose a name without `!`"
            ),
            Self::Absent { product } => write!(
                f,
                "the SecretProduct of {product} was deleted, so its secrets can be read and not written: apply it again"
            ),
            Self::Changed { product } => write!(
                f,
                "{product} has other managers than the one that made its secrets, so they are not written until a platform administrator \
                 accepts it: `kubectl strongroom product adopt {}`",
                product.code
            ),
            Self::Suspended { product } => write!(
                f,
                "{product} is suspended, so its secrets are not written: set `spec.suspend: false` of the SecretProduct"
            ),
            Self::NamespaceNotSelected { product, namespace } => write!(
                f,
                "{product} may not own secrets in namespace `{namespace}`: `spec.namespaces` of the SecretProduct does not select it, so label \
                 the namespace"
            ),
        }
    }
}

impl std::error::Error for ProductRefusal {}
