//! How much of the share of all unauthenticated clients one address may have. Some addresses stand for many
//! clients: a proxy, or a load balancer that hides the caller.

use std::net::IpAddr;
use std::str::FromStr;

/// Percent of what all addresses share that one may have, where nothing else is said.
const DEFAULT_PERCENT: u8 = 5;
/// An address of so many percent may have as much as is left.
const PERCENT_OF_WHAT_IS_LEFT: u64 = 20;

/// A network whose addresses may have another part each; written `192.0.2.0/24=20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressShare {
    network: IpAddr,
    prefix: u8,
    percent: u8,
}

/// Not an [`AddressShare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressShareError {
    /// No network, or no percentage.
    #[error("write a network and a percentage of 1 to 100, as in `192.0.2.0/24=20`")]
    Malformed,
}

impl FromStr for AddressShare {
    type Err = AddressShareError;

    fn from_str(text: &str) -> Result<Self, AddressShareError> {
        let malformed = AddressShareError::Malformed;
        let (network, percent) = text.trim().split_once('=').ok_or(malformed)?;
        let (address, prefix) = match network.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (network, None),
        };
        let network: IpAddr = address.parse().map_err(|_| malformed)?;
        let bits = if network.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), str::parse).map_err(|_| malformed)?;
        let percent = percent.parse().map_err(|_| malformed)?;
        if prefix > bits || !(1..=100).contains(&percent) {
            return Err(malformed);
        }
        Ok(Self {
            network,
            prefix,
            percent,
        })
    }
}

impl AddressShare {
    fn covers(&self, address: IpAddr) -> bool {
        let prefix = u32::from(self.prefix);
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(32 - prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.checked_shr(128 - prefix).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The parts of all addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct AddressShares(Vec<AddressShare>);

impl AddressShares {
    /// Of several networks that cover an address the one with the most counts.
    pub(crate) const fn new(shares: Vec<AddressShare>) -> Self {
        Self(shares)
    }

    /// Each address may have all.
    pub(crate) fn whole() -> Self {
        let every = |network: IpAddr| AddressShare {
            network,
            prefix: 0,
            percent: 100,
        };
        Self(vec![
            every(std::net::Ipv4Addr::UNSPECIFIED.into()),
            every(std::net::Ipv6Addr::UNSPECIFIED.into()),
        ])
    }

    fn percent_of(&self, address: IpAddr) -> u64 {
        let more = self.0.iter().filter(|share| share.covers(address));
        let percent = more.map(|share| share.percent).max().unwrap_or(DEFAULT_PERCENT);
        percent.into()
    }

    /// What this address may have of so much.
    pub(in crate::gateway) fn limit_of(&self, address: IpAddr, all: u64) -> u64 {
        (all.saturating_mul(self.percent_of(address)) / 100).max(1)
    }

    /// The same while so much of all is in use: the less is left, the less it may have, but for `least`. So
    /// twenty addresses of which each takes what it can leave something for those that come then.
    pub(in crate::gateway) fn limit_beside(
        &self,
        address: IpAddr,
        (all, in_use): (u64, u64),
        least: u64,
    ) -> u64 {
        let (own, percent) = (self.limit_of(address, all), self.percent_of(address));
        if percent >= 100 {
            return own;
        }
        let left = all.saturating_sub(in_use).saturating_mul(percent) / PERCENT_OF_WHAT_IS_LEFT;
        own.min(left.max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_five_percent_or_what_its_network_has() {
        let parsed = [
            "192.0.2.0/24=20",
            "192.0.2.7=100",
            "2001:db8::/32=50",
            "0.0.0.0/0=6",
        ];
        let shares = AddressShares::new(parsed.map(|text| text.parse().unwrap()).into());
        let of = |address: &str| shares.limit_of(address.parse().unwrap(), 1_000);
        assert_eq!(of("192.0.2.1"), 200);
        assert_eq!(of("192.0.2.7"), 1_000);
        assert_eq!(of("192.0.3.1"), 60);
        assert_eq!(of("2001:db8:1::1"), 500);
        assert_eq!(of("2001:db9::1"), 50);
        let none = AddressShares::default();
        assert_eq!(
            none.limit_of("192.0.2.1".parse().unwrap(), 64 << 20),
            (64 << 20) * 5 / 100
        );
        let beside =
            |in_use: u64, least: u64| none.limit_beside("192.0.2.1".parse().unwrap(), (1_000, in_use), least);
        assert_eq!(
            [0, 800, 960, 1_000].map(|in_use| beside(in_use, 1)),
            [50, 50, 10, 1]
        );
        assert_eq!((beside(960, 20), beside(0, 80)), (20, 50));
        let of_many = |address: &str| shares.limit_beside(address.parse().unwrap(), (1_000, 900), 1);
        assert_eq!(of_many("192.0.2.1"), 100);
        assert_eq!(of_many("192.0.2.7"), 1_000, "it may have all");
        for wrong in [
            "",
            "192.0.2.0/24",
            "192.0.2.0/33=1",
            "192.0.2.0/24=0",
            "192.0.2.0/24=101",
            "x=5",
            "::/129=5",
        ] {
            assert_eq!(
                wrong.parse::<AddressShare>(),
                Err(AddressShareError::Malformed),
                "{wrong}"
            );
        }
    }
}
