//! Whether one `ManagedSecret` may have the default secret that it names: what is known of its product, of
//! its author and of the tenant's key is read here, and the rule decides.

use jiff::Timestamp;
use kube::ResourceExt;
use strongroom_crds::annotation::ALLOW_DEFAULT_KEY;
use strongroom_crds::condition::{ConditionStatus, ConditionType};
use strongroom_crds::v1alpha1::Source;
use strongroom_model::name::{KeyName, SecretName};
use strongroom_model::{DefaultSecretName, Hosting};
use strongroom_rules::managed_secret::key_release;
use strongroom_rules::managed_secret::product_claim::{
    ClaimAuthor, ClaimFacts, ClaimRefusal, SecretCount, claim,
};
use strongroom_rules::policy::{Action, Identity, Principal, Request, RequestFacts, SecretRef};
use strongroom_rules::product::{ProductDirectory, ProductFacts, Target};
use strongroom_store::audit::{Author, Requester};

use super::observe::ObservedSecret;
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
    let author = author(
        ctx,
        observed,
        (name, product),
        held && (settled || was_ready(observed)),
    )
    .await?;
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
    Ok(claim(&facts).err())
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

/// Whether a process before this one found all that the object declares to be so: its status says that of
/// this generation.
fn was_ready(observed: &ObservedSecret) -> bool {
    let Some(status) = &observed.object.status else {
        return false;
    };
    status.observed_generation == Some(observed.identity.generation)
        && status.conditions.iter().any(|condition| {
            condition.type_ == ConditionType::Ready.as_str()
                && condition.status == ConditionStatus::True.as_str()
        })
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
    if product.is_some_and(|product| product.is_manager(&identity)) {
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
