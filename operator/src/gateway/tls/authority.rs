//! The CA that signs the gateway's certificates, and how it is replaced without an interruption. Pure: no
//! clock, no store.
//!
//! Long before an authority ends, the *next* one is made and shown in the bundle. Only when every client had
//! time to read that does it sign; the one before stays in the bundle until it ends.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use strongroom_crds::v1alpha1::{CertificateAuthority, KeySource, ManagedCertificateAuthority, X509Source};
use strongroom_rules::generate::{self, Authority, BACKDATE_SECONDS, GenerateContext, PreviousValue};
use strongroom_rules::value::Value;
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use super::TlsError;
use crate::trust_anchors::roots_from_pem;

/// Days that an authority is valid.
const CA_VALID_DAYS: u16 = 730;
/// How long before the end of an authority the next one is made.
const NEXT_CA_LEAD_TIME: SignedDuration = SignedDuration::from_hours(180 * 24);
/// How long the next one is shown before it signs.
const NEXT_CA_SHOWN_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Days that the gateway's certificate is valid.
const LEAF_VALID_DAYS: u16 = 30;
/// How long before its end it is made again.
pub(in crate::gateway) const LEAF_RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(10 * 24);

/// Keys of the value in which the authorities are kept.
const CURRENT: &str = "ca";
const NEXT: &str = "next";
const PREVIOUS: &str = "previous.crt";

/// PEM texts by key of the value.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::gateway) struct Authorities(pub(in crate::gateway) BTreeMap<String, Zeroizing<Vec<u8>>>);

/// A certificate with its key, in PEM, and its end.
pub(in crate::gateway) struct Leaf {
    pub(in crate::gateway) chain: Vec<u8>,
    pub(in crate::gateway) key: Zeroizing<Vec<u8>>,
    pub(in crate::gateway) renew: Timestamp,
}

impl Authorities {
    /// Those that can be read, of parts that somebody may have edited.
    pub(in crate::gateway) fn from_parts(parts: BTreeMap<String, Zeroizing<Vec<u8>>>) -> Self {
        let mut it = Self(parts);
        let readable = |pem: &Zeroizing<Vec<u8>>| {
            validity(pem).is_some() && roots_from_pem(pem).is_ok_and(|roots| roots.len() == 1)
        };
        for name in [CURRENT, NEXT] {
            if !it.0.get(&certificate(name)).is_some_and(readable) {
                it.0.remove(&certificate(name));
                it.0.remove(&private(name));
            }
        }
        if !it.0.get(PREVIOUS).is_some_and(readable) {
            it.0.remove(PREVIOUS);
        }
        it
    }

    /// The authorities as they should be at `now`; `None` where they are.
    ///
    /// Somebody who had the store's former root key could sign with a CA from before the rekey. So such a CA
    /// is replaced at once, and trusted only until clients have read the new bundle.
    pub(in crate::gateway) fn advance(
        &self,
        now: Timestamp,
        rekeyed: Option<Timestamp>,
    ) -> Result<Option<Self>, TlsError> {
        let mut after = self.clone();
        let leaked = |from: Timestamp| {
            let made = from.as_second() + BACKDATE_SECONDS;
            rekeyed.is_some_and(|rekeyed| made <= rekeyed.as_second())
        };
        if after
            .validity(&certificate(NEXT))
            .is_some_and(|(from, _)| leaked(from))
        {
            after.0.remove(&certificate(NEXT));
            after.0.remove(&private(NEXT));
        }
        let current = self.validity(&certificate(CURRENT));
        match current {
            None => after.make(CURRENT, now)?,
            Some((_, end)) if now >= end => {
                // Nobody was there for months. What was shown and has not ended is trusted by somebody, a new
                // one by nobody.
                if after
                    .validity(&certificate(NEXT))
                    .is_some_and(|(_, end)| now < end)
                {
                    after.promote();
                } else {
                    after.make(CURRENT, now)?;
                }
            }
            Some((made, end)) => match after.validity(&certificate(NEXT)) {
                None if end.duration_since(now) <= NEXT_CA_LEAD_TIME || leaked(made) => {
                    after.make(NEXT, now)?;
                }
                Some((from, _)) if now.duration_since(from) >= NEXT_CA_SHOWN_FOR => after.promote(),
                None | Some(_) => {}
            },
        }
        let replaced = after.validity(&certificate(CURRENT)).map(|(from, _)| from);
        let known = replaced.is_some_and(|from| now.duration_since(from) >= NEXT_CA_SHOWN_FOR * 2);
        let trusted = |(from, end): (Timestamp, Timestamp)| now < end && !(leaked(from) && known);
        if !after.validity(PREVIOUS).is_some_and(trusted) {
            after.0.remove(PREVIOUS);
        }
        Ok((after != *self).then_some(after))
    }

    /// What clients trust: every authority that signs, did or will.
    pub(in crate::gateway) fn bundle(&self) -> String {
        let mut bundle = String::new();
        for key in [PREVIOUS, &certificate(CURRENT), &certificate(NEXT)] {
            if let Some(pem) = self.0.get(key) {
                bundle.push_str(&String::from_utf8_lossy(pem));
            }
        }
        bundle
    }

    /// A certificate for these names, signed by the current authority.
    pub(in crate::gateway) fn leaf(&self, names: &[String], now: Timestamp) -> Result<Leaf, TlsError> {
        let mut value = Value::new();
        for key in [private(CURRENT), certificate(CURRENT)] {
            if let Some(pem) = self.0.get(&key) {
                value.insert(key, pem.to_vec());
            }
        }
        let authority =
            Authority::from_value(&value, CURRENT).map_err(|error| TlsError::Make(error.to_string()))?;
        let (addresses, names): (Vec<String>, Vec<String>) = names
            .iter()
            .cloned()
            .partition(|name| name.parse::<std::net::IpAddr>().is_ok());
        let source = X509Source {
            common_name: Some("strongroom".to_owned()),
            dns_names: names,
            ip_addresses: addresses,
            valid_for: Some(strongroom_crds::period::Period::days(LEAF_VALID_DAYS)),
            renew_before: None,
            usages: None,
            ca: Some(CertificateAuthority::ManagedSecret(ManagedCertificateAuthority {
                name: CURRENT.to_owned(),
                key: None,
            })),
            is_ca: None,
            key_algorithm: None,
        };
        let made = make("leaf", source, Some(&authority), now)?;
        let part = |key: &str| {
            made.key(key)
                .map(|bytes| bytes.expose().to_vec())
                .unwrap_or_default()
        };
        let chain = part("leaf.crt");
        let (_, end) =
            validity(&chain).ok_or_else(|| TlsError::Make("its validity cannot be read".to_owned()))?;
        Ok(Leaf {
            chain,
            key: Zeroizing::new(part("leaf.key")),
            renew: end.checked_sub(LEAF_RENEW_BEFORE).unwrap_or(now),
        })
    }

    fn make(&mut self, name: &str, now: Timestamp) -> Result<(), TlsError> {
        let source = X509Source {
            common_name: Some(format!("strongroom authority of {}", now.strftime("%Y-%m-%d"))),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            valid_for: Some(strongroom_crds::period::Period::days(CA_VALID_DAYS)),
            renew_before: None,
            usages: None,
            ca: None,
            is_ca: Some(true),
            key_algorithm: None,
        };
        let made = make(name, source, None, now)?;
        for key in [private(name), certificate(name)] {
            let bytes = made
                .key(&key)
                .ok_or_else(|| TlsError::Make(format!("no `{key}` was made")))?;
            self.0.insert(key, Zeroizing::new(bytes.expose().to_vec()));
        }
        Ok(())
    }

    /// The next one becomes the current one.
    fn promote(&mut self) {
        if let Some(pem) = self.0.remove(&certificate(CURRENT)) {
            self.0.insert(PREVIOUS.to_owned(), pem);
        }
        for part in [private, certificate] {
            if let Some(pem) = self.0.remove(&part(NEXT)) {
                self.0.insert(part(CURRENT), pem);
            }
        }
    }

    fn validity(&self, key: &str) -> Option<(Timestamp, Timestamp)> {
        validity(self.0.get(key)?)
    }
}

fn certificate(name: &str) -> String {
    format!("{name}.crt")
}

fn private(name: &str) -> String {
    format!("{name}.key")
}

fn make(
    name: &str,
    source: X509Source,
    authority: Option<&Authority>,
    now: Timestamp,
) -> Result<Value, TlsError> {
    let mut random = generate::random::system().map_err(|error| TlsError::Make(error.to_string()))?;
    let environment = GenerateContext {
        now,
        authority,
        replaces: PreviousValue::Nothing,
        ssh_auth: false,
    };
    let (name, source) = (name.to_owned(), KeySource::X509(source));
    generate::generate([(&name, &source)], &environment, &mut random)
        .map_err(|error| TlsError::Make(error.to_string()))
}

/// From when to when the first certificate of a PEM text is valid.
pub(in crate::gateway) fn validity(pem: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let pem = Pem::iter_from_buffer(pem).next()?.ok()?;
    let validity = pem.parse_x509().ok()?.validity().clone();
    let time = |seconds: i64| Timestamp::from_second(seconds).ok();
    Some((
        time(validity.not_before.timestamp())?,
        time(validity.not_after.timestamp())?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: i64) -> Timestamp {
        strongroom_testing::clock::after(days * 86_400)
    }

    fn count(bundle: &str) -> usize {
        bundle.matches("BEGIN CERTIFICATE").count()
    }

    #[test]
    fn one_authority_follows_another_with_both_in_the_bundle() {
        let mut authorities = Authorities::default();
        let mut changes = Vec::new();
        for day in 0..1500 {
            if let Some(after) = authorities.advance(days(day), None).unwrap() {
                // Whoever trusted the bundle before trusts what signs now.
                let before = authorities.bundle();
                let leaf = after
                    .leaf(&["a.example".to_owned(), "10.0.0.1".to_owned()], days(day))
                    .unwrap();
                assert!(!leaf.chain.is_empty() && leaf.renew > days(day + 15));
                let signs = String::from_utf8_lossy(&after.0["ca.crt"]).into_owned();
                assert!(day == 0 || before.contains(&signs), "day {day}");
                authorities = after;
                changes.push((day, count(&authorities.bundle())));
            }
        }
        // Made, next shown, next signs, the first one ends, and so on.
        let expected = [
            (0, 1),
            (550, 2),
            (557, 2),
            (730, 1),
            (1100, 2),
            (1107, 2),
            (1280, 1),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn an_authority_that_is_older_than_the_root_key_gets_a_successor_with_overlap() {
        // On day 551 the next one is shown; its key leaks with the other.
        for leak in [10, 551] {
            let mut authorities = Authorities::default();
            let mut changes = Vec::new();
            let mut before = String::new();
            for day in 0..700 {
                let rekeyed = (day >= leak).then(|| days(leak) - SignedDuration::from_secs(1));
                if day == leak {
                    before = authorities.bundle();
                }
                if let Some(after) = authorities.advance(days(day), rekeyed).unwrap() {
                    let signs = String::from_utf8_lossy(&after.0["ca.crt"]).into_owned();
                    assert!(day == 0 || authorities.bundle().contains(&signs), "day {day}");
                    authorities = after;
                    changes.push(day);
                }
            }
            let since: Vec<i64> = changes.into_iter().filter(|day| *day >= leak).collect();
            assert_eq!(since[..3], [leak, leak + 7, leak + 14], "made, signs, and alone");
            let now = authorities.bundle();
            let trusted = now.split_inclusive("-----END CERTIFICATE-----\n");
            assert!(trusted.clone().count() >= 1);
            for certificate in trusted {
                assert!(!before.contains(certificate), "trusted since day {leak}");
            }
        }
    }

    #[test]
    fn an_authority_that_ended_unseen_is_made_anew() {
        let first = Authorities::default().advance(days(0), None).unwrap().unwrap();
        let later = first.advance(days(1000), None).unwrap().unwrap();
        assert_ne!(first.bundle(), later.bundle());
        assert_eq!(count(&later.bundle()), 1);
        let shown = first.advance(days(700), None).unwrap().unwrap();
        assert_eq!(count(&shown.bundle()), 2);
        let promoted = shown.advance(days(1000), None).unwrap().unwrap();
        assert!(shown.bundle().contains(&promoted.bundle()));
    }
}
