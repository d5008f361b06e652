//! Which addresses a program listens on: a stand-in that others can reach would be a hole in the machine it runs on.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};

/// Sockets that a program or a child of it has beyond loopback, as far as the system tells, which is Linux.
pub(crate) fn beyond_loopback(program: u32) -> Vec<String> {
    let sockets = taking(program).into_iter().filter(|(_, socket)| !socket.address.is_loopback());
    sockets.map(|(table, socket)| format!("{table} {} port {}", socket.address, socket.port)).collect()
}

/// Where a program and its children take connections or datagrams, by protocol.
fn taking(program: u32) -> Vec<(&'static str, Open)> {
    let own: BTreeSet<String> = family(program).into_iter().flat_map(sockets).collect();
    let mut taking = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        let open = text.lines().filter_map(open).filter(|socket| own.contains(&socket.number));
        taking.extend(open.map(|socket| (table, socket)));
    }
    taking
}

/// A program with its children, their children and so on.
fn family(program: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
            let (_, after_name) = stat.rsplit_once(") ")?;
            Some((id, after_name.split(' ').nth(1)?.parse().ok()?))
        })
        .collect();
    let mut family = BTreeSet::from([program]);
    loop {
        let children = parents.iter().filter(|(_, parent)| family.contains(parent)).map(|(id, _)| *id);
        let more = family.union(&children.collect()).copied().collect::<BTreeSet<_>>();
        if more.len() == family.len() {
            return family;
        }
        family = more;
    }
}

/// The numbers of a program's sockets.
fn sockets(program: u32) -> Vec<String> {
    fs::read_dir(format!("/proc/{program}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Open {
    address: IpAddr,
    port: u16,
    number: String,
}

/// A socket of a table that takes from anybody: one that listens, or one of UDP that is bound to nobody.
fn open(line: &str) -> Option<Open> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, local, remote, state, _, _, _, _, _, number, ..] = words.as_slice() else { return None };
    let unconnected = remote.chars().all(|digit| matches!(digit, '0' | ':'));
    let (address, port) = local.split_once(':')?;
    let listens = matches!(*state, "0A" | "07") && unconnected;
    listens.then_some(Open {
        address: address_of(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        number: (*number).to_owned(),
    })
}

/// An address as the system writes it: words of four bytes, each in the machine's order.
fn address_of(digits: &str) -> Option<IpAddr> {
    let mut bytes = Vec::new();
    for word in digits.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    match <[u8; 4]>::try_from(bytes) {
        Ok(four) => Some(IpAddr::from(four)),
        Err(bytes) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()),
    }
}

#[cfg(test)]
mod tests {
    use super::{beyond_loopback, family, open, taking};

    /// Such a line, with the address in the machine's order.
    fn line(words: &[u32], rest: &str) -> String {
        let digits: Vec<String> = words.iter().map(|word| format!("{:08X}", u32::from_be(*word))).collect();
        let digits = digits.concat();
        format!(
            "   1: {digits}:11D1 {rest} 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100"
        )
    }

    #[test]
    fn what_listens_is_told_by_address_and_port() {
        let every = open(&line(&[0], "00000000:0000 0A")).unwrap();
        assert_eq!((every.address.to_string().as_str(), every.port), ("0.0.0.0", 4561));
        assert_eq!(every.number, "4711");
        let home = open(&line(&[0x7f00_0001], "00000000:0000 0A")).unwrap();
        assert!(home.address.is_loopback());
        assert!(open(&line(&[0], "00000000:0000 07")).is_some());
    }

    #[test]
    fn loopback_of_either_family_is_loopback() {
        let six = |words: &[u32]| open(&line(words, "00000000000000000000000000000000:0000 0A")).unwrap();
        assert!(six(&[0, 0, 0, 1]).address.is_loopback());
        assert!(six(&[0, 0, 0xffff, 0x7f00_0001]).address.is_loopback());
        assert!(!six(&[0, 0, 0, 0]).address.is_loopback());
    }

    #[test]
    fn a_connection_is_not_open_to_anybody() {
        assert_eq!(open(&line(&[0x0a00_0002], "0100007F:1F90 01")), None);
        assert_eq!(open(&line(&[0x0a00_0002], "0100007F:1F90 07")), None);
        assert_eq!(open("  sl  local_address rem_address   st"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_is_seen_to_listen_on_loopback() {
        let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = here.local_addr().unwrap().port();
        let id = std::process::id();
        assert!(taking(id).iter().any(|(table, socket)| (*table, socket.port) == ("tcp", port)));
        assert_eq!(beyond_loopback(id), Vec::<String>::new());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_child_belongs_to_the_family() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        assert!(family(std::process::id()).contains(&child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
