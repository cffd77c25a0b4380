//! Ranges of addresses, as in `10.0.0.0/8`.

use std::net::IpAddr;

/// The addresses that have their first bits in common with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    address: IpAddr,
    bits: u8,
}

impl Range {
    /// One address, or those of a length of prefix without a leading zero, which Cedar refuses.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let Some(length) = length else {
            return Some(Self { address, bits: most });
        };
        let bits: u8 = length.parse().ok()?;
        (bits <= most && bits.to_string() == length).then_some(Self { address, bits })
    }

    /// Whether the address is among them. An IPv4 address inside an IPv6 one is an IPv4 address.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let differ = ours.to_bits() ^ theirs.to_bits();
                differ.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_what_begins_alike() {
        for (range, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "255.1.1.1", true),
            ("0.0.0.0/0", "::1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.2", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::/0", "fe00::1", true),
        ] {
            let parsed = Range::parse(range).unwrap();
            assert_eq!(
                parsed.has(address.parse().unwrap()),
                expected,
                "{range} {address}"
            );
        }
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/08",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/",
            "a/8",
        ] {
            assert_eq!(Range::parse(bad), None, "{bad}");
        }
    }
}
