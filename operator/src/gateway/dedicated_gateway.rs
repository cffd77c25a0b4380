//! Dedicated gateways as the command line says them: `NAME=ADDRESS[,KEY=VALUE…]`. Must not open anything.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use rustls::pki_types::DnsName;
use strongroom_model::ProductCode;
use strongroom_model::name::NamespaceName;

use super::limits::Rates;
use super::listener_capacity::ListenerCapacity;
use super::listener_name::{ListenerName, ListenerNameError};

/// Between the parts of a value that is a list.
const LIST_SEPARATOR: char = '+';
/// Characters of what was written that an error shows.
const MAX_SHOWN: usize = 80;
/// Connections that a dedicated gateway may have room for.
const CONNECTIONS: RangeInclusive<u64> = 16..=65_536;
/// Requests at the same time that it may have room for.
const REQUESTS: RangeInclusive<u64> = 8..=8_192;

/// A gateway for some products alone: a port with limits of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DedicatedGateway {
    pub(crate) name: ListenerName,
    /// Address and port.
    pub(crate) listen: SocketAddr,
    /// The Service that leads there, in the process's own namespace: its names and addresses go into the
    /// certificate.
    pub(crate) service: Option<String>,
    /// More DNS names and addresses for the certificate.
    pub(crate) names: Vec<String>,
    /// Requests a second.
    pub(crate) rates: Rates,
    pub(crate) capacity: ListenerCapacity,
    /// The products that it is for; there is one at least.
    pub(crate) products: Vec<ProductCode>,
}

/// A text that says no dedicated gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DedicatedGatewayError {
    /// There is no `=`.
    #[error("write a name, an address and settings, as in `aigw=0.0.0.0:8453,products=aigw,totalRate=8000`")]
    Malformed,
    /// What stands before the first `=`.
    #[error(transparent)]
    Name(#[from] ListenerNameError),
    /// What stands behind it.
    #[error("`{0}` is not an address with a port; write one such as `0.0.0.0:8453` or `[::]:8453`")]
    Address(String),
    /// A setting without `=`.
    #[error("`{0}` has no value; write KEY=VALUE, and `+` between the parts of a list")]
    NoValue(String),
    /// No setting.
    #[error(
        "there is no setting `{0}`; use service, names, readRate, writeRate, totalRate, connections, requests or products"
    )]
    Unknown(String),
    /// Nothing would be served.
    #[error(
        "products is missing; write the codes of the products that the gateway is for, as in `products=aigw+pg`"
    )]
    NoProducts,
    /// A setting that is there already.
    #[error("`{0}` is set twice; write it once, with `+` between the parts of a list")]
    Repeated(String),
    /// What a setting cannot be.
    #[error("{key}: `{value}` is not valid; write {rule}")]
    Value {
        key: &'static str,
        value: String,
        rule: &'static str,
    },
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

impl FromStr for DedicatedGateway {
    type Err = DedicatedGatewayError;

    fn from_str(text: &str) -> Result<Self, DedicatedGatewayError> {
        let (name, rest) = text.split_once('=').ok_or(DedicatedGatewayError::Malformed)?;
        let (address, settings) = match rest.split_once(',') {
            Some((address, settings)) => (address, Some(settings)),
            None => (rest, None),
        };
        let mut gateway = Self {
            name: name.parse()?,
            listen: address
                .parse()
                .map_err(|_| DedicatedGatewayError::Address(shown(address)))?,
            service: None,
            names: Vec::new(),
            rates: Rates::DEFAULT,
            capacity: ListenerCapacity::DEDICATED,
            products: Vec::new(),
        };
        let mut keys = BTreeSet::new();
        for setting in settings.into_iter().flat_map(|settings| settings.split(',')) {
            let (key, value) = setting
                .split_once('=')
                .ok_or_else(|| DedicatedGatewayError::NoValue(shown(setting)))?;
            gateway.set(key, value)?;
            if !keys.insert(key) {
                return Err(DedicatedGatewayError::Repeated(shown(key)));
            }
        }
        if gateway.products.is_empty() {
            return Err(DedicatedGatewayError::NoProducts);
        }
        Ok(gateway)
    }
}

impl DedicatedGateway {
    fn set(&mut self, key: &str, value: &str) -> Result<(), DedicatedGatewayError> {
        match key {
            "service" => self.service = Some(service(value)?),
            "names" => self.names = list(value, name)?,
            "readRate" => self.rates.reads = rate("readRate", value)?,
            "writeRate" => self.rates.writes = rate("writeRate", value)?,
            "totalRate" => self.rates.all = rate("totalRate", value)?,
            "connections" => {
                self.capacity.connections =
                    number("connections", value, CONNECTIONS, "a number from 16 to 65536")?;
            }
            "requests" => {
                self.capacity.requests = number("requests", value, REQUESTS, "a number from 8 to 8192")?;
            }
            "products" => self.products = list(value, product)?,
            _ => return Err(DedicatedGatewayError::Unknown(shown(key))),
        }
        Ok(())
    }
}

fn invalid(key: &'static str, value: &str, rule: &'static str) -> DedicatedGatewayError {
    DedicatedGatewayError::Value {
        key,
        value: shown(value),
        rule,
    }
}

fn list<T>(
    value: &str,
    part: impl Fn(&str) -> Result<T, DedicatedGatewayError>,
) -> Result<Vec<T>, DedicatedGatewayError> {
    value.split(LIST_SEPARATOR).map(part).collect()
}

/// A DNS label (RFC 1123).
fn service(value: &str) -> Result<String, DedicatedGatewayError> {
    // A namespace's name is one.
    let rule = "up to 63 lower-case letters, digits and `-`, starting and ending with a letter or digit";
    if NamespaceName::is_legal(value) {
        Ok(value.to_owned())
    } else {
        Err(invalid("service", value, rule))
    }
}

/// The name of a SecretProduct.
fn product(value: &str) -> Result<ProductCode, DedicatedGatewayError> {
    let rule = "names of SecretProducts with `+` between them, as in `aigw+pg`; `strongroom` is none";
    value.parse().map_err(|_| invalid("products", value, rule))
}

/// What a certificate can be for: an address or a DNS name, whose first label may be `*`.
fn name(value: &str) -> Result<String, DedicatedGatewayError> {
    let is_address = value.parse::<IpAddr>().is_ok();
    if is_address || DnsName::try_from(value.strip_prefix("*.").unwrap_or(value)).is_ok() {
        Ok(value.to_owned())
    } else {
        let rule = "DNS names and addresses with `+` between them, as in `aigw.example.org+192.0.2.7`";
        Err(invalid("names", value, rule))
    }
}

fn rate(key: &'static str, value: &str) -> Result<u32, DedicatedGatewayError> {
    value
        .parse()
        .map_err(|_| invalid(key, value, "a number of requests per second; 0: no limit"))
}

fn number(
    key: &'static str,
    value: &str,
    range: RangeInclusive<u64>,
    rule: &'static str,
) -> Result<u64, DedicatedGatewayError> {
    let number = value.parse::<u64>().ok();
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| invalid(key, value, rule))
}

/// All dedicated gateways, each with a name of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct DedicatedGateways(Vec<DedicatedGateway>);

/// Two of them have one name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--gateway: two gateways have the name `{0}`; give each a name of its own")]
pub(crate) struct RepeatedGateway(ListenerName);

impl DedicatedGateways {
    /// # Errors
    /// [`RepeatedGateway`].
    pub(crate) fn new(gateways: Vec<DedicatedGateway>) -> Result<Self, RepeatedGateway> {
        let mut names = BTreeSet::new();
        match gateways.iter().find(|one| !names.insert(one.name.as_str())) {
            Some(repeated) => Err(RepeatedGateway(repeated.name.clone())),
            None => Ok(Self(gateways)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &DedicatedGateway> {
        self.0.iter()
    }

    /// The Services that lead to them, where they have one.
    pub(crate) fn services(&self) -> impl Iterator<Item = &String> {
        self.iter().filter_map(|gateway| gateway.service.as_ref())
    }

    /// What else they are called by.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.iter().flat_map(|gateway| &gateway.names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(text: &str) -> Result<DedicatedGateway, DedicatedGatewayError> {
        text.parse()
    }

    #[test]
    fn a_gateway_is_a_name_an_address_and_settings() {
        let full = gateway(
            "aigw=0.0.0.0:8453,service=strongroom-gateway-aigw,names=aigw.example.org+*.aigw.example.org+192.0.2.7+2001:db8::7,\
             readRate=2000,writeRate=0,totalRate=8000,connections=4096,requests=512,products=aigw+aigw-edge",
        )
        .unwrap();
        let expected = DedicatedGateway {
            name: "aigw".parse().unwrap(),
            listen: "0.0.0.0:8453".parse().unwrap(),
            service: Some("strongroom-gateway-aigw".to_owned()),
            names: [
                "aigw.example.org",
                "*.aigw.example.org",
                "192.0.2.7",
                "2001:db8::7",
            ]
            .map(str::to_owned)
            .to_vec(),
            rates: Rates {
                reads: 2_000,
                writes: 0,
                all: 8_000,
            },
            capacity: ListenerCapacity {
                connections: 4_096,
                requests: 512,
            },
            products: ["aigw", "aigw-edge"].map(|code| code.parse().unwrap()).to_vec(),
        };
        assert_eq!(full, expected);
        let plain = gateway("pg=[::]:8453,products=pg").unwrap();
        assert_eq!(
            plain,
            DedicatedGateway {
                name: "pg".parse().unwrap(),
                listen: "[::]:8453".parse().unwrap(),
                service: None,
                names: Vec::new(),
                rates: Rates::DEFAULT,
                capacity: ListenerCapacity::DEDICATED,
                products: vec!["pg".parse().unwrap()],
            }
        );
    }

    #[test]
    fn what_says_no_gateway_is_refused_with_what_to_write() {
        type Refused = DedicatedGatewayError;
        assert_eq!(gateway("aigw"), Err(Refused::Malformed));
        assert!(matches!(gateway("shared=[::]:1"), Err(Refused::Name(_))));
        for address in ["", "8453", "localhost:8453", "0.0.0.0"] {
            let refused = gateway(&format!("aigw={address},readRate=1"));
            assert_eq!(refused, Err(Refused::Address(address.to_owned())), "{address}");
        }
        let with = |settings: &str| gateway(&format!("aigw=[::]:1,{settings}"));
        for nothing in ["", "readRate", "names=a,b"] {
            assert!(matches!(with(nothing), Err(Refused::NoValue(_))), "{nothing}");
        }
        for unknown in ["read-rate=1", "ReadRate=1", " readRate=1", "=1"] {
            assert!(matches!(with(unknown), Err(Refused::Unknown(_))), "{unknown}");
        }
        assert_eq!(
            with("readRate=1,readRate=2"),
            Err(Refused::Repeated("readRate".to_owned()))
        );
        for wrong in [
            "service=",
            "service=Strongroom",
            "names=",
            "names=a+",
            "names=a b",
            "names=https://a",
            "readRate=",
            "readRate=-1",
            "writeRate=1.5",
            "totalRate=4294967296",
            "connections=15",
            "connections=65537",
            "requests=7",
            "requests=8193",
            "requests=many",
            "products=",
            "products=AIGW",
            "products=a+a!b",
            "products=strongroom",
        ] {
            let (key, value) = wrong.split_once('=').unwrap();
            let refused = with(wrong).unwrap_err();
            let Refused::Value { key: said, rule, .. } = &refused else {
                panic!("{wrong}: {refused:?}");
            };
            assert_eq!(*said, key, "{wrong}");
            let text = refused.to_string();
            assert!(text.contains(rule) && text.len() < 200, "{text}");
            assert!(value.is_empty() || text.contains('`'), "{text}");
        }
        for nothing in ["aigw=[::]:1", "aigw=[::]:1,readRate=1"] {
            assert_eq!(gateway(nothing), Err(Refused::NoProducts), "{nothing}");
        }
        let long = with(&format!("names={}", " ".repeat(1_000))).unwrap_err();
        assert!(long.to_string().len() < 300, "{long}");
    }

    #[test]
    fn each_gateway_has_a_name_of_its_own() {
        let named = |name: &str| gateway(&format!("{name}=127.0.0.1:0,products=pg")).unwrap();
        let two = DedicatedGateways::new(vec![named("aigw"), named("pg")]).unwrap();
        assert_eq!(two.iter().count(), 2);
        let called = |text: &str| DedicatedGateways::new(vec![gateway(text).unwrap()]).unwrap();
        let called = called("aigw=127.0.0.1:0,service=gw,names=a.example+192.0.2.7,products=aigw");
        assert_eq!(called.services().collect::<Vec<_>>(), ["gw"]);
        assert_eq!(called.names().collect::<Vec<_>>(), ["a.example", "192.0.2.7"]);
        let refused = DedicatedGateways::new(vec![named("aigw"), named("pg"), named("aigw")]).unwrap_err();
        assert!(refused.to_string().contains("`aigw`"), "{refused}");
    }
}
