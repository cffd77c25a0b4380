//! What the matrix and the state of the product say to a request, before policies are asked.

use strongroom_model::Hosting;

use super::directory::{CallerFacts, ProductDirectory, ProductFacts, ProductState, Target, scope};
use super::listener::ListenerFacts;
use super::matrix::{MatrixCell, ProductRole, cell};
use super::refusal::{ProductLabel, ProductRefusal};
use crate::policy::{Action, PolicyScope};

/// What is left to policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixVerdict {
    /// As whom the caller asks.
    pub role: ProductRole,
    /// Which policies may allow it. Of a manager they can only deny, but for the use of a key.
    pub scope: PolicyScope,
}

/// Whether an operation writes a secret. Who reads it is not part of it.
const fn writes(action: Action) -> bool {
    match action {
        Action::CreateSecret
        | Action::UpdateSecret
        | Action::PutSecretValue
        | Action::UpdateSecretVersionStage
        | Action::DeleteSecret
        | Action::PurgeSecret
        | Action::RestoreSecret
        | Action::RotateSecret
        | Action::UpdateSecretRotationPolicy => true,
        Action::ListSecrets
        | Action::DescribeSecret
        | Action::ListSecretVersionIds
        | Action::SetSecretPolicy
        | Action::GetSecretPolicy
        | Action::GetSecretValue
        | Action::Decrypt
        | Action::GenerateDataKey => false,
    }
}

/// Whether a product offers a hosting.
///
/// # Errors
/// It does not, and whoever asked without a key is told that it takes one.
pub fn offered(product: &ProductFacts, hosting: Hosting) -> Result<(), ProductRefusal> {
    if product.hosting.contains_key(&hosting) {
        return Ok(());
    }
    let product_label = ProductLabel::from(product);
    Err(match hosting {
        Hosting::Free => ProductRefusal::KeyRequired {
            product: product_label,
        },
        Hosting::Paid => ProductRefusal::NotOffered {
            product: product_label,
            hosting,
        },
    })
}

/// Decides about an operation on a default secret, as far as products decide it. A caller who may not know of
/// the secret must not be told the refusal.
///
/// # Errors
/// Why it is refused, whatever policies say.
pub fn decide_product(
    directory: &ProductDirectory,
    caller: &CallerFacts<'_>,
    target: &Target<'_>,
    action: Action,
    listener: ListenerFacts<'_>,
) -> Result<MatrixVerdict, ProductRefusal> {
    let product = directory.product(target.name.code());
    let manages = product.is_some_and(|product| product.is_manager(caller.identity));
    if writes(action) {
        state(product, target, manages, action)?;
    }
    let acts = manages && product.is_some_and(|product| product.acts_in(target.namespace));
    let role = if acts {
        ProductRole::Manager
    } else {
        ProductRole::User
    };
    let may_rotate = product.is_some_and(|product| product.users_rotate);
    let managed = || ProductRefusal::Managed {
        product: product.map_or_else(
            || ProductLabel {
                code: target.name.code().to_owned(),
                display_name: None,
                docs: None,
            },
            ProductLabel::from,
        ),
        secret: target.name.to_string(),
        by_manager: acts,
    };
    let scope = scope(product, target.hosting);
    if target.hosting == Hosting::Paid {
        listener.serves_paid(target.name)?;
    }
    match cell(action, role, target.hosting, listener.kind()) {
        MatrixCell::Yes => {
            if let Some(product) = product.filter(|_| action == Action::CreateSecret) {
                offered(product, target.hosting)?;
            }
            Ok(MatrixVerdict { role, scope })
        }
        // `spec.paid.secretPolicies: false` leaves a paid secret no policy of its own.
        MatrixCell::Both if scope == PolicyScope::IdentityOnly && is_about_policies(action) => {
            Err(ProductRefusal::NoSecretPolicies {
                secret: target.name.to_string(),
            })
        }
        MatrixCell::Identity | MatrixCell::Both => Ok(MatrixVerdict { role, scope }),
        MatrixCell::UserMay if may_rotate => Ok(MatrixVerdict { role, scope }),
        MatrixCell::UserMay | MatrixCell::Managed => Err(managed()),
        MatrixCell::Hosting => Err(ProductRefusal::DedicatedListener {
            secret: target.name.to_string(),
        }),
        MatrixCell::NoPolicy => Err(ProductRefusal::NoSecretPolicies {
            secret: target.name.to_string(),
        }),
    }
}

const fn is_about_policies(action: Action) -> bool {
    matches!(action, Action::SetSecretPolicy | Action::GetSecretPolicy)
}

/// Whether the secrets of a product are written at all, and by this caller. What nobody but the product does
/// is left to the matrix.
fn state(
    product: Option<&ProductFacts>,
    target: &Target<'_>,
    manages: bool,
    action: Action,
) -> Result<(), ProductRefusal> {
    let Some(product) = product else {
        return Err(ProductRefusal::Unknown {
            code: target.name.code().to_owned(),
        });
    };
    let label = || ProductLabel::from(product);
    if product.state == ProductState::Absent {
        return Err(ProductRefusal::Absent { product: label() });
    }
    let rotates = product.users_rotate && action == Action::RotateSecret;
    if !manages && !rotates {
        return Ok(());
    }
    if product.state == ProductState::Changed {
        return Err(ProductRefusal::Changed { product: label() });
    }
    if product.suspend {
        return Err(ProductRefusal::Suspended { product: label() });
    }
    if manages && !product.namespaces.selects(target.namespace) {
        return Err(ProductRefusal::NamespaceNotSelected {
            product: label(),
            namespace: target.namespace.to_owned(),
        });
    }
    Ok(())
}
