//! The station between finding and policies: what the operation matrix says of a default secret, whether this
//! listener serves it, and what the policies need to know of products.
//!
//! Whether a caller manages a product is looked up here for each request, by its authenticated identity; no
//! claim of a token can say so.

use std::sync::Arc;

use strongroom_model::{DefaultSecretName, Hosting, ProductCode};
use strongroom_rules::policy::{Action, Identity, ProductContext};
use strongroom_rules::product::{
    ListenerFacts, ListenerKind, MatrixCell, ProductDirectory, ProductRefusal, ProductRole, Target, cell,
    decide_product, offered,
};

use super::authorise::AccessRequest;
use super::context::RequestContext;
use super::find::SecretPath;
use crate::gateway::authenticate::Caller;
use crate::gateway::problem::{Code, Problem};
use crate::gateway::state::Gateway;

/// The products as one decision sees them.
///
/// # Errors
/// [`Code::PoliciesUnavailable`] until they are loaded: a statement about a product may be a Deny.
pub(in crate::gateway) fn snapshot(gateway: &Gateway) -> Result<Arc<ProductDirectory>, Problem> {
    let products = gateway.products.current();
    products.map_err(|error| Problem::new(Code::PoliciesUnavailable, error.to_string()).retry_after(1))
}

/// The default secret that is asked for, with this hosting; none: the secret is an ordinary one.
fn target<'a>(access: &AccessRequest<'a>, hosting: Hosting) -> Option<Target<'a>> {
    let path: &'a SecretPath = access.path;
    Some(Target {
        namespace: path.namespace().name(),
        name: path.default_secret()?,
        hosting,
    })
}

/// How the secret is hosted, or will be where there is none yet.
fn hosting(access: &AccessRequest<'_>) -> Hosting {
    match access.secret {
        None => access.new_key.hosting(),
        Some(secret) => Hosting::under(secret.key.customer().as_ref()),
    }
}

/// How policies see it hosted. One that moves under a customer's key counts as paid where the move is decided
/// about, so that the tenant's grant of that key does: nobody who asks to know of it is shown it so.
fn hosting_for_policies(access: &AccessRequest<'_>, action: Action) -> Hosting {
    match access.new_key.hosting() {
        Hosting::Paid if action == Action::UpdateSecret => Hosting::Paid,
        Hosting::Paid | Hosting::Free => hosting(access),
    }
}

/// What policies need to know: which products the caller manages, and whether it acts for the one that owns
/// the secret.
pub(super) fn context<'a>(
    products: &'a ProductDirectory,
    caller: &'a Caller,
    action: Action,
    access: &AccessRequest<'a>,
) -> ProductContext<'a> {
    let facts = products.caller(&caller.principal.identity);
    match target(access, hosting_for_policies(access, action)) {
        Some(target) => products.context(&facts, &target),
        None => facts.context(),
    }
}

/// What the matrix says, whatever policies do. Of an ordinary secret, whether the listener has it.
pub(super) fn judge(
    products: &ProductDirectory,
    caller: &Caller,
    listener: ListenerFacts<'_>,
    action: Action,
    access: &AccessRequest<'_>,
) -> Result<(), ProductRefusal> {
    let Some(target) = target(access, hosting(access)) else {
        return listener.serves_ordinary(access.path.name());
    };
    let facts = products.caller(&caller.principal.identity);
    decide_product(products, &facts, &target, action, listener).map(|_| ())
}

/// Whether the caller may know of the secret because its name begins with the code of a product that they
/// manage. Who is named as a manager of a product that is not in force is told why, where that tells nothing
/// of a secret.
pub(super) fn knows_own(
    products: &ProductDirectory,
    caller: &Caller,
    action: Action,
    access: &AccessRequest<'_>,
) -> bool {
    let Some(name) = access.path.default_secret() else {
        return false;
    };
    let (identity, code) = (&caller.principal.identity, name.code());
    if has_code(products.caller(identity).managed, code) {
        return true;
    }
    let product = products.product(code);
    action == Action::CreateSecret && product.is_some_and(|product| product.is_manager(identity))
}

/// Notes who acts for the product that owns the secret, where that is who asks.
pub(super) fn note_manager(
    gateway: &Gateway,
    products: &ProductDirectory,
    request: &RequestContext,
    access: &AccessRequest<'_>,
) {
    let Some(secret) = access.path.default_secret() else {
        return;
    };
    let identity = &request.caller().principal.identity;
    if let Identity::ServiceAccount { namespace, name } = identity
        && has_code(products.caller(identity).managed, secret.code())
    {
        let sightings = gateway.products.sightings();
        sightings.record(secret.code(), (namespace, name), request.now());
    }
}

fn has_code(managed: &[ProductCode], code: &str) -> bool {
    managed.iter().any(|own| own.as_str() == code)
}

/// The refusal of the matrix for this request, if there is one. It is not audited.
///
/// # Errors
/// Those of [`snapshot`].
pub(in crate::gateway) fn check(
    gateway: &Gateway,
    request: &RequestContext,
    access: &AccessRequest<'_>,
) -> Result<Result<(), Problem>, Problem> {
    check_for(gateway, request.caller(), request.listener().facts(), access)
}

/// The same for somebody who is asked about.
///
/// # Errors
/// Those of [`snapshot`].
pub(in crate::gateway) fn check_for(
    gateway: &Gateway,
    subject: &Caller,
    listener: ListenerFacts<'_>,
    access: &AccessRequest<'_>,
) -> Result<Result<(), Problem>, Problem> {
    let products = snapshot(gateway)?;
    let judged = judge(&products, subject, listener, access.action, access);
    Ok(judged.map_err(|refusal| problem(&refusal, access.action)))
}

/// Refuses where the product that owns the secret does not offer this hosting.
///
/// # Errors
/// The product's refusal, and those of [`snapshot`].
pub(in crate::gateway) fn offers(
    gateway: &Gateway,
    name: DefaultSecretName<'_>,
    hosting: Hosting,
) -> Result<(), Problem> {
    let products = snapshot(gateway)?;
    match products.product(name.code()) {
        Some(product) => offered(product, hosting).map_err(|refusal| problem(&refusal, Action::UpdateSecret)),
        None => Err(Problem::new(
            Code::ProductUnknown,
            format!("there is no SecretProduct `{}`; apply it", name.code()),
        )),
    }
}

/// What owns a default secret, in words; none: the secret is an ordinary one.
///
/// # Errors
/// Those of [`snapshot`].
pub(in crate::gateway) fn describe(
    gateway: &Gateway,
    subject: &Caller,
    access: &AccessRequest<'_>,
) -> Result<Option<String>, Problem> {
    let products = snapshot(gateway)?;
    let Some(target) = target(access, hosting(access)) else {
        return Ok(None);
    };
    let code = target.name.code();
    let Some(product) = products.product(code) else {
        return Ok(Some(format!(
            "its name begins with the code of a product, and there is no SecretProduct `{code}`"
        )));
    };
    let facts = products.caller(&subject.principal.identity);
    let role = if has_code(facts.managed, code) {
        "a manager of it"
    } else {
        "a user of it"
    };
    let named = product.display_name.as_deref().map(|name| format!(" ({name})"));
    let page = product.docs.as_deref().map(|page| format!(", see {page}"));
    Ok(Some(format!(
        "product `{code}`{} owns the secret, hosted {}{}; {} is {role}",
        named.unwrap_or_default(),
        target.hosting,
        page.unwrap_or_default(),
        subject.principal.identity,
    )))
}

/// The cell of the matrix that a request about a default secret comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct MatrixEntry {
    /// Name of the SecretProduct, whether or not there is one.
    pub(in crate::gateway) code: String,
    /// As it is, or will be.
    pub(in crate::gateway) hosting: Hosting,
    /// As whom somebody asks.
    pub(in crate::gateway) role: ProductRole,
    pub(in crate::gateway) cell: MatrixCell,
}

/// Where the matrix says what [`check_for`] refuses or leaves to policies; none: the secret is an ordinary
/// one.
///
/// # Errors
/// Those of [`snapshot`].
pub(in crate::gateway) fn entry(
    gateway: &Gateway,
    subject: &Caller,
    listener: ListenerKind,
    access: &AccessRequest<'_>,
) -> Result<Option<MatrixEntry>, Problem> {
    let products = snapshot(gateway)?;
    let Some(target) = target(access, hosting(access)) else {
        return Ok(None);
    };
    let product = products.product(target.name.code());
    let identity = &subject.principal.identity;
    let acts =
        product.is_some_and(|product| product.is_manager(identity) && product.acts_in(target.namespace));
    let role = if acts {
        ProductRole::Manager
    } else {
        ProductRole::User
    };
    Ok(Some(MatrixEntry {
        code: target.name.code().to_owned(),
        hosting: target.hosting,
        role,
        cell: cell(access.action, role, target.hosting, listener),
    }))
}

/// A refusal of the matrix, as a caller who may know of the secret is told.
pub(super) fn problem(refusal: &ProductRefusal, action: Action) -> Problem {
    Problem::new(code(refusal, action), refusal.to_string())
}

/// The code of a refusal.
const fn code(refusal: &ProductRefusal, action: Action) -> Code {
    match refusal {
        ProductRefusal::Managed { .. } => Code::ProductManaged,
        ProductRefusal::DedicatedListener { .. }
        | ProductRefusal::OtherGateway { .. }
        | ProductRefusal::OrdinarySecret { .. }
        | ProductRefusal::NotOffered { .. } => Code::HostingRefused,
        ProductRefusal::KeyRequired { .. } => Code::KeyRequired,
        // There is none to be read, and none can be set.
        ProductRefusal::NoSecretPolicies { .. } => match action {
            Action::GetSecretPolicy => Code::PolicyNotFound,
            _ => Code::HostingRefused,
        },
        ProductRefusal::Unknown { .. } => Code::ProductUnknown,
        ProductRefusal::Absent { .. } => Code::ProductAbsent,
        ProductRefusal::Changed { .. } => Code::ProductChanged,
        ProductRefusal::Suspended { .. } => Code::ProductSuspended,
        ProductRefusal::NamespaceNotSelected { .. } => Code::NamespaceNotSelected,
    }
}
