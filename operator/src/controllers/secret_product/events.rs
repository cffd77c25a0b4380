//! What became of a product, told by an Event when that changes.

use kube::Resource;
use strongroom_crds::v1alpha1::{SecretProduct, SecretProductStatus};
use strongroom_model::ProductCode;

use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::kube::{EventMessage, EventReason};
use crate::products::{ProductArrival, ProductRecognition};

/// Tells how a product came to be what the store has recorded.
pub(super) async fn arrived(
    ctx: &Ctx,
    kept: &CachedObject<SecretProduct>,
    code: &ProductCode,
    arrival: ProductArrival,
) {
    let (reason, note) = match arrival {
        ProductArrival::Returned => (
            EventReason::ProductReturned,
            format!("the managers are those from before: the secrets `{code}!…` go on"),
        ),
        ProductArrival::Adopted => (
            EventReason::ProductAdopted,
            format!("the managers have the secrets `{code}!…` from now on"),
        ),
        ProductArrival::First | ProductArrival::Recorded => return,
    };
    tell(ctx, kept, reason, note).await;
}

/// Tells that a product waits for a person, where that is news.
pub(super) async fn waits(
    ctx: &Ctx,
    kept: &CachedObject<SecretProduct>,
    before: &SecretProductStatus,
    recognition: &ProductRecognition,
) {
    if let ProductRecognition::Changed { token, .. } = recognition
        && before.adoption_token.as_ref() != Some(token)
    {
        let note = "the managers are not those from before: condition Ready says what to do";
        tell(ctx, kept, EventReason::ProductChanged, note.to_owned()).await;
    }
}

async fn tell(ctx: &Ctx, kept: &CachedObject<SecretProduct>, reason: EventReason, note: String) {
    let message = EventMessage::new(reason, "Compare", note);
    ctx.events.tell(message, &kept.object_ref(&())).await;
}
