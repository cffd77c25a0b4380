//! Writes the CA bundle that the API server has to trust into the APIService of the extension API, and, for
//! people to see, when the certificate expires.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use jiff::Timestamp;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use strongroom_api::process_report::CERTIFICATE_ENDS_ANNOTATION;

use crate::kube::field_manager;

/// The aggregated API of people.
pub(super) const API_SERVICE: &str = "v1.people.strongroom.dev";

/// How the APIService stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ApiServiceState {
    /// It says what to trust.
    UpToDate,
    /// There is none: at an installation it comes last.
    Absent,
    /// It leads to another Service: two installations of one cluster cannot both serve it.
    Elsewhere,
}

/// What is told: the authority that the certificate is of, PEM, and when the certificate ends.
#[derive(Clone, Debug)]
pub(super) struct ServedCertificate {
    pub(super) authority: String,
    pub(super) ends: Option<Timestamp>,
}

/// Tells it, where it does not know yet. `gateway`: what the gateway's clients trust.
///
/// # Errors
/// Those of the API server.
pub(super) async fn publish_ca_bundle(
    client: &Client,
    found: Option<&APIService>,
    (namespace, service): (&str, &str),
    own: &ServedCertificate,
    gateway: Option<&[u8]>,
) -> Result<ApiServiceState, kube::Error> {
    let Some(found) = found else {
        return Ok(ApiServiceState::Absent);
    };
    let spec = found.spec.clone().unwrap_or_default();
    let leads_here = spec
        .service
        .as_ref()
        .is_some_and(|to| to.name.as_deref() == Some(service) && to.namespace.as_deref() == Some(namespace));
    if !leads_here {
        return Ok(ApiServiceState::Elsewhere);
    }
    let trusted = spec.ca_bundle.map(|bundle| bundle.0).unwrap_or_default();
    let ends = own.ends.map(|ends| ends.to_string());
    let told = found.annotations().get(CERTIFICATE_ENDS_ANNOTATION);
    let new_end = ends.filter(|ends| told != Some(ends));
    let bundle = bundle(&own.authority, gateway, &trusted);
    if bundle.is_some() || new_end.is_some() {
        let mut patch = serde_json::Map::new();
        if let Some(bundle) = bundle {
            let spec = json!({"caBundle": BASE64.encode(bundle.as_bytes())});
            patch.insert("spec".to_owned(), spec);
        }
        if let Some(ends) = new_end {
            let metadata = json!({"annotations": {(CERTIFICATE_ENDS_ANNOTATION): ends}});
            patch.insert("metadata".to_owned(), metadata);
        }
        let params = PatchParams {
            field_manager: Some(field_manager::EXTENSION_API.to_owned()),
            ..PatchParams::default()
        };
        let api: Api<APIService> = Api::all(client.clone());
        api.patch(API_SERVICE, &params, &Patch::Merge(&patch)).await?;
        tracing::info!(
            api_service = API_SERVICE,
            "CA bundle and end of the certificate published"
        );
    }
    Ok(ApiServiceState::UpToDate)
}

/// What the API server has to trust; `None` where that is what it trusts.
///
/// A front of an earlier release serves by a certificate of the gateway's authority, and runs for a while
/// beside one that has an authority of its own: what of the gateway's is trusted already stays trusted until
/// it ends. Nothing else stays.
fn bundle(own: &str, gateway: Option<&[u8]>, trusted: &[u8]) -> Option<String> {
    let now = certificates(trusted);
    let mut bundle = own.to_owned();
    for block in gateway.map(blocks).into_iter().flatten() {
        if certificates(block.as_bytes()).is_subset(&now) {
            bundle.push_str(&block);
            bundle.push('\n');
        }
    }
    (certificates(bundle.as_bytes()) != now).then_some(bundle)
}

fn certificates(pem: &[u8]) -> BTreeSet<Vec<u8>> {
    CertificateDer::pem_slice_iter(pem)
        .flatten()
        .map(|certificate| certificate.to_vec())
        .collect()
}

/// The certificates of a PEM text of ours, each from its first to its last line.
fn blocks(pem: &[u8]) -> Vec<String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let pem = String::from_utf8_lossy(pem);
    let blocks = pem.split_inclusive(END).filter(|block| block.ends_with(END));
    blocks
        .filter_map(|block| block.get(block.find(BEGIN)?..))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::tls::Issuer;

    fn authority() -> String {
        Issuer::new(jiff::Timestamp::now()).bundle()
    }

    #[test]
    fn the_gateways_authority_is_trusted_on_where_it_was_and_nothing_else_is() {
        let [own, next, gateway, another] = [(); 4].map(|()| authority());
        let bundle = |own: &str, gateway: Option<&str>, trusted: &str| {
            super::bundle(own, gateway.map(str::as_bytes), trusted.as_bytes())
        };
        // A fresh installation.
        assert_eq!(bundle(&own, None, ""), Some(own.clone()));
        assert_eq!(bundle(&own, Some(&gateway), &own), None);
        // After a release in which the gateway made the certificate; the order does not matter, or two
        // replicas would write for ever.
        let both = bundle(&own, Some(&gateway), &gateway).unwrap();
        assert_eq!(
            certificates(both.as_bytes()),
            certificates(format!("{own}{gateway}").as_bytes())
        );
        assert_eq!(bundle(&own, Some(&gateway), &both), None);
        assert_eq!(bundle(&own, Some(&gateway), &format!("{gateway}{own}")), None);
        // The gateway has another authority now, or somebody added one.
        assert_eq!(bundle(&own, Some(&another), &both), Some(own.clone()));
        assert_eq!(
            bundle(&own, Some(&gateway), &format!("{both}{another}"))
                .map(|bundle| certificates(bundle.as_bytes())),
            Some(certificates(both.as_bytes()))
        );
        // The next one of our own.
        let two = format!("{own}{next}");
        assert_eq!(bundle(&two, None, &own), Some(two));
    }
}
