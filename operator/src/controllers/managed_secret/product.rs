//! Whether one `ManagedSecret` may have the default secret that it names: what is known of its product, of
//! its author and of the tenant's key is read here, and the rule decides.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use strongroom_crds::annotation::ALLOW_DEFAULT_KEY;
use strongroom_crds::v1alpha1::{ManagedSecret, Source};
use strongroom_model::name::{KeyName, SecretName};
use strongroom_model::{DefaultSecretName, Hosting};
use strongroom_rules::declaration::{DeclarationScope, Digest};
use strongroom_rules::managed_secret::key_release;
use strongroom_rules::managed_secret::product_claim::{
    ClaimAuthor, ClaimFacts, ClaimRefusal, SecretCount, claim,
};
use strongroom_rules::policy::{Action, Identity, Principal, Request, RequestFacts, SecretRef};
use strongroom_rules::product::{ProductDirectory, ProductFacts, Target};
use strongroom_rules::uid::Uid;
use strongroom_store::audit::{Author, Requester};

use super::observed_secret::ObservedSecret;
use crate::controllers::Ctx;
use crate::controllers::author::may_manage;
use crate::controllers::failure::Failure;

/// Who wrote what the object declares.
enum DeclarationAuthor {
    Attested(Identity),
    Manages(Identity),
    Ourselves,
    Accepted,
    Unattested,
}

impl DeclarationAuthor {
    const fn facts(&self) -> ClaimAuthor<'_> {
        match self {
            Self::Attested(identity) => ClaimAuthor::Attested(identity),
            Self::Manages(identity) => ClaimAuthor::Manages(identity),
            Self::Ourselves => ClaimAuthor::Ourselves,
            Self::Accepted => ClaimAuthor::Accepted,
            Self::Unattested => ClaimAuthor::Unattested,
        }
    }
}

/// Decides about an object whose name in the store is a product's. `settled`: all that it declares was done
/// by this process. Of an object that goes, or whose namespace does, nothing is asked.
pub(super) async fn observe(
    ctx: &Ctx,
    observed: &mut ObservedSecret,
    name: &SecretName,
    settled: bool,
    now: Timestamp,
) -> Result<(), Failure> {
    if observed.facts.object.leaving || observed.facts.namespace.terminating {
        return Ok(());
    }
    let refusal = match DefaultSecretName::split(name) {
        Ok(None) => return Ok(()),
        Ok(Some(name)) => refusal(ctx, observed, name, settled, now).await?,
        Err(_) => Some(ClaimRefusal::NoCode {
            name: name.to_string(),
        }),
    };
    let identity = &observed.identity;
    let (namespace, object) = (&identity.namespace, &identity.name);
    let waits = matches!(&refusal, Some(ClaimRefusal::KeyNotGranted { .. }));
    ctx.product_index.awaits_policies(namespace, object, waits);
    if matches!(observed.object.spec.source, Source::External(_)) {
        ctx.declared
            .set_claim(namespace, object, &identity.uid, refusal.is_none());
    }
    observed.facts.product = refusal;
    Ok(())
}

async fn refusal(
    ctx: &Ctx,
    observed: &ObservedSecret,
    name: DefaultSecretName<'_>,
    settled: bool,
    now: Timestamp,
) -> Result<Option<ClaimRefusal>, Failure> {
    let directory = ctx
        .products
        .current()
        .map_err(|error| Failure::NotLoaded(error.to_string()))?;
    let product = directory.product(name.code());
    let namespace = observed.identity.namespace.as_str();
    let key = observed.object.spec.encryption_key.as_deref();
    let hosting = Hosting::under(key);
    let (mut held, mut held_hosting) = (false, None);
    if let Some(view) = &observed.view {
        let owner = view.object.as_ref();
        held = owner.is_some_and(|owner| owner.uid.as_str() == observed.identity.uid);
        held_hosting = Some(Hosting::under(view.key.customer().as_ref()));
    }
    let held_key = held_key(ctx, observed).await?;
    let held_key = held_key.as_ref().map(KeyName::as_str);
    let allows = observed.object.annotations().get(ALLOW_DEFAULT_KEY);
    let allows = allows.map(String::as_str);
    let allow_default_key = held_key
        .is_some_and(|held| key_release::lets_leave(allows, held, (observed.identity.generation, key)));
    let claimed = claimed(&observed.object);
    let approved = settled || is_approved(ctx, observed, claimed).await?;
    let author = author(ctx, observed, (name, product), held && approved).await?;
    let mut facts = ClaimFacts {
        namespace,
        name,
        created: created(observed, now),
        key,
        key_granted: true,
        held_key_granted: true,
        product,
        author: author.facts(),
        held,
        held_hosting,
        held_key,
        allow_default_key,
        used: SecretCount::default(),
    };
    if let Some(product) = product {
        if held_hosting != Some(hosting) {
            facts.used = used(ctx, product, namespace, hosting).await?;
        }
        if let Some(key) = key {
            let used = (Action::GenerateDataKey, key);
            facts.key_granted = key_granted(ctx, &directory, &facts, (product, used), now)?;
            if let Some(left) = held_key.filter(|held| *held != key) {
                let used = (Action::Decrypt, left);
                facts.held_key_granted = key_granted(ctx, &directory, &facts, (product, used), now)?;
            }
        }
    }
    let refusal = claim(&facts).err();
    if refusal.is_none() {
        if let Some(product) = product {
            note_manager(ctx, observed, product).await?;
        }
        if let (false, Some(claimed)) = (approved, claimed) {
            let uid = &observed.identity.uid;
            ctx.store.approve("ManagedSecret", uid, claimed).await?;
        }
    }
    Ok(refusal)
}

/// Notes that a manager wrote the object, where somebody did since it was looked at last.
async fn note_manager(ctx: &Ctx, observed: &ObservedSecret, product: &ProductFacts) -> Result<(), Failure> {
    let uid = &observed.identity.uid;
    let Some(written) = ctx.declarations.take_news(uid) else {
        return Ok(());
    };
    if let Some(Requester::Attested(author)) = ctx.store.requester_of(uid).await? {
        let identity = Identity::from_username(&author.user);
        if let Identity::ServiceAccount { namespace, name } = &identity
            && product.is_manager(&identity)
        {
            let sightings = ctx.products.sightings();
            sightings.record(product.code.as_str(), (namespace, name), written);
        }
    }
    Ok(())
}

/// The name of the customer's key that the secret lies under.
async fn held_key(ctx: &Ctx, observed: &ObservedSecret) -> Result<Option<KeyName>, Failure> {
    let Some(view) = &observed.view else {
        return Ok(None);
    };
    let Some(key) = view.key.customer() else {
        return Ok(None);
    };
    Ok(Some(ctx.store.key_with_id(view.namespace, key).await?.name))
}

fn created(observed: &ObservedSecret, now: Timestamp) -> Timestamp {
    let created = observed.object.creation_timestamp();
    created.map_or(now, |time| time.0)
}

/// A digest of what the object claims: of all that it declares but the leave to give up a key, which is the
/// tenant's. What this program does not know of a spec claims nothing.
fn claimed(object: &ManagedSecret) -> Option<Digest> {
    let spec = serde_json::to_value(&object.spec).ok()?;
    let labels = object.labels().iter();
    let annotations = object.annotations().iter();
    let annotations = annotations.filter(|(key, _)| key.as_str() != ALLOW_DEFAULT_KEY);
    Some(Digest::from_parts(
        DeclarationScope::All,
        Some(&spec),
        labels.map(|(key, value)| (key.as_str(), value.as_str())),
        annotations.map(|(key, value)| (key.as_str(), value.as_str())),
    ))
}

/// Whether the store has it that just this was allowed before. Its status is no witness: others than this
/// process may write that, and it does not tell annotations and labels from those before.
async fn is_approved(ctx: &Ctx, observed: &ObservedSecret, claimed: Option<Digest>) -> Result<bool, Failure> {
    match claimed {
        Some(claimed) => Ok(ctx.store.is_approved(&observed.identity.uid, claimed).await?),
        None => Ok(false),
    }
}

async fn author(
    ctx: &Ctx,
    observed: &ObservedSecret,
    (name, product): (DefaultSecretName<'_>, Option<&ProductFacts>),
    accepted: bool,
) -> Result<DeclarationAuthor, Failure> {
    if accepted {
        return Ok(DeclarationAuthor::Accepted);
    }
    let written_by = match ctx.store.requester_of(&observed.identity.uid).await? {
        Some(Requester::Attested(author)) => author,
        Some(Requester::Unattested) | None => return Ok(DeclarationAuthor::Unattested),
    };
    let identity = Identity::from_username(&written_by.user);
    // Whoever is a manager need not be asked about.
    if let Some(product) = product.filter(|product| product.is_manager(&identity)) {
        check_home(ctx, product, &identity).await?;
        return Ok(DeclarationAuthor::Attested(identity));
    }
    if ctx.own_user.is(&ctx.client, &written_by.user).await {
        return Ok(DeclarationAuthor::Ourselves);
    }
    if product.is_some() && manages(ctx, &written_by, name).await? {
        return Ok(DeclarationAuthor::Manages(identity));
    }
    Ok(DeclarationAuthor::Attested(identity))
}

/// Whether a manager is of the namespace that the product is known with: one that was made again has other
/// ServiceAccounts of the same names, and the watch, by which the product is known, may be behind.
async fn check_home(ctx: &Ctx, product: &ProductFacts, identity: &Identity) -> Result<(), Failure> {
    let mut managers = product.managers.iter();
    let Some(manager) = managers.find(|manager| manager.is(identity)) else {
        return Ok(());
    };
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let there = api.get_metadata_opt(&manager.namespace).await?;
    let there = there.and_then(|namespace| namespace.metadata.uid);
    if there.is_some() && there.as_deref() == manager.namespace_uid.as_ref().map(Uid::as_str) {
        return Ok(());
    }
    Err(Failure::NotLoaded(format!(
        "namespace `{}` of the manager that wrote this object is gone or was made again; if the one that is made again may have the secrets, \
         run `kubectl strongroom product adopt {}`",
        manager.namespace, product.code
    )))
}

async fn manages(ctx: &Ctx, author: &Author, name: DefaultSecretName<'_>) -> Result<bool, Failure> {
    Ok(may_manage(&ctx.client, author, name.code()).await?)
}

/// How many secrets of a hosting the product has.
async fn used(
    ctx: &Ctx,
    product: &ProductFacts,
    namespace: &str,
    hosting: Hosting,
) -> Result<SecretCount, Failure> {
    let usage = ctx.store.product_usage(&product.code).await?;
    let Some(used) = usage.hosting.get(&hosting) else {
        return Ok(SecretCount::default());
    };
    let mut namespaces = used.namespaces.iter();
    let here = namespaces.find(|(name, _)| name.as_str() == namespace);
    Ok(SecretCount {
        in_namespace: here.map_or(0, |(_, secrets)| *secrets),
        total: used.secrets,
    })
}

/// Whether the policies of the tenant let the product make this use of the key. Whichever manager wrote the
/// object is asked about; otherwise the first of them.
fn key_granted(
    ctx: &Ctx,
    directory: &ProductDirectory,
    facts: &ClaimFacts<'_>,
    (product, used): (&ProductFacts, (Action, &str)),
    now: Timestamp,
) -> Result<bool, Failure> {
    let first = || {
        let manager = product.managers.first()?;
        Some(Identity::ServiceAccount {
            namespace: manager.namespace.clone(),
            name: manager.name.clone(),
        })
    };
    let manager = match facts.author {
        ClaimAuthor::Attested(identity) if product.is_manager(identity) => Some(identity.clone()),
        _ => first(),
    };
    let Some(identity) = manager else {
        return Ok(false);
    };
    let principal = Principal {
        identity,
        groups: Vec::new(),
    };
    let target = Target {
        namespace: facts.namespace,
        name: facts.name,
        hosting: Hosting::Paid,
    };
    let name = facts.name.to_string();
    let request = Request {
        principal: &principal,
        action: if facts.held {
            Action::PutSecretValue
        } else {
            Action::CreateSecret
        },
        secret: SecretRef {
            namespace: facts.namespace,
            name: &name,
        },
        key: Some(used),
        owner: None,
        facts: &RequestFacts {
            now,
            ..RequestFacts::default()
        },
        products: directory.context(&directory.caller(&principal.identity), &target),
    };
    let decision = ctx.policies.decide(&request);
    Ok(decision
        .map_err(|error| Failure::NotLoaded(error.to_string()))?
        .allowed)
}

#[cfg(test)]
mod tests;
