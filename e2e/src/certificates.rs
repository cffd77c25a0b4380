//! The cluster's own authority, the certificates that it signs, and the key of service account tokens.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use crate::error::{ClusterError, trying};

fn certificate(error: impl std::fmt::Display) -> ClusterError {
    ClusterError::Certificate(error.to_string())
}

/// Signs certificates into one folder.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl Authority {
    /// A new one, whose certificate and key lie in files of this name.
    pub(crate) fn new(dir: &Path, file: &str) -> Result<Self, ClusterError> {
        let key = KeyPair::generate().map_err(certificate)?;
        let mut params = named(&format!("strongroom-cluster {file}"), None)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let signed = params.self_signed(&key).map_err(certificate)?;
        write(dir, &format!("{file}.crt"), signed.pem().as_bytes())?;
        // The controller manager signs what is asked of it by CertificateSigningRequest.
        write(dir, &format!("{file}.key"), key.serialize_pem().as_bytes())?;
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate: signed,
        })
    }

    /// The authority's own certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A client: its certificate and key, PEM.
    pub(crate) fn client(&self, name: &str, group: Option<&str>) -> Result<(String, String), ClusterError> {
        let mut params = named(name, group)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    /// A client, as a file pair.
    pub(crate) fn client_files(
        &self,
        dir: &Path,
        file: &str,
        group: Option<&str>,
    ) -> Result<(), ClusterError> {
        let (signed, key) = self.client(file, group)?;
        write(dir, &format!("{file}.crt"), signed.as_bytes())?;
        write(dir, &format!("{file}.key"), key.as_bytes())
    }

    /// A server at these names and addresses, as a file pair.
    pub(crate) fn server(
        &self,
        dir: &Path,
        file: &str,
        names: &[&str],
        addresses: &[IpAddr],
    ) -> Result<(), ClusterError> {
        let mut params = named(file, None)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            params
                .subject_alt_names
                .push(SanType::DnsName((*name).try_into().map_err(certificate)?));
        }
        params
            .subject_alt_names
            .extend(addresses.iter().copied().map(SanType::IpAddress));
        let (signed, key) = self.sign(&params)?;
        write(dir, &format!("{file}.crt"), signed.as_bytes())?;
        write(dir, &format!("{file}.key"), key.as_bytes())
    }

    fn sign(&self, params: &CertificateParams) -> Result<(String, String), ClusterError> {
        let key = KeyPair::generate().map_err(certificate)?;
        let signed = params.signed_by(&key, &self.issuer).map_err(certificate)?;
        Ok((signed.pem(), key.serialize_pem()))
    }
}

fn named(name: &str, group: Option<&str>) -> Result<CertificateParams, ClusterError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(certificate)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    Ok(params)
}

/// The pair that signs and verifies service account tokens (ES256).
pub(crate) fn token_keys(dir: &Path) -> Result<(), ClusterError> {
    let key = KeyPair::generate().map_err(certificate)?;
    write(dir, "sa.key", key.serialize_pem().as_bytes())?;
    write(dir, "sa.pub", key.public_key_pem().as_bytes())
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), ClusterError> {
    fs::write(dir.join(name), bytes).map_err(trying(format!("writing {name}")))
}
