//! Asking a person: the ConfigMap `strongroom-deletions`, of keys `strongroom-key-deletions`, in our own
//! namespace lists the deletions that wait, and an annotation on it confirms them. It also holds what the
//! next process has to know of them. The owners are told by Events in their namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use strongroom_crds::annotation::CONFIRM;
use strongroom_rules::config_map::{ConfigMapOwner, owner_of};
use strongroom_rules::deletion::{Batch, PersistedLoss, SMALL_NAMESPACE, Wait, WaitingDeletions};

use super::kind::{DeletionCandidates, OwnedResource, OwnerKind};
use super::memory::{DeletionMemory, Listing};
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::kube::{EventMessage, EventReason, field_manager, in_words};

/// So many bytes of lines, and as many of what is remembered, fit into the 1 MiB of a ConfigMap; the number
/// beside them counts all.
const MAX_LIST_BYTES: usize = 400_000;
/// How often the owners are told again: an Event is kept for an hour.
const REMINDER_INTERVAL: SignedDuration = SignedDuration::from_mins(30);
/// Fields of the ConfigMap.
const BATCH: &str = "batch";
const COUNT: &str = "count";
const BATCHES: &str = "batches";
const DELETIONS: &str = "deletions";
const CONFIRM_WITH: &str = "confirm-with";
const STATE: &str = "state";

/// A `resourceVersion` that no object has: what is applied with it is made, and never written over what is
/// there.
const NO_VERSION: &str = "1";

fn api(ctx: &Ctx) -> Api<ConfigMap> {
    Api::namespaced(ctx.client.clone(), &ctx.options.own_namespace)
}

/// What we write of the ConfigMap, by which it is known as ours.
const OURS: [&[&str]; 3] = [&["data", BATCH], &["data", DELETIONS], &["data", STATE]];

fn is_ours(found: &ObjectMeta) -> bool {
    owner_of(found, &OURS) == ConfigMapOwner::Ours
}

/// The batch ids that are confirmed: one, or several with commas between them. In a ConfigMap of somebody
/// else nothing is.
pub(super) async fn read(ctx: &Ctx, kind: OwnerKind) -> Result<BTreeSet<String>, Failure> {
    let found = api(ctx).get_metadata_opt(kind.config_map()).await?;
    let found = found.filter(|found| is_ours(&found.metadata));
    let text = found.and_then(|found| found.annotations().get(CONFIRM).cloned());
    let ids = text.unwrap_or_default();
    Ok(ids
        .split([',', ' '])
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .collect())
}

/// Takes in what the process before left in the ConfigMap. Once is enough.
pub(super) async fn recall(ctx: &Ctx, memory: &mut DeletionMemory) -> Result<(), Failure> {
    if memory.published.is_some() {
        return Ok(());
    }
    let found = api(ctx).get_opt(memory.kind.config_map()).await?;
    let data = found
        .filter(|found| is_ours(&found.metadata))
        .and_then(|found| found.data);
    if let Some(data) = &data {
        let remembered = match data.get(STATE) {
            Some(state) => serde_json::from_str(state).unwrap_or_else(|error| {
                tracing::warn!(%error, "pending deletions unreadable, evaluated again");
                BTreeMap::new()
            }),
            None => of_one_batch(data),
        };
        memory.losses.remember(remembered);
    }
    memory.published =
        Some(data.map_or_else(|| listing(ctx, memory, &DeletionCandidates::default()), Listing));
    Ok(())
}

/// Reads the ConfigMap of an older version, which had one batch for all namespaces. Namespaces that may have
/// lost much go on waiting under the same id; the others are judged again, because the old format does not
/// say.
fn of_one_batch(data: &BTreeMap<String, String>) -> BTreeMap<String, PersistedLoss> {
    let mut remembered: BTreeMap<String, PersistedLoss> = BTreeMap::new();
    let (Some(batch), Some(lines)) = (data.get(BATCH), data.get(DELETIONS)) else {
        return remembered;
    };
    for line in lines.lines() {
        let mut words = line.split(' ');
        let place = words.next().and_then(|place| place.split_once('/'));
        let secret = words.next().and_then(|word| word.strip_prefix("secret="));
        let since = words.next().and_then(|word| word.strip_prefix("missing-since="));
        let (Some((namespace, _)), Some(secret), Some(Ok(since))) = (place, secret, since.map(str::parse))
        else {
            continue;
        };
        let loss = remembered
            .entry(namespace.to_owned())
            .or_insert_with(|| PersistedLoss {
                first: since,
                there: 0,
                wait: None,
            });
        loss.first = loss.first.min(since);
        loss.there += 1;
        let wait = loss.wait.get_or_insert_with(|| Wait {
            batch: batch.clone(),
            cluster: true,
            listed: BTreeSet::new(),
        });
        wait.listed.insert(secret.to_owned());
    }
    remembered.retain(|_, loss| loss.there * 2 > SMALL_NAMESPACE);
    remembered
}

/// Brings the ConfigMap in line with what waits, and tells of what is new.
pub(super) async fn publish(
    ctx: &Ctx,
    memory: &mut DeletionMemory,
    suspects: &DeletionCandidates,
    now: Timestamp,
) -> Result<(), Failure> {
    let batches = memory.losses.batches();
    let waiting = batches.iter().map(Batch::count).sum();
    ctx.metrics.deletions_wait(memory.kind.name(), waiting);
    let listing = listing(ctx, memory, suspects);
    if memory.published.as_ref() != Some(&listing)
        && let Some(written) = write(ctx, memory, &listing).await?
    {
        memory.published = Some(listing);
        for batch in &batches {
            if memory.told.insert((batch.id.clone(), None), now).is_none() {
                tell(ctx, memory.kind, batch, &written.object_ref(&())).await;
            }
        }
    }
    memory
        .told
        .retain(|(id, _), _| batches.iter().any(|batch| batch.id == *id));
    for batch in &batches {
        for (namespace, waiting) in &batch.namespaces {
            let told = (batch.id.clone(), Some(namespace.clone()));
            let last = memory.told.get(&told);
            if last.is_some_and(|last| now.duration_since(*last) < REMINDER_INTERVAL) {
                continue;
            }
            tell_owner(ctx, memory.kind, batch, namespace, waiting, suspects).await;
            memory.told.insert(told, now);
        }
    }
    Ok(())
}

/// Writes the ConfigMap, unless it is somebody else's: that stays as it is, and is told once.
async fn write(
    ctx: &Ctx,
    memory: &mut DeletionMemory,
    listing: &Listing,
) -> Result<Option<ConfigMap>, Failure> {
    let name = memory.kind.config_map();
    let found = api(ctx).get_metadata_opt(name).await?;
    if let Some(found) = &found
        && let ConfigMapOwner::Other { manager } = owner_of(&found.metadata, &OURS)
    {
        if !std::mem::replace(&mut memory.taken, true) {
            say_taken(ctx, name, &found.metadata, manager.as_deref()).await;
        }
        return Ok(None);
    }
    memory.taken = false;
    let version = found.and_then(|found| found.metadata.resource_version);
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        // In the state that was judged, or not at all.
        "metadata": {"name": name, "resourceVersion": version.as_deref().unwrap_or(NO_VERSION)},
        "data": &listing.0,
    });
    let params = PatchParams::apply(field_manager::CONTROLLERS).force();
    let written = api(ctx).patch(name, &params, &Patch::Apply(&object)).await?;
    Ok(Some(written))
}

/// The ConfigMap's name is taken, so that nobody can confirm.
async fn say_taken(ctx: &Ctx, name: &str, found: &ObjectMeta, manager: Option<&str>) {
    let namespace = &ctx.options.own_namespace;
    let of = manager.map_or_else(String::new, |manager| {
        format!(", written by field manager `{manager}`,")
    });
    let note = format!(
        "this ConfigMap{of} is not strongroom's, so it is left as it is; deletions that wait for a confirmation are listed nowhere and wait on. Give \
         it another name, and strongroom makes its own `{name}`"
    );
    tracing::warn!(
        namespace,
        name,
        manager,
        "ConfigMap owned by another manager, left unchanged"
    );
    let message = EventMessage::new(EventReason::NotOurs, "Write", note);
    let regarding = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("ConfigMap".to_owned()),
        namespace: Some(namespace.clone()),
        name: Some(name.to_owned()),
        uid: found.uid.clone(),
        ..ObjectReference::default()
    };
    ctx.events.tell(message, &regarding).await;
}

const fn warning(note: String) -> EventMessage {
    EventMessage::new(EventReason::DeletionsWaiting, "Confirm", note)
}

/// The administrators, who can confirm.
async fn tell(ctx: &Ctx, kind: OwnerKind, batch: &Batch, list: &ObjectReference) {
    let (id, count, help) = (&batch.id, batch.count(), command(ctx, kind, &batch.id));
    tracing::warn!(
        batch = id,
        count,
        namespaces = batch.namespaces.len(),
        command = help,
        "deletions wait for confirmation"
    );
    let event = warning(format!(
        "{count} {}s vanished at once. Nothing of them is deleted until somebody confirms batch {id} by annotation; applying the objects again \
         keeps what belongs to them",
        kind.name(),
    ));
    ctx.events.tell(event, list).await;
}

/// The people of a namespace, by an Event on the first object that is gone.
async fn tell_owner(
    ctx: &Ctx,
    kind: OwnerKind,
    batch: &Batch,
    namespace: &str,
    waiting: &WaitingDeletions,
    suspects: &DeletionCandidates,
) {
    let Some(owned) = suspects
        .owned
        .iter()
        .find(|owned| waiting.secrets.contains(&owned.id))
    else {
        return;
    };
    let about = ObjectReference {
        api_version: Some("strongroom.dev/v1alpha1".to_owned()),
        kind: Some(kind.name().to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(owned.object.name.clone()),
        uid: Some(owned.object.uid.to_string()),
        ..ObjectReference::default()
    };
    let why = if batch.namespaces.len() > 1 {
        format!("{} namespaces lost something at once", batch.namespaces.len())
    } else {
        "that is much at once".to_owned()
    };
    let event = warning(format!(
        "{} of {} {}s of this namespace are gone, and {why}: what belongs to them stays as it is until a cluster administrator confirms batch {} \
         on ConfigMap `{}` in namespace `{}`. To keep it, apply the objects again",
        waiting.secrets.len(),
        waiting.there,
        kind.name(),
        batch.id,
        kind.config_map(),
        ctx.options.own_namespace,
    ));
    if let Err(error) = ctx.events.publish(event, &about).await {
        // A namespace that is gone or going takes no Events, and has nobody to read them.
        tracing::debug!(error = %in_words(&error), namespace, "event publish failed");
    }
}

fn command(ctx: &Ctx, kind: OwnerKind, id: &str) -> String {
    let (name, namespace) = (kind.config_map(), &ctx.options.own_namespace);
    format!("kubectl annotate configmap {name} -n {namespace} --overwrite {CONFIRM}={id}")
}

/// What the ConfigMap has to say.
fn listing(ctx: &Ctx, memory: &DeletionMemory, suspects: &DeletionCandidates) -> Listing {
    let batches = memory.losses.batches();
    let ids: Vec<&str> = batches.iter().map(|batch| batch.id.as_str()).collect();
    let count: usize = batches.iter().map(Batch::count).sum();
    let commands: Vec<String> = ids.iter().map(|id| command(ctx, memory.kind, id)).collect();
    let (batch, confirm_with) = if ids.is_empty() {
        ("none".to_owned(), "nothing waits".to_owned())
    } else {
        (ids.join(","), commands.join("\n"))
    };
    let fields = [
        (BATCH, batch),
        (COUNT, count.to_string()),
        (BATCHES, summary(&batches)),
        (DELETIONS, lines(&batches, memory, suspects)),
        (CONFIRM_WITH, confirm_with),
        (STATE, state(memory)),
    ];
    Listing(
        fields
            .into_iter()
            .map(|(field, text)| (field.to_owned(), text))
            .collect(),
    )
}

/// One line a batch and namespace: how many wait of how many that were there when the first one went, and
/// when that was.
fn summary(batches: &[Batch]) -> String {
    let mut text = String::new();
    for batch in batches {
        for (namespace, waiting) in &batch.namespaces {
            if text.len() > MAX_LIST_BYTES / 4 {
                return text;
            }
            let (away, there, first) = (waiting.secrets.len(), waiting.there, seconds(waiting.first));
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{} namespace={namespace} waiting={away} of={there} first={first}",
                batch.id
            );
        }
    }
    text
}

/// One line a secret: namespace, object, secret id, since when, batch.
fn lines(batches: &[Batch], memory: &DeletionMemory, suspects: &DeletionCandidates) -> String {
    let mut text = String::new();
    let by_id: BTreeMap<&str, &OwnedResource> = suspects
        .owned
        .iter()
        .map(|owned| (owned.id.as_str(), owned))
        .collect();
    for batch in batches {
        for id in batch.namespaces.values().flat_map(|waiting| &waiting.secrets) {
            let (Some(owned), Some(since)) = (by_id.get(id.as_str()), memory.since.get(id)) else {
                continue;
            };
            if text.len() > MAX_LIST_BYTES {
                return text;
            }
            let _ = writeln!(
                text,
                "{}/{} secret={id} missing-since={} batch={}",
                owned.namespace,
                owned.object.name,
                seconds(*since),
                batch.id,
            );
        }
    }
    text
}

/// What the next process has to know. What does not fit is judged anew by it.
fn state(memory: &DeletionMemory) -> String {
    let mut bytes = 0;
    let remembered: BTreeMap<String, PersistedLoss> = memory
        .losses
        .to_remember()
        .into_iter()
        .take_while(|(namespace, loss)| {
            let listed = loss.wait.as_ref().map_or(0, |wait| wait.listed.len());
            bytes += namespace.len() + 160 + listed * 36;
            bytes <= MAX_LIST_BYTES
        })
        .collect();
    serde_json::to_string(&remembered).unwrap_or_default()
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
