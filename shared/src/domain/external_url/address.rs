//! Which addresses are of the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Every block of the IANA IPv4 Special-Purpose Address Registry, multicast (224/4) and the reserved rest (240/4), also
/// the few that are reachable from everywhere (AS112, AMT, PCP anycast): no file is served there.
const V4_CLOSED: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),       // this network
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // shared, carrier-grade NAT
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local, cloud metadata
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // IETF protocol assignments, Oracle metadata
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 31, 196, 0], 24), // AS112
    ([192, 52, 193, 0], 24), // AMT
    ([192, 88, 99, 0], 24),  // 6to4 relay, deprecated
    ([192, 168, 0, 0], 16),  // private
    ([192, 175, 48, 0], 24), // AS112
    ([198, 18, 0, 0], 15),   // benchmarking
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, limited broadcast
    // Not in the registry, yet never of the outside: the host agent of Azure, in an otherwise public block.
    ([168, 63, 129, 16], 32),
];

/// What `allow_private` opens.
const V4_PRIVATE: &[([u8; 4], u32)] = &[
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([172, 16, 0, 0], 12),
    ([192, 168, 0, 0], 16),
];

/// What stays closed inside of that: the metadata service of Alibaba Cloud.
const V4_NEVER: &[([u8; 4], u32)] = &[([100, 100, 100, 200], 32)];

/// Global unicast is `2000::/3` alone; so `::/8` (loopback, IPv4-mapped and -compatible), NAT64 (`64:ff9b::/96` and
/// `64:ff9b:1::/48`), discard-only, segment routing, unique local, link-local, site-local and multicast are out already.
/// Of the inside of `2000::/3` the IANA IPv6 Special-Purpose Address Registry closes these.
const V6_CLOSED: &[([u16; 8], u32)] = &[
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), // IETF protocol assignments: Teredo, benchmarking, ORCHID, AMT, AS112, DET
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), // 6to4
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48), // AS112
    ([0x3ffe, 0, 0, 0, 0, 0, 0, 0], 16), // 6bone, returned
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), // documentation
];

/// What `allow_private` opens: loopback and unique local.
const V6_PRIVATE: &[([u16; 8], u32)] = &[([0, 0, 0, 0, 0, 0, 0, 1], 128), ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7)];

/// What stays closed inside of that: the instance services of EC2 and of Google Cloud.
const V6_NEVER: &[([u16; 8], u32)] =
    &[([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32), ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0], 32)];

/// Whether a connection to this address may be made: global unicast, and with `allow_private` also private and loopback
/// addresses; never link-local ones or those of a cloud's metadata.
///
/// An IPv6 address that carries an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo) is refused whatever it carries.
pub fn address_allowed(address: IpAddr, allow_private: bool) -> bool {
    match address {
        IpAddr::V4(v4) => v4_allowed(v4, allow_private),
        IpAddr::V6(v6) => v6_allowed(v6, allow_private),
    }
}

fn v4_allowed(address: Ipv4Addr, allow_private: bool) -> bool {
    let is_in = |blocks: &[([u8; 4], u32)]| {
        blocks.iter().any(|(base, prefix)| {
            u32::MAX.checked_shr(*prefix).map_or(address == Ipv4Addr::from(*base), |host| {
                (address.to_bits() ^ u32::from_be_bytes(*base)) <= host
            })
        })
    };
    !is_in(V4_CLOSED) || (allow_private && is_in(V4_PRIVATE) && !is_in(V4_NEVER))
}

fn v6_allowed(address: Ipv6Addr, allow_private: bool) -> bool {
    let is_in = |blocks: &[([u16; 8], u32)]| {
        blocks.iter().any(|(base, prefix)| {
            let base = Ipv6Addr::from(*base);
            u128::MAX
                .checked_shr(*prefix)
                .map_or(address == base, |host| (address.to_bits() ^ base.to_bits()) <= host)
        })
    };
    let is_global = address.segments().first().is_some_and(|first| first >> 13 == 1) && !is_in(V6_CLOSED);
    is_global || (allow_private && is_in(V6_PRIVATE) && !is_in(V6_NEVER))
}
