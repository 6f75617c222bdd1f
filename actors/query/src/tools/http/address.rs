//! Which addresses may be reached. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// IPv4 networks that are not public, by the IANA registry of special-purpose addresses (RFC 6890), and
/// one public address at which a cloud answers its machines (Azure's WireServer).
const SPECIAL_4: [Ipv4Net; 16] = [
    net4([0, 0, 0, 0], 8),
    net4([10, 0, 0, 0], 8),
    net4([100, 64, 0, 0], 10),
    net4([127, 0, 0, 0], 8),
    net4([168, 63, 129, 16], 32),
    // Link-local, with the metadata services of most clouds.
    net4([169, 254, 0, 0], 16),
    net4([172, 16, 0, 0], 12),
    net4([192, 0, 0, 0], 24),
    net4([192, 0, 2, 0], 24),
    net4([192, 88, 99, 0], 24),
    net4([192, 168, 0, 0], 16),
    net4([198, 18, 0, 0], 15),
    net4([198, 51, 100, 0], 24),
    net4([203, 0, 113, 0], 24),
    net4([224, 0, 0, 0], 4),
    net4([240, 0, 0, 0], 4),
];

/// The IPv6 addresses that are given out to the public. Everything else, with loopback, unique local,
/// link-local, multicast, mapped and NAT64 addresses, lies outside.
const GLOBAL_6: Ipv6Net = net6([0x2000, 0, 0, 0], 3);

/// Networks within that are not public: protocol assignments with Teredo, documentation, 6to4.
const SPECIAL_6: [Ipv6Net; 4] = [
    net6([0x2001, 0, 0, 0], 23),
    net6([0x2001, 0xdb8, 0, 0], 32),
    net6([0x2002, 0, 0, 0], 16),
    net6([0x3fff, 0, 0, 0], 20),
];

const fn net4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn net6(beginning: [u16; 4], prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = beginning;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// Whether `address` may be reached: it is public, or in one of the networks that the operator allows.
/// An IPv4 address in IPv6 clothes counts as what it is.
pub(super) fn may_be_reached(address: IpAddr, allowed: &[IpNet]) -> bool {
    let address = address.to_canonical();
    if allowed.iter().any(|network| network.contains(&address)) {
        return true;
    }
    match address {
        IpAddr::V4(address) => !SPECIAL_4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_6.contains(&address)
                && !SPECIAL_6.iter().any(|network| network.contains(&address))
        }
    }
}

/// The address that a URL's host is, if it is none that must be looked up.
pub(super) fn of_host(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(address: &str, allowed: &[&str]) -> bool {
        let allowed: Vec<IpNet> = allowed.iter().map(|network| network.parse().unwrap()).collect();
        may_be_reached(address.parse().unwrap(), &allowed)
    }

    #[test]
    fn only_public_addresses_may_be_reached() {
        for public in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111"] {
            assert!(reached(public, &[]), "{public}");
        }
        let special = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "100::1",
        ];
        for address in special {
            assert!(!reached(address, &[]), "{address}");
        }
    }

    #[test]
    fn a_network_that_the_operator_allows_may_be_reached_in_any_clothes() {
        assert!(reached("10.1.2.3", &["10.1.0.0/16"]));
        assert!(reached("::ffff:10.1.2.3", &["10.1.0.0/16"]));
        assert!(!reached("10.2.2.3", &["10.1.0.0/16"]));
        assert!(reached("fd00::1", &["fd00::/8"]));
        assert!(!reached("127.0.0.1", &["10.1.0.0/16", "::/0"]));
    }
}
