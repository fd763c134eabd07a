//! Addresses that no name may stand for: who answers for a name would reach what only this machine, or its link, is meant to reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, if a granted name may not resolve to it. An address that is granted itself is not looked at here.
pub(super) fn unfit(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => unfit_v4(address),
        IpAddr::V6(address) => {
            let embedded = embedded(address);
            let inside = embedded.into_iter().flatten().find_map(unfit_v4);
            inside.or_else(|| unfit_v6(address))
        }
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

/// The IPv4 addresses to which an IPv6 one may lead: IPv4-compatible (RFC 4291) and translated ones (RFC 2765), behind NAT64 (RFC 6052, of
/// which RFC 8215 lets a network choose the form), by 6to4 (RFC 3056), Teredo (RFC 4380) or ISATAP (RFC 5214).
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 4] {
    let segments = address.segments();
    let octets = address.octets();
    let joined = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    let [.., last_but_one, last] = segments;
    let at_the_end = joined(last_but_one, last);
    let one = |address| [Some(address), None, None, None];
    match segments {
        // `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None; 4],
        [0, 0, 0, 0, 0 | 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, ..] => one(at_the_end),
        [0x64, 0xff9b, 1, ..] => {
            // Octet 8 is zero in all forms.
            let of = |places: [usize; 4]| {
                let octets = places.map(|it| octets.get(it).copied().unwrap_or_default());
                // The filler of the other forms.
                (octets[0] != 0).then(|| Ipv4Addr::from(octets))
            };
            let (long, middle, short) = ([6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12]);
            [of(long), of(middle), of(short), Some(at_the_end)]
        }
        [0x2002, high, low, ..] => one(joined(high, low)),
        [0x2001, 0, ..] => one(joined(!last_but_one, !last)),
        _ => [None; 4],
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
            ("::ffff:0:127.0.0.1", "loopback"),
            ("2001:db8::5efe:127.0.0.1", "loopback"),
            ("2001:db8::200:5efe:169.254.169.254", "link-local"),
            ("64:ff9b:1:7f00:0:100::", "loopback"),
            ("64:ff9b:1:1:7f:0:1::", "loopback"),
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
            "64:ff9b::10.0.0.5",
            "64:ff9b:1::10.0.0.5",
        ] {
            assert_eq!(unfit_text(text), None, "{text}");
        }
    }
}
