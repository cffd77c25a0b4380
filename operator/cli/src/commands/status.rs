//! `status`.

use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use strongroom_api::problem::Code;
use strongroom_api::v1::{StoreLimit, StoreUsage};
use strongroom_crds::v1alpha1::ManagedSecret;

use super::installation::{self, Installation};
use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Format, Output, Table, bytes, cell, field};

/// Shows whether Strongroom answers, and the state of the ManagedSecrets
///
/// Exits with code 1 if Strongroom cannot be reached, or if the claim of its store is not bound: then nothing
/// can be created, rotated or read over the API, even if the objects look ready. Also if scheduled backups
/// fail, are late or open with no recovery key, or the last drill failed. Checks that you have no rights for
/// are skipped.
///
/// Example: kubectl strongroom status --all-namespaces
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// In all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only those that are not ready
    #[arg(long)]
    not_ready: bool,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let kube_client = client.cluster.client.clone();
    let api: Api<ManagedSecret> = if arguments.all_namespaces {
        Api::all(kube_client)
    } else {
        Api::namespaced(kube_client, client.namespace())
    };
    let (answers, mut problems) = match client.list(&[("limit", "1".to_owned())]).await {
        Ok(_) => (
            format!("people.strongroom.dev answers at {}", client.cluster.server),
            Vec::new(),
        ),
        Err(error) if is_somebodys_answer(&error) => (error.to_string(), Vec::new()),
        Err(error) => (error.to_string(), vec![error.to_string()]),
    };
    let Installation {
        problems: of_installation,
        backups,
    } = installation::look(&client.cluster).await;
    problems.extend(of_installation);
    let objects = api
        .list(&ListParams::default())
        .await
        .map_err(|error| client.cluster.failure(error))?;
    let secrets: Vec<Value> = objects.iter().map(standing).collect();
    let ready = |secret: &&Value| field(secret, "ready") == "True";
    let number = secrets.iter().filter(ready).count();
    let held = client.audit_held_hours().await;
    let log = held.map_or_else(String::new, |hours| {
        format!("; at its present rate the audit log holds {}", length(hours))
    });
    let room = client.deleted(None).await.ok();
    let has = room.as_ref().map_or_else(String::new, |page| {
        has_of_store(client.namespace(), page.used, page.limit)
    });
    let saved = backups
        .as_ref()
        .and_then(|status| installation::backup_summary(status, jiff::Timestamp::now()))
        .unwrap_or_default();
    let summary = format!(
        "{} ManagedSecrets, {number} ready; {answers}{log}{has}{saved}",
        secrets.len()
    );
    let shown: Vec<&Value> = secrets
        .iter()
        .filter(|secret| !arguments.not_ready || !ready(secret))
        .collect();
    let room =
        room.map(|page| json!({"namespace": client.namespace(), "used": page.used, "limit": page.limit}));
    let answer = json!({
        "room": room, "server": client.cluster.server, "api": answers, "healthy": problems.is_empty(), "problems": problems,
        "managedSecrets": secrets.len(), "ready": number, "auditHeldHours": held, "backups": backups, "secrets": shown,
    });
    if out.format == Format::Table {
        out.tell(&answer, &summary)?;
    }
    if out.format != Format::Table || !shown.is_empty() {
        out.print(&answer, || {
            let mut table = Table::new(&[
                "NAMESPACE",
                "NAME",
                "READY",
                "REASON",
                "CURRENT",
                "LAST ROTATION",
                "NEXT ROTATION",
            ]);
            for secret in &shown {
                let fields = [
                    "namespace",
                    "name",
                    "ready",
                    "reason",
                    "current",
                    "lastRotation",
                    "nextRotation",
                ];
                table.row(fields.map(|name| cell(field(secret, name))).to_vec());
            }
            table
        })?;
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::Unwell(problems.join("\nerror: ")))
    }
}

/// What a namespace has of the store, for whoever may know.
fn has_of_store(namespace: &str, used: StoreUsage, limit: StoreLimit) -> String {
    let told = |used: u64, limit: Option<u64>, shown: fn(u64) -> String| {
        let used = shown(used);
        match limit {
            Some(most) => format!("{used} of {}", shown(most)),
            None => used,
        }
    };
    format!(
        "; {namespace} has {} secrets and {} in the store",
        told(used.secrets, limit.secrets, |count| count.to_string()),
        told(used.bytes, limit.bytes, bytes)
    )
}

/// Hours as people say them.
fn length(hours: f64) -> String {
    if hours >= 72.0 {
        format!("{:.0} days", (hours / 24.0).floor())
    } else {
        format!("{hours:.0} hours")
    }
}

/// Whether Strongroom, or the API server in front of it, answered, if only with a refusal of what was asked.
fn is_somebodys_answer(error: &Failure) -> bool {
    match error {
        Failure::Forbidden(_) => true,
        Failure::Refused(problem) => !matches!(
            Code::from_name(&problem.code),
            Some(
                Code::StoreUnavailable
                    | Code::StoreDamaged
                    | Code::StoreFull
                    | Code::AuditUnavailable
                    | Code::Timeout
                    | Code::PoliciesUnavailable
            )
        ),
        _ => false,
    }
}

fn standing(object: &ManagedSecret) -> Value {
    let status = serde_json::to_value(&object.status).unwrap_or_default();
    let conditions = field(&status, "conditions")
        .as_array()
        .cloned()
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| field(condition, "type") == "Ready")
        .cloned()
        .unwrap_or_default();
    json!({
        "namespace": object.namespace(), "name": object.name_any(),
        "ready": field(&ready, "status"), "reason": field(&ready, "reason"), "message": field(&ready, "message"),
        "current": field(field(&status, "stages"), "Current"),
        "lastRotation": field(&status, "lastRotation"), "nextRotation": field(&status, "nextRotation"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_told_with_its_end_where_it_has_one() {
        let used = StoreUsage {
            secrets: 12,
            bytes: 5_000,
        };
        let limit = StoreLimit {
            secrets: Some(10_000),
            bytes: Some(429_496_729),
        };
        assert_eq!(
            has_of_store("shop", used, limit),
            "; shop has 12 of 10000 secrets and 5000 bytes of 409 MiB in the store"
        );
        assert_eq!(
            has_of_store("shop", used, StoreLimit::default()),
            "; shop has 12 secrets and 5000 bytes in the store"
        );
    }

    #[test]
    fn hours_are_told_as_people_say_them() {
        for (hours, told) in [
            (0.2, "0 hours"),
            (71.9, "72 hours"),
            (72.0, "3 days"),
            (87_600.0, "3650 days"),
        ] {
            assert_eq!(length(hours), told);
        }
    }
}
