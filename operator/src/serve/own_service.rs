//! The namespace of the process, and the Service in front of it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::{Api, Client};

use crate::kube::in_words;

/// Tries before a Service that cannot be read is gone without.
const MAX_TRIES: u32 = 5;

/// The UID of the process's own namespace. Waits while the API server is away.
///
/// # Errors
/// The API server refuses.
pub(super) async fn own_namespace(client: &Client, name: &str) -> Result<String, Box<kube::Error>> {
    let api: Api<Namespace> = Api::all(client.clone());
    loop {
        match api.get_metadata(name).await {
            Ok(namespace) => return Ok(namespace.metadata.uid.unwrap_or_default()),
            Err(error @ kube::Error::Api(_)) => return Err(Box::new(error)),
            Err(error) => {
                tracing::warn!(name, error = %in_words(&error), "namespace lookup failed");
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
    }
}

/// The names and addresses of a Service
/// (<https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/>).
pub(super) async fn names(client: &Client, namespace: &str, service: &str) -> Vec<String> {
    let mut names = vec![
        service.to_owned(),
        format!("{service}.{namespace}"),
        format!("{service}.{namespace}.svc"),
        format!("{service}.{namespace}.svc.cluster.local"),
    ];
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    for attempt in 1..=MAX_TRIES {
        match api.get(service).await {
            Ok(service) => {
                let addresses = service.spec.and_then(|spec| spec.cluster_ips).unwrap_or_default();
                names.extend(addresses.into_iter().filter(|address| address != "None"));
                break;
            }
            Err(error) if attempt == MAX_TRIES => {
                tracing::warn!(service, error = %in_words(&error), "service lookup failed, certificate lacks its addresses");
            }
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
    names
}
