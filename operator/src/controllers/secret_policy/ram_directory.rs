//! The directory by which principals of RAM are resolved: Namespaces and ServiceAccounts are watched, by
//! their metadata alone, from the first policy on that names such a principal. Policies that are for others
//! than before are put in force again, one after the other, by turns of their namespaces. Must not decide who
//! stands for whom.

use std::sync::Arc;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use strongroom_crds::v1alpha1::SecretPolicy;
use strongroom_process::WorkPool;
use strongroom_rules::ram_directory::{RamAliases, account_annotation};

use super::watch::off_thread;
use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::controllers::runtime::watch::logged;
use crate::kube::watch::{Selection, WatchChange, changes, watcher};
use crate::policies::RamPolicies;

/// Threads on which policies are put in force again.
const THREADS: usize = 2;

/// Keeps the directory, and has policies looked at that are in force anew, until it is dropped.
pub(in crate::controllers) async fn run(
    ctx: Arc<Ctx>,
    look_at: UnboundedSender<ObjectRef<CachedObject<SecretPolicy>>>,
) {
    ctx.policies.ram().first_policy().await;
    let all: Api<PartialObjectMeta<Namespace>> = Api::all(ctx.client.clone());
    let events = logged(Arc::clone(&ctx), "Namespace", watcher(all, Selection::metadata()));
    let namespaces = changes(events).for_each(|change| {
        namespace_changed(ctx.policies.ram(), &change);
        std::future::ready(())
    });
    let all: Api<PartialObjectMeta<ServiceAccount>> = Api::all(ctx.client.clone());
    let events = logged(
        Arc::clone(&ctx),
        "ServiceAccount",
        watcher(all, Selection::metadata()),
    );
    let service_accounts = changes(events).for_each(|change| {
        service_account_changed(ctx.policies.ram(), &change);
        std::future::ready(())
    });
    futures::future::join3(namespaces, service_accounts, resolve(&ctx, &look_at)).await;
}

pub(super) fn namespace_changed(ram: &RamPolicies, change: &WatchChange<PartialObjectMeta<Namespace>>) {
    match change {
        WatchChange::Applied { object, .. } => {
            let account = account_annotation(object.annotations());
            ram.change(|directory| directory.put_namespace(&object.name_any(), account));
        }
        WatchChange::Deleted(object) => {
            ram.change(|directory| directory.remove_namespace(&object.name_any()));
        }
        WatchChange::Listed(listed) => {
            ram.change(|directory| directory.retain_namespaces(|name| listed.contains("", name)));
            ram.namespaces_listed();
        }
    }
}

pub(super) fn service_account_changed(
    ram: &RamPolicies,
    change: &WatchChange<PartialObjectMeta<ServiceAccount>>,
) {
    let place = |object: &PartialObjectMeta<ServiceAccount>| {
        (object.namespace().unwrap_or_default(), object.name_any())
    };
    match change {
        WatchChange::Applied { object, .. } => {
            let (namespace, name) = place(object);
            let aliases = RamAliases::from_annotations(object.annotations());
            ram.change(|directory| directory.put_service_account(&namespace, &name, aliases));
        }
        WatchChange::Deleted(object) => {
            let (namespace, name) = place(object);
            ram.change(|directory| directory.remove_service_account(&namespace, &name));
        }
        WatchChange::Listed(listed) => {
            ram.change(|directory| {
                directory.retain_service_accounts(|namespace, name| listed.contains(namespace, name))
            });
            ram.service_accounts_listed();
        }
    }
}

/// Puts policies in force that are for others than before.
async fn resolve(ctx: &Ctx, look_at: &UnboundedSender<ObjectRef<CachedObject<SecretPolicy>>>) {
    let work = WorkPool::with_threads(THREADS);
    let mut last = String::new();
    loop {
        let Some((namespace, name)) = ctx.policies.ram().next_outdated(&last) else {
            ctx.policies.ram().outdated().await;
            continue;
        };
        let (policies, place) = (ctx.policies.clone(), (namespace.clone(), name.clone()));
        let again = move || policies.resolve_again(&place.0, &place.1);
        off_thread(&work, &namespace, again).await;
        // A closed channel means that the process ends.
        let _ = look_at.unbounded_send(ObjectRef::new(&name).within(&namespace));
        last = namespace;
    }
}
