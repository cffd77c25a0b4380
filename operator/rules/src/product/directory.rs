//! The products as they are at one time, and the questions that are asked of them for every request.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use strongroom_crds::v1alpha1::{ProductQuota, SecretProductSpec, UserOperation};
use strongroom_model::{DefaultSecretName, Hosting, ProductCode};

use crate::policy::{Identity, PolicyScope, ProductContext};
use crate::uid::Uid;

/// All products, as one snapshot: who decides several things about a request decides them by the same one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProductDirectory {
    products: BTreeMap<ProductCode, ProductFacts>,
    /// By namespace and name of a ServiceAccount.
    managers: HashMap<String, HashMap<String, ManagedProducts>>,
}

/// The products of one manager.
#[derive(Clone, Debug, Default, PartialEq)]
struct ManagedProducts {
    /// Those that may act.
    acting: Vec<ProductCode>,
    /// All that name the manager, or did when they were last seen.
    named_by: Vec<ProductCode>,
}

/// What is known of one product.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductFacts {
    /// Name of the SecretProduct.
    pub code: ProductCode,
    /// Whether it may act.
    pub state: ProductState,
    /// When the first SecretProduct of this code was made, as far as the store knows: what is older was never
    /// the product's.
    pub since: Timestamp,
    /// What people call it, if that is not the code.
    pub display_name: Option<String>,
    /// Page that says how its secrets are made and changed.
    pub docs: Option<String>,
    /// The ServiceAccounts by which it acts.
    pub managers: Vec<ManagerFacts>,
    /// The ServiceAccounts by which its secrets were made, where it is another one than they were made by.
    /// They have no rights, and what is denied to the product is denied to them.
    pub managers_before: Vec<ManagerFacts>,
    /// The namespaces in which it may own secrets.
    pub namespaces: NamespaceSelection,
    /// The hostings that it offers, each with its quota.
    pub hosting: BTreeMap<Hosting, QuotaLimits>,
    /// Secret policies count for its paid secrets.
    pub secret_policies: bool,
    /// Name of its dedicated gateway.
    pub gateway: Option<String>,
    /// Users may rotate its secrets, where a policy allows them.
    pub users_rotate: bool,
    /// Its secrets are not written.
    pub suspend: bool,
}

/// Whether a product may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductState {
    /// Its SecretProduct is there, and is the one that its secrets were made by.
    Present,
    /// Its SecretProduct was deleted: the facts are the last that were seen.
    Absent,
    /// Its SecretProduct is another one than its secrets were made by, and nobody adopted it.
    Changed,
}

/// A ServiceAccount by which a product acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerFacts {
    /// Where the ServiceAccount is.
    pub namespace: String,
    /// `metadata.name` of the ServiceAccount.
    pub name: String,
    /// UID of the namespace, also of one that is away; none where it was never there.
    pub namespace_uid: Option<Uid>,
}

impl ManagerFacts {
    /// Whether the manager is this caller.
    #[must_use]
    pub fn is(&self, identity: &Identity) -> bool {
        matches!(identity, Identity::ServiceAccount { namespace, name }
            if *namespace == self.namespace && *name == self.name)
    }
}

/// The namespaces that a selector selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceSelection {
    /// Every one, also those that are made later.
    All,
    /// Those of these names.
    Named(BTreeSet<String>),
}

impl NamespaceSelection {
    /// No namespace.
    #[must_use]
    pub const fn none() -> Self {
        Self::Named(BTreeSet::new())
    }

    /// Whether the namespace of this name is among them.
    #[must_use]
    pub fn selects(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(namespace),
        }
    }
}

/// How many secrets of one hosting a product may own, those in a recovery window included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaLimits {
    /// In each namespace.
    pub per_namespace: u64,
    /// In all namespaces.
    pub total: u64,
}

impl From<&ProductQuota> for QuotaLimits {
    fn from(quota: &ProductQuota) -> Self {
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        Self {
            per_namespace: count(quota.per_namespace),
            total: count(quota.total),
        }
    }
}

impl ProductFacts {
    /// The facts that the spec of a SecretProduct says. `uid_of` knows the UIDs of namespaces, by name.
    #[must_use]
    pub fn from_spec(
        code: ProductCode,
        spec: &SecretProductSpec,
        (state, since): (ProductState, Timestamp),
        namespaces: NamespaceSelection,
        uid_of: impl Fn(&str) -> Option<Uid>,
    ) -> Self {
        let quota = |hosting| {
            let quotas = spec.quota.as_ref()?;
            let quota = match hosting {
                Hosting::Free => quotas.free.as_ref(),
                Hosting::Paid => quotas.paid.as_ref(),
            };
            quota.map(QuotaLimits::from)
        };
        let offered = spec.hosting.iter().map(|hosting| Hosting::from(*hosting));
        let paid = spec.paid.as_ref();
        Self {
            code,
            state,
            since,
            display_name: spec.display_name.clone(),
            docs: spec.docs.clone(),
            managers: spec
                .managers
                .iter()
                .map(|manager| ManagerFacts {
                    namespace: manager.namespace.clone(),
                    name: manager.name.clone(),
                    namespace_uid: uid_of(&manager.namespace),
                })
                .collect(),
            managers_before: Vec::new(),
            namespaces,
            hosting: offered
                .map(|hosting| (hosting, quota(hosting).unwrap_or_default()))
                .collect(),
            secret_policies: paid.and_then(|paid| paid.secret_policies).unwrap_or(true),
            gateway: paid.and_then(|paid| paid.gateway.clone()),
            users_rotate: spec
                .user_may
                .iter()
                .flatten()
                .any(|operation| *operation == UserOperation::RotateSecret),
            suspend: spec.suspend.unwrap_or(false),
        }
    }

    /// Whether this caller is one of its managers, whether or not it may act.
    #[must_use]
    pub fn is_manager(&self, identity: &Identity) -> bool {
        self.managers.iter().any(|manager| manager.is(identity))
    }

    /// Whether its managers have its rights in a namespace.
    #[must_use]
    pub fn acts_in(&self, namespace: &str) -> bool {
        self.state == ProductState::Present && self.namespaces.selects(namespace)
    }
}

/// Who asks, as products see it.
#[derive(Clone, Copy, Debug)]
pub struct CallerFacts<'a> {
    /// The authenticated caller.
    pub identity: &'a Identity,
    /// The products that the caller manages and that may act.
    pub managed: &'a [ProductCode],
    /// These, and those that may not act and whose manager the caller was when they were last seen.
    pub named_by: &'a [ProductCode],
}

impl<'a> CallerFacts<'a> {
    /// What products have to do with a request about an ordinary secret, for the decision of policies.
    #[must_use]
    pub const fn context(&self) -> ProductContext<'a> {
        ProductContext {
            managed: self.managed,
            named_by: self.named_by,
            acts_for: None,
            scope: PolicyScope::Both,
        }
    }
}

/// A default secret that is asked for, whether or not it exists.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Name of the namespace that it is in.
    pub namespace: &'a str,
    /// Its name in the store.
    pub name: DefaultSecretName<'a>,
    /// Its hosting, or that which it is to have.
    pub hosting: Hosting,
}

impl ProductDirectory {
    /// The directory of these products, each of its own code.
    #[must_use]
    pub fn new(products: impl IntoIterator<Item = ProductFacts>) -> Self {
        let mut directory = Self::default();
        for product in products {
            directory.products.insert(product.code.clone(), product);
        }
        for (code, product) in &directory.products {
            for manager in product.managers.iter().chain(&product.managers_before) {
                let of_namespace = directory.managers.entry(manager.namespace.clone()).or_default();
                let of_manager = of_namespace.entry(manager.name.clone()).or_default();
                if !of_manager.named_by.contains(code) {
                    of_manager.named_by.push(code.clone());
                }
            }
            if product.state != ProductState::Present {
                continue;
            }
            for manager in &product.managers {
                let of_namespace = directory.managers.entry(manager.namespace.clone()).or_default();
                let of_manager = of_namespace.entry(manager.name.clone()).or_default();
                if !of_manager.acting.contains(code) {
                    of_manager.acting.push(code.clone());
                }
            }
        }
        directory
    }

    /// The product of this code.
    #[must_use]
    pub fn product(&self, code: &str) -> Option<&ProductFacts> {
        self.products.get(code)
    }

    /// Every product, by its code.
    pub fn products(&self) -> impl Iterator<Item = &ProductFacts> {
        self.products.values()
    }

    /// What is a fact about a caller.
    #[must_use]
    pub fn caller<'a>(&'a self, identity: &'a Identity) -> CallerFacts<'a> {
        let of_manager = match identity {
            Identity::ServiceAccount { namespace, name } => self
                .managers
                .get(namespace)
                .and_then(|of_namespace| of_namespace.get(name)),
            Identity::User(_) => None,
        };
        CallerFacts {
            identity,
            managed: of_manager
                .map(|products| products.acting.as_slice())
                .unwrap_or_default(),
            named_by: of_manager
                .map(|products| products.named_by.as_slice())
                .unwrap_or_default(),
        }
    }

    /// What each product that may act says of its manager, where that is who asks.
    pub fn manager_facts<'a>(&'a self, identity: &'a Identity) -> impl Iterator<Item = &'a ManagerFacts> {
        let codes = self.caller(identity).managed.iter();
        let products = codes.filter_map(move |code| self.products.get(code));
        products.flat_map(move |product| {
            let managers = product.managers.iter();
            managers.filter(move |manager| manager.is(identity))
        })
    }

    /// What products have to do with a caller's request about a default secret, for the decision of policies.
    #[must_use]
    pub fn context<'a>(&'a self, caller: &CallerFacts<'a>, target: &Target<'_>) -> ProductContext<'a> {
        let product = self.product(target.name.code());
        let acting = product
            .filter(|product| product.acts_in(target.namespace) && caller.managed.contains(&product.code));
        ProductContext {
            acts_for: acting.map(|product| &product.code),
            scope: scope(product, target.hosting),
            ..caller.context()
        }
    }
}

/// Which policies may allow something on a secret of the product.
pub(super) fn scope(product: Option<&ProductFacts>, hosting: Hosting) -> PolicyScope {
    match hosting {
        Hosting::Free => PolicyScope::IdentityOnly,
        Hosting::Paid if product.is_some_and(|product| !product.secret_policies) => PolicyScope::IdentityOnly,
        Hosting::Paid => PolicyScope::Both,
    }
}
