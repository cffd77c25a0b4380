//! Asking a person: the ConfigMap `strongroom-deletions`, of keys `strongroom-key-deletions`, in our own namespace lists what waits, and an annotation on it confirms.

use std::fmt::Write;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use strongroom_crds::annotation::CONFIRM;
use strongroom_rules::absence::{Batch, Facts};

use super::Memory;
use super::kind::Kind;
use crate::controllers::Ctx;
use crate::controllers::managed_secret::Failure;
use crate::controllers::report::FIELD_MANAGER;
use crate::controllers::store::SecretStore;
use crate::kube_error::in_words;

/// So many lines fit well into the 1 MiB of a ConfigMap; the number above them counts all.
const LINES: usize = 3000;

/// The conversation with the person.
pub(super) struct Confirmation;

impl Confirmation {
    fn api<S: SecretStore>(ctx: &Ctx<S>) -> Api<ConfigMap> {
        Api::namespaced(ctx.client.clone(), &ctx.options.own_namespace)
    }

    /// The batch id that was confirmed last.
    pub(super) async fn read<S: SecretStore>(ctx: &Ctx<S>, kind: Kind) -> Result<Option<String>, Failure> {
        let found = Self::api(ctx).get_metadata_opt(kind.config_map()).await?;
        Ok(found.and_then(|found| found.annotations().get(CONFIRM).cloned()))
    }

    /// Publishes what waits, once for each batch.
    pub(super) async fn ask<S: SecretStore>(
        ctx: &Ctx<S>,
        memory: &mut Memory,
        facts: &Facts,
        batch: Batch,
    ) -> Result<(), Failure> {
        if memory.asked.as_ref() == Some(&batch) {
            return Ok(());
        }
        let count = batch.secrets.len();
        let help = format!(
            "kubectl annotate configmap {} -n {} --overwrite {CONFIRM}={}",
            memory.kind.config_map(),
            ctx.options.own_namespace,
            batch.id
        );
        let written = Self::write(ctx, memory.kind, &batch.id, count, &lines(facts, &batch), &help).await?;
        ctx.metrics.deletions_wait(memory.kind.name(), count);
        tracing::warn!(
            batch = batch.id,
            count,
            "much vanished at once; deletions wait for confirmation: {help}"
        );
        let note = format!(
            "{count} {}s vanished at once. Nothing is deleted until somebody confirms batch {} by annotation; applying the objects \
             again keeps what belongs to them",
            memory.kind.name(),
            batch.id
        );
        let event = Event {
            type_: EventType::Warning,
            reason: "DeletionsWaiting".to_owned(),
            note: Some(note),
            action: "Confirm".to_owned(),
            secondary: None,
        };
        if let Err(error) = ctx.recorder.publish(&event, &written.object_ref(&())).await {
            tracing::warn!(error = %in_words(&error), "failed to publish an event");
        }
        memory.asked = Some(batch);
        Ok(())
    }

    /// Says that nothing waits any more.
    pub(super) async fn clear<S: SecretStore>(ctx: &Ctx<S>, memory: &mut Memory) -> Result<(), Failure> {
        if memory.asked.is_none() {
            return Ok(());
        }
        Self::write(ctx, memory.kind, "none", 0, "", "nothing waits").await?;
        ctx.metrics.deletions_wait(memory.kind.name(), 0);
        memory.asked = None;
        Ok(())
    }

    async fn write<S: SecretStore>(
        ctx: &Ctx<S>,
        kind: Kind,
        batch: &str,
        count: usize,
        lines: &str,
        help: &str,
    ) -> Result<ConfigMap, Failure> {
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": kind.config_map()},
            "data": {"batch": batch, "count": count.to_string(), "deletions": lines, "confirm-with": help},
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        Ok(Self::api(ctx)
            .patch(kind.config_map(), &params, &Patch::Apply(&object))
            .await?)
    }
}

/// One line a secret: namespace, object, secret id, since when.
fn lines(facts: &Facts, batch: &Batch) -> String {
    let mut text = String::new();
    let waiting = facts
        .missing
        .iter()
        .filter(|missing| batch.secrets.contains(&missing.secret));
    for missing in waiting.take(LINES) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}/{} secret={} missing-since={}",
            missing.namespace,
            missing.object,
            missing.secret,
            missing.since.strftime("%Y-%m-%dT%H:%M:%SZ"),
        );
    }
    text
}
