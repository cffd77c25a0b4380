//! Notifies pods that their volume has changed, each in a task of its own that nobody waits for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use strongroom_api::stream::proto::{NoticeOutcome, NoticeResult};
use strongroom_render::attributes::NotifyTarget;
use tokio::time::timeout;

use super::Plugin;
use crate::notice::{self, PostOutcome, Retries};
use crate::volumes::Volume;

/// How long to wait for the gateway to say where a pod is.
const POD_ADDRESS_TIMEOUT: Duration = Duration::from_secs(10);
/// Notices under way at the same time; more wait.
pub(super) const MAX_CONCURRENT_NOTICES: usize = 64;

impl Plugin {
    /// The files of a volume have changed.
    pub(super) fn notify_pod(&self, volume: &Arc<Volume>) {
        let Some(notify) = volume.attributes.notify.clone() else {
            return;
        };
        if !volume.notices.begin() {
            return;
        }
        let (plugin, volume) = (self.clone(), Arc::clone(volume));
        tokio::spawn(async move {
            loop {
                plugin.notice(&volume, &notify).await;
                if !volume.notices.finish() {
                    return;
                }
            }
        });
    }

    async fn notice(&self, volume: &Arc<Volume>, notify: &NotifyTarget) {
        let Ok(_permit) = self.noticing.acquire().await else {
            return;
        };
        let is_there = || {
            self.volumes
                .find(&volume.id)
                .is_some_and(|it| Arc::ptr_eq(&it, volume))
        };
        if !is_there() {
            return;
        }
        let mut tries = Retries::default();
        let word = loop {
            // An address may be another pod's by the next try.
            let address = match timeout(
                POD_ADDRESS_TIMEOUT,
                self.parts.subscriptions.pod_address(&volume.id),
            )
            .await
            {
                Err(_) | Ok(Err(_)) => break "no_gateway",
                Ok(Ok(address)) => address,
            };
            let Ok(address) = address.parse::<IpAddr>() else {
                // The gateway says why, in the pod's event.
                break "no_address";
            };
            let outcome = notice::post(address, notify).await;
            if tries.wait_for_retry(outcome).await {
                continue;
            }
            // Where it fails the process stops.
            let _ = self
                .parts
                .subscriptions
                .noticed(notice_report(&volume.id, notify, outcome))
                .await;
            break outcome.word();
        };
        self.parts.metrics.noticed(word);
    }
}

fn notice_report(volume: &str, notify: &NotifyTarget, outcome: PostOutcome) -> NoticeResult {
    let (outcome, status) = match outcome {
        PostOutcome::Delivered(status) => (NoticeOutcome::Delivered, status.as_u16()),
        PostOutcome::Refused => (NoticeOutcome::Refused, 0),
        PostOutcome::TimedOut => (NoticeOutcome::TimedOut, 0),
        PostOutcome::Status(status) => (NoticeOutcome::Status, status.as_u16()),
    };
    NoticeResult {
        subscription: volume.to_owned(),
        outcome: outcome.into(),
        port: u32::from(notify.port.get()),
        status: u32::from(status),
    }
}
