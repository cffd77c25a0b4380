//! The Service that a certificate is for owns the Secret with it: where the Service goes, such as with
//! `people.enabled=false` or with the release, the cluster removes the Secret
//! (<https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/>).

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Client, ResourceExt};

/// Why the Secret of a certificate is not written.
#[derive(Debug, thiserror::Error)]
pub(in crate::gateway) enum CertificateSecretError {
    #[error(
        "Secret `{0}` exists and was not created by strongroom, so it is left as it is; delete it, and strongroom creates it"
    )]
    NotOurs(String),
    #[error("Service `{0}` does not exist, and the certificate is for it")]
    NoService(String),
}

/// The reference to that Service; none where it is not there, and then there is nothing to make a certificate
/// for.
///
/// # Errors
/// Those of the API server.
pub(in crate::gateway) async fn owner(
    client: &Client,
    namespace: &str,
    service: &str,
) -> Result<Option<OwnerReference>, kube::Error> {
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(service).await?;
    Ok(found.and_then(|found| {
        Some(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Service".to_owned(),
            name: service.to_owned(),
            uid: found.uid()?,
            ..OwnerReference::default()
        })
    }))
}

/// Whether the Secret is the Service's.
pub(in crate::gateway) fn owns(owner: &OwnerReference, secret: &Secret) -> bool {
    secret
        .owner_references()
        .iter()
        .any(|there| there.uid == owner.uid)
}
