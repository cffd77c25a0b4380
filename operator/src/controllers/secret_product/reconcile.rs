//! One attempt for one `SecretProduct`: the store records it, and the status says how it stands.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use strongroom_crds::v1alpha1::SecretProduct;
use strongroom_model::ProductCode;
use strongroom_model::name::NamespaceName;

use super::directory::ReadableProduct;
use super::events;
use super::status::{self, ProductReport};
use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::controllers::declarations;
use crate::controllers::failure::Failure;
use crate::controllers::runtime::{Pace, Reconciler};
use crate::products::{ProductRecognition, recognize};
use crate::store_handle::on_behalf_of;

/// How long a status may be behind: how many secrets there are changes by the API too, and ServiceAccounts
/// are not watched.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);
/// How long to wait for the first list of namespaces.
const LIST_DELAY: Duration = Duration::from_secs(1);

impl Reconciler for SecretProduct {
    const KIND: &'static str = "SecretProduct";
    const PACE: Pace = Pace::Gathering;
    const BREAKS_OFF: bool = true;

    async fn reconcile(kept: &CachedObject<Self>, ctx: &Ctx, now: Timestamp) -> Result<Action, Failure> {
        if kept.meta().deletion_timestamp.is_some() {
            return Ok(Action::await_change());
        }
        let authorship = declarations::take(ctx, SecretProduct::KIND, kept).await?;
        // What was recorded before decides whose product it is, and so do the UIDs of namespaces.
        if !(ctx.product_index.is_recorded() && ctx.product_index.namespaces_listed()) {
            return Ok(Action::requeue(LIST_DELAY));
        }
        let outcome = on_behalf_of(authorship.requester().clone(), attempt(kept, ctx, now)).await;
        ctx.metrics
            .reconciled(SecretProduct::KIND, outcome.as_ref().err().map(Failure::class));
        let action = outcome?;
        ctx.declarations.settle(&authorship);
        ctx.backoff.forget(&kept.uid().unwrap_or_default());
        Ok(action)
    }
}

async fn attempt(kept: &CachedObject<SecretProduct>, ctx: &Ctx, now: Timestamp) -> Result<Action, Failure> {
    if let Err(error) = ProductCode::new(&kept.name_any()) {
        status::write(ctx, kept, ProductReport::CodeReserved(error.to_string()), now).await?;
        return Ok(Action::await_change());
    }
    let product = match kept.parse() {
        Ok(object) => ReadableProduct::read(&object),
        Err(misfit) => {
            status::write(ctx, kept, ProductReport::Unreadable(misfit.to_string()), now).await?;
            return Ok(Action::await_change());
        }
    };
    let Some(product) = product else {
        let why = "`spec.managers` names what is no namespace; apply the object again".to_owned();
        status::write(ctx, kept, ProductReport::Unreadable(why), now).await?;
        return Ok(Action::await_change());
    };
    let code = &product.observed.code;
    let known = ctx.product_index.record(code);
    let uid = |namespace: &NamespaceName| ctx.product_index.namespace_uid(namespace);
    let recognition = recognize(known.as_ref(), &product.observed, uid);
    if let ProductRecognition::Recognized { record, arrival } = &recognition
        && known.as_ref() != Some(record)
    {
        ctx.store.put_product(record.clone()).await?;
        ctx.product_index.recorded(record.clone());
        events::arrived(ctx, kept, code, *arrival).await;
    }
    let report = ProductReport::Read {
        missing: missing_managers(ctx, &product).await?,
        usage: ctx.store.product_usage(code).await?,
        product: &product,
        recognition,
        endpoints: &ctx.options.endpoints,
        sightings: ctx.products.sightings(),
    };
    status::write(ctx, kept, report, now).await?;
    Ok(Action::requeue(RECHECK_INTERVAL))
}

/// The managers whose ServiceAccount or namespace is not there.
async fn missing_managers(ctx: &Ctx, product: &ReadableProduct) -> Result<Vec<String>, Failure> {
    let mut missing = Vec::new();
    for (namespace, name) in &product.observed.managers {
        let is_there = ctx.product_index.namespace_uid(namespace).is_some() && {
            let api: Api<ServiceAccount> = Api::namespaced(ctx.client.clone(), namespace.as_str());
            api.get_metadata_opt(name).await?.is_some()
        };
        if !is_there {
            missing.push(format!("{namespace}/{name}"));
        }
    }
    Ok(missing)
}
