//! Requests that a session has running beside its stream: token reviews, and lookups of pod addresses. Their
//! number is limited; the rest waits.

use std::net::IpAddr;
use std::sync::Arc;

use futures::FutureExt;
use strongroom_api::stream::proto::gateway_message::Message as ToNode;
use strongroom_api::stream::proto::{PodAddress, Subscribe};
use strongroom_model::id::RequestId;
use strongroom_rules::policy::Identity;
use strongroom_rules::request::token::end_of;
use tokio::time::Instant;
use tonic::Status;
use zeroize::Zeroizing;

use super::Session;
use crate::consumers::volumes::VolumeOwner;
use crate::gateway::authenticate::Caller;
use crate::gateway::delivery::authenticate_pod;
use crate::gateway::delivery::diff::DeliveryRefusal;
use crate::gateway::delivery::dispatch::denied;
use crate::gateway::delivery::node_view::Subscription;
use crate::gateway::delivery::pod_address::PodAddressError;
use crate::gateway::delivery::pod_events::PodEvent;
use crate::gateway::delivery::presence::{HolderKind, HolderRef};
use crate::gateway::problem::{Code, Problem};
use crate::gateway::request::RequestContext;

/// Tokens that are reviewed at the same time.
const MAX_REVIEWS: usize = 4;

/// What became of a token.
pub(super) enum ReviewOutcome {
    /// Of a volume, and the how manieth Subscribe it was.
    Subscribed(String, u64, Result<Subscription, DeliveryRefusal>),
    Renewed(
        String,
        Option<i64>,
        Zeroizing<String>,
        Result<RequestContext, DeliveryRefusal>,
    ),
    /// The token of a volume, once more; none: the plugin's own.
    Again(Option<String>, Result<Arc<Caller>, Problem>),
    /// Where the pod of a volume is.
    PodAddress(String, Arc<Caller>, Result<IpAddr, PodAddressError>),
}

/// What waits for its review. A review under way takes many times the memory of what it is about.
pub(super) enum PendingReview {
    Subscribe(u64, Subscribe),
    Renew(String, RequestId, Zeroizing<String>),
    Again(Option<String>, Zeroizing<String>),
    PodAddress(String, Arc<Caller>),
}

impl Session {
    /// Begins a review, or lets it wait for the others.
    pub(super) fn review(&mut self, it: PendingReview) {
        if self.reviews.len() >= MAX_REVIEWS {
            self.queued.push_back(it);
            return;
        }
        let (gateway, origin) = (Arc::clone(&self.gateway), self.origin.clone());
        let review = async move {
            match it {
                PendingReview::Subscribe(number, message) => {
                    let volume = message.subscription.clone();
                    let subscription = authenticate_pod::subscribe(&gateway, &origin, message).await;
                    ReviewOutcome::Subscribed(volume, number, subscription)
                }
                PendingReview::Renew(volume, id, token) => {
                    let request = authenticate_pod::authenticate_pod(&gateway, &origin, &token, id).await;
                    ReviewOutcome::Renewed(volume, end_of(&token), token, request)
                }
                PendingReview::Again(volume, token) => {
                    let caller = gateway.authenticator.review_again(&token).await;
                    ReviewOutcome::Again(volume, caller)
                }
                PendingReview::PodAddress(volume, caller) => {
                    let found = gateway.pods.address(&caller, &origin.node).await;
                    ReviewOutcome::PodAddress(volume, caller, found)
                }
            }
        };
        self.reviews.push(review.boxed());
    }

    /// Asks about the plugin's token, or the volume's that was reviewed longest ago, where that is long ago.
    /// One at a time: all nodes together have a pace.
    pub(super) fn review_again(&mut self) -> Result<(), Status> {
        let age = self.gateway.nodes.review_again();
        if self.again.is_some_and(|at| at.elapsed() < age) || !self.queued.is_empty() {
            return Ok(());
        }
        let plugin = (self.plugin.reviewed, None, self.plugin.token.clone());
        let view = self.view()?;
        let volume = view.to_review(age, 1).pop();
        let volume = volume.and_then(|volume| {
            let subscription = view.get(&volume)?;
            Some((subscription.reviewed, Some(volume), subscription.token.clone()))
        });
        let is_old = |reviewed: std::time::Instant| reviewed.elapsed() >= age;
        let oldest = [Some(plugin), volume].into_iter().flatten();
        let oldest = oldest.min_by_key(|(reviewed, ..)| *reviewed);
        let Some((_, volume, token)) = oldest.filter(|(reviewed, ..)| is_old(*reviewed)) else {
            return Ok(());
        };
        self.again = Some(Instant::now());
        self.review(PendingReview::Again(volume, token));
        Ok(())
    }

    /// Hears from now on when the node, or the pod or the ServiceAccount of its plugin, is gone.
    pub(super) fn hold_plugin(&self) {
        let node = HolderRef {
            kind: HolderKind::Node,
            namespace: String::new(),
            name: self.origin.node.clone(),
        };
        self.gateway.nodes.presence().hold(node, None, &self.ends);
        self.hold(&self.plugin.caller);
    }

    /// Hears from now on when the pod or its ServiceAccount is gone.
    fn hold(&self, caller: &Caller) {
        let Identity::ServiceAccount { namespace, name } = &caller.principal.identity else {
            return;
        };
        let place = |kind, name: &str| HolderRef {
            kind,
            namespace: namespace.clone(),
            name: name.to_owned(),
        };
        let presence = self.gateway.nodes.presence();
        presence.hold(place(HolderKind::ServiceAccount, name), None, &self.ends);
        if let Some((pod, uid)) = &caller.pod {
            presence.hold(place(HolderKind::Pod, pod), Some(uid), &self.ends);
        }
    }

    /// Takes in what became of a review.
    pub(super) async fn reviewed(&mut self, reviewed: ReviewOutcome) -> Result<(), Status> {
        if let ReviewOutcome::Subscribed(volume, number, _) = &reviewed {
            if self.asked.get(volume) != Some(number) {
                return Ok(());
            }
            self.asked.remove(volume);
        }
        match reviewed {
            ReviewOutcome::Subscribed(volume, _, Ok(subscription)) => {
                let caller = subscription.request.caller();
                let owner = VolumeOwner {
                    namespace: caller.principal.identity.namespace().unwrap_or_default(),
                    pod: caller
                        .pod
                        .as_ref()
                        .map(|(name, _)| name.as_str())
                        .unwrap_or_default(),
                    account: &caller.principal.identity.to_string(),
                };
                self.gateway
                    .consumers
                    .volumes()
                    .subscribed(&self.origin.node, &volume, owner);
                self.hold(subscription.request.caller());
                self.view()?.put(&volume, subscription);
            }
            ReviewOutcome::Subscribed(volume, _, Err(refused)) => {
                self.view()?.remove(&volume);
                self.gateway.metrics.delivery.refused(refused.record);
                self.say(ToNode::Denied(denied(&volume, None, refused))).await?;
            }
            ReviewOutcome::Again(volume, caller) => {
                self.again = None;
                let refused = match caller {
                    Ok(_) => false,
                    Err(problem) if problem.code() == Code::Unauthenticated => true,
                    // Nobody knows: it is asked again in a while.
                    Err(_) => return Ok(()),
                };
                let now = std::time::Instant::now();
                match (volume, refused) {
                    (None, false) => self.plugin.reviewed = now,
                    (None, true) => {
                        return Err(Status::unauthenticated(
                            "the plugin's token is no longer accepted",
                        ));
                    }
                    (Some(volume), true) => self.view()?.end(&volume),
                    (Some(volume), false) => {
                        if let Some(subscription) = self.view()?.get_mut(&volume) {
                            subscription.reviewed = now;
                        }
                    }
                }
            }
            ReviewOutcome::Renewed(volume, ends, token, Ok(request)) => {
                let view = self.view()?;
                if let Some(subscription) = view.get_mut(&volume) {
                    // A token of another pod is no newer token of this one.
                    if subscription.request.caller().pod == request.caller().pod {
                        subscription.request = request.continuing(subscription.request.id());
                        subscription.ends = ends;
                        subscription.token = token;
                        subscription.reviewed = std::time::Instant::now();
                        view.touch(&volume);
                    }
                }
            }
            ReviewOutcome::PodAddress(volume, caller, found) => {
                if let Err(why) = found {
                    self.publish_event(&volume, caller, PodEvent::NoAddress(why));
                }
                let address = found.map(|address| address.to_string()).unwrap_or_default();
                let subscription = volume;
                self.say(ToNode::PodAddress(PodAddress {
                    subscription,
                    address,
                }))
                .await?;
            }
            // The one that it has counts until its own end.
            ReviewOutcome::Renewed(volume, _, _, Err(refused)) => {
                tracing::debug!(volume, code = refused.record.as_str(), "token refused");
            }
        }
        Ok(())
    }
}
