//! The certificate by which the extension API serves the API server: from a CA of its own, so that it answers
//! even if the gateway never came up. That CA signs nothing else, and only the API server trusts it. Pure: no
//! clock, no cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use zeroize::{Zeroize, Zeroizing};

use crate::gateway::tls::authority::{Authorities, LEAF_RENEW_BEFORE, validity};
use crate::gateway::tls::client_auth::root_store;
use crate::gateway::tls::{TlsError, certified_key};

/// Where the certificate and its key are in the Secret; the rest of it is the authority.
const CHAIN_KEY: &str = "tls.crt";
const PRIVATE_KEY_KEY: &str = "tls.key";

/// What the Secret holds.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct ServingCertificate {
    authorities: Authorities,
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl ServingCertificate {
    /// From the data of the Secret, whatever stands there: [`Self::advance`] judges it.
    pub(super) fn from_secret_data(data: BTreeMap<String, ByteString>) -> Self {
        let mut parts: BTreeMap<String, Zeroizing<Vec<u8>>> = data
            .into_iter()
            .map(|(key, bytes)| (key, Zeroizing::new(bytes.0)))
            .collect();
        let chain = parts
            .remove(CHAIN_KEY)
            .map(|chain| chain.to_vec())
            .unwrap_or_default();
        let key = parts.remove(PRIVATE_KEY_KEY).unwrap_or_default();
        Self {
            authorities: Authorities::from_parts(parts),
            chain,
            key,
        }
    }

    /// It as it should be at `now`, for a server of these names; `None` where it is. What cannot be served is
    /// made anew.
    ///
    /// # Errors
    /// [`TlsError::Make`]: no randomness.
    pub(super) fn advance(&self, names: &[String], now: Timestamp) -> Result<Option<Self>, TlsError> {
        let changed = self.authorities.advance(now, None)?;
        if changed.is_none() && self.serves(names, now) {
            return Ok(None);
        }
        let authorities = changed.unwrap_or_else(|| self.authorities.clone());
        let made = Self::signed(authorities, names, now);
        // An authority that cannot sign is none.
        let made = made.or_else(|_| {
            Self::signed(
                Authorities::default().advance(now, None)?.unwrap_or_default(),
                names,
                now,
            )
        });
        made.map(Some)
    }

    fn signed(authorities: Authorities, names: &[String], now: Timestamp) -> Result<Self, TlsError> {
        let leaf = authorities.leaf(names, now)?;
        Ok(Self {
            authorities,
            chain: leaf.chain,
            key: leaf.key,
        })
    }

    /// Whether clients that trust the authority take it for a server of these names, for long enough.
    fn serves(&self, names: &[String], now: Timestamp) -> bool {
        let fresh = self
            .end()
            .and_then(|end| end.checked_sub(LEAF_RENEW_BEFORE).ok())
            .is_some_and(|renew| now < renew);
        fresh
            && self
                .certified()
                .is_ok_and(|certified| names.iter().all(|name| self.verifies(&certified.cert, name, now)))
    }

    fn verifies(&self, chain: &[CertificateDer<'_>], name: &str, now: Timestamp) -> bool {
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().try_into().unwrap_or(0)));
        let verifier = root_store(self.trust().as_bytes())
            .ok()
            .and_then(|roots| WebPkiServerVerifier::builder(Arc::new(roots)).build().ok());
        let Some(((verifier, (own, others)), name)) = verifier
            .zip(chain.split_first())
            .zip(ServerName::try_from(name).ok())
        else {
            return false;
        };
        verifier.verify_server_cert(own, others, &name, &[], now).is_ok()
    }

    /// When it ends.
    pub(super) fn end(&self) -> Option<Timestamp> {
        validity(&self.chain).map(|(_, end)| end)
    }

    /// What the API server has to trust, PEM.
    pub(super) fn trust(&self) -> String {
        self.authorities.bundle()
    }

    /// What is served.
    ///
    /// # Errors
    /// [`TlsError::Malformed`].
    pub(super) fn certified(&self) -> Result<CertifiedKey, TlsError> {
        certified_key(&self.chain, &self.key)
    }

    /// The data of its Secret; to be wiped with [`wipe`].
    pub(super) fn data(&self) -> BTreeMap<String, ByteString> {
        let own = [(CHAIN_KEY, &self.chain), (PRIVATE_KEY_KEY, &*self.key)];
        let own = own.map(|(key, bytes)| (key.to_owned(), ByteString(bytes.clone())));
        let authorities = self.authorities.0.iter();
        own.into_iter()
            .chain(authorities.map(|(key, bytes)| (key.clone(), ByteString(bytes.to_vec()))))
            .collect()
    }
}

/// Wipes the data of a Secret that is not needed any more.
pub(super) fn wipe(data: Option<BTreeMap<String, ByteString>>) {
    for mut bytes in data.into_iter().flat_map(BTreeMap::into_values) {
        bytes.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        vec!["front.strongroom.svc".to_owned()]
    }

    fn days(days: i64) -> Timestamp {
        strongroom_testing::clock::after(days * 86_400)
    }

    fn anew(of: &ServingCertificate, day: i64) -> ServingCertificate {
        let made = of.advance(&names(), days(day)).unwrap().expect("it is made anew");
        assert!(made.advance(&names(), days(day)).unwrap().is_none());
        made
    }

    #[test]
    fn it_is_renewed_in_time_and_whoever_trusted_it_before_trusts_it_then() {
        let mut certificate = anew(&ServingCertificate::default(), 0);
        let mut renewed = 0;
        for day in 0..1500 {
            if let Some(after) = certificate.advance(&names(), days(day)).unwrap() {
                let chain = after.certified().unwrap().cert;
                assert!(certificate.verifies(&chain, &names()[0], days(day)), "day {day}");
                certificate = after;
                renewed += 1;
            }
        }
        assert!(renewed >= 1500 / 20, "{renewed}");
    }

    #[test]
    fn what_the_secret_holds_is_served_as_it_is_and_every_part_that_does_not_fit_is_made_anew() {
        let made = anew(&ServingCertificate::default(), 0);
        let same = ServingCertificate::from_secret_data(made.data());
        assert!(same == made && same.advance(&names(), days(0)).unwrap().is_none());
        let other = anew(&ServingCertificate::default(), 0);
        let (data, others) = (made.data(), other.data());
        for key in ["tls.crt", "tls.key", "ca.crt"] {
            for (what, bytes) in [
                ("gone", None),
                ("no PEM", Some(ByteString(b"mine".to_vec()))),
                ("of another one", Some(others[key].clone())),
            ] {
                let mut edited = data.clone();
                edited.remove(key);
                edited.extend(bytes.map(|bytes| (key.to_owned(), bytes)));
                let after = anew(&ServingCertificate::from_secret_data(edited), 0);
                assert!(after != made, "{key} {what}");
            }
        }
        // A pair that fits together, of an authority that is not this one.
        let mut edited = data.clone();
        for key in ["tls.crt", "tls.key"] {
            edited.insert(key.to_owned(), others[key].clone());
        }
        let after = anew(&ServingCertificate::from_secret_data(edited), 0);
        assert_eq!(after.trust(), made.trust());
        // Another name of the Service.
        let moved = ["front.elsewhere.svc".to_owned()];
        assert!(made.advance(&moved, days(0)).unwrap().is_some());
        // What else somebody wrote does not reach the API server.
        let mut edited = data;
        edited.insert("next.crt".to_owned(), ByteString(b"mine".to_vec()));
        assert_eq!(ServingCertificate::from_secret_data(edited).trust(), made.trust());
    }
}
