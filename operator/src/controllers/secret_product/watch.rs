//! The watch of `SecretProduct`s, and what each event sets in motion; nothing is decided here.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::watcher::Event;
use strongroom_crds::v1alpha1::SecretProduct;

use super::directory::ProductObject;
use super::index::ProductIndex;
use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::controllers::runtime::watch::{large, reflected};

/// The `SecretProduct`s, kept in `writer`; the answer is what has to be looked at.
pub(in crate::controllers) fn secret_products(
    ctx: Arc<Ctx>,
    writer: Writer<CachedObject<SecretProduct>>,
) -> impl Stream<Item = ObjectRef<CachedObject<SecretProduct>>> + Send {
    let following = Arc::clone(&ctx);
    let events = large(&ctx, "SecretProduct").inspect(move |event| {
        follow(&following.product_index, event);
        if let Event::Delete(object) = event {
            following.backoff.forget(&object.uid().unwrap_or_default());
            following.metrics.product(&object.name_any(), None);
        }
    });
    reflected(ctx, writer, events)
}

/// What follows from an event.
pub(crate) fn follow(index: &ProductIndex, event: &Event<CachedObject<SecretProduct>>) {
    match event {
        Event::Init => index.begin_list(),
        Event::InitApply(object) => {
            index.list_product(&object.name_any(), ProductObject::from_cached(object))
        }
        Event::InitDone => index.end_list(),
        Event::Apply(object) => index.saw_product(&object.name_any(), ProductObject::from_cached(object)),
        Event::Delete(object) => index.lost_product(&object.name_any()),
    }
}
