//! Addresses that no name may stand for: who answers for a name would reach what only this machine, or its link, is meant to reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, if a granted name may not resolve to it. An address that is granted itself is not looked at here.
pub(super) fn unfit(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => unfit_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => unfit_v4(inner),
            None => unfit_v6(address),
        },
    }
}

fn unfit_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address {
        it if it.is_loopback() => "a loopback address",
        it if it.is_link_local() => "a link-local address",
        it if it.octets().starts_with(&[0]) => "an unspecified address",
        it if it.is_multicast() => "a multicast address",
        // 240.0.0.0/4 is reserved, and has the broadcast address.
        it if it.octets() >= [240, 0, 0, 0] => "a broadcast or reserved address",
        _ => return None,
    })
}

fn unfit_v6(address: Ipv6Addr) -> Option<&'static str> {
    Some(match address {
        it if it.is_loopback() => "a loopback address",
        it if it.is_unicast_link_local() => "a link-local address",
        it if it.is_unspecified() => "an unspecified address",
        it if it.is_multicast() => "a multicast address",
        _ => return None,
    })
}

/// The IPv4 address to which an IPv6 one leads: IPv4-compatible (RFC 4291), behind NAT64 (RFC 6052, RFC 8215), by 6to4 (RFC 3056), or by Teredo (RFC
/// 4380).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let joined = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    let [.., last_but_one, last] = segments;
    match segments {
        // `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => {
            Some(joined(last_but_one, last))
        }
        [0x2002, high, low, ..] => Some(joined(high, low)),
        [0x2001, 0, ..] => Some(joined(!last_but_one, !last)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn unfit_text(text: &str) -> Option<&'static str> {
        unfit(text.parse().unwrap())
    }

    #[test]
    fn addresses_of_this_machine_and_its_link_are_unfit_in_every_form() {
        for (text, what) in [
            ("127.0.0.1", "loopback"),
            ("127.255.0.9", "loopback"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::127.0.0.1", "loopback"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b:1::7f00:1", "loopback"),
            ("2002:7f00:1::", "loopback"),
            ("2001::80ff:fffe", "loopback"),
            ("169.254.169.254", "link-local"),
            ("::ffff:169.254.169.254", "link-local"),
            ("64:ff9b::a9fe:a9fe", "link-local"),
            ("fe80::1", "link-local"),
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("::", "unspecified"),
            ("::ffff:0.0.0.0", "unspecified"),
            ("224.0.0.1", "multicast"),
            ("ff02::1", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("240.0.0.1", "reserved"),
        ] {
            let found = unfit_text(text);
            assert!(
                found.is_some_and(|it| it.contains(what)),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn addresses_of_other_machines_are_fit() {
        for text in [
            "10.0.0.5",
            "192.168.1.2",
            "172.16.0.1",
            "8.8.8.8",
            "2001:db8::1",
            "fd00::5",
        ] {
            assert_eq!(unfit_text(text), None, "{text}");
        }
    }
}
