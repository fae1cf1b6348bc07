//! [`Lease`]: what a DHCP server has said besides addresses, read when somebody asks.
//!
//! The server may be anyone, so a name is one only if it is made of letters, digits, hyphens and dots.

use alloc::string::String;
use alloc::vec::Vec;

use crate::poll::with_stack;

/// Where the options lie in a packet (RFC 2131, 2, with the cookie of RFC 2132, 2).
const OPTIONS: usize = 240;
/// Options: our name, the domain, and the domains in which names are looked for (RFC 2132, 3.14 and 3.17; RFC 3397).
const HOST_NAME: u8 = 12;
const DOMAIN: u8 = 15;
const SEARCH: u8 = 119;
/// What a server is asked for: mask, routers, name servers, and these.
pub(crate) const WANTED: &[u8] = &[1, 3, 6, HOST_NAME, DOMAIN, SEARCH];
/// The longest packet that is kept.
pub(crate) const PACKET_LEN: usize = 1024;
/// Domains that are kept.
const DOMAINS: usize = 6;
/// Bytes of a name in letters and dots.
const NAME_LEN: usize = 253;

/// What a DHCP server has said; nothing for an address that was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease(pub(crate) Vec<u8>);

impl Lease {
    /// The name that the server has for us.
    pub fn hostname(&self) -> Option<String> {
        name(&self.option(HOST_NAME))
    }

    /// The domains in which a name without dots is looked for, first things first.
    pub fn search(&self) -> Vec<String> {
        let list = self.option(SEARCH);
        let mut domains = Vec::new();
        let mut at = 0;
        while at < list.len() && domains.len() < DOMAINS {
            let Some((domain, end)) = compressed(&list, at) else {
                break;
            };
            domains.extend(name(domain.as_bytes()));
            at = end;
        }
        if domains.is_empty() {
            domains.extend(name(&self.option(DOMAIN)));
        }
        domains
    }

    /// The bytes of all options of that kind, one behind the other (RFC 3396).
    fn option(&self, wanted: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut options = self.0.get(OPTIONS..).unwrap_or(&[]);
        while let [kind, rest @ ..] = options {
            options = rest;
            match (kind, rest) {
                (0, _) => {}
                (255, _) => break,
                (_, [len, rest @ ..]) => {
                    let Some((data, rest)) = rest.split_at_checked((*len).into()) else {
                        break;
                    };
                    if *kind == wanted {
                        bytes.extend_from_slice(data);
                    }
                    options = rest;
                }
                _ => break,
            }
        }
        bytes
    }
}

/// The name that `bytes` say, if they say one.
fn name(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let text = core::str::from_utf8(bytes).ok()?;
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let mut bytes = label.bytes();
        let is_plain = bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        is_plain && (1..=63).contains(&label.len())
    };
    let is_name = text.len() <= NAME_LEN && text.split('.').all(is_label);
    is_name.then(|| String::from(text))
}

/// The name at `at` of a list whose names may end in earlier ones (RFC 1035, 4.1.4), and where it ends.
fn compressed(list: &[u8], mut at: usize) -> Option<(String, usize)> {
    let (mut text, mut end) = (String::new(), None);
    loop {
        let len = usize::from(*list.get(at)?);
        match len >> 6 {
            0 if len == 0 => return Some((text, end.unwrap_or(at + 1))),
            0 => {
                let label = list.get(at + 1..=at + len)?;
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(core::str::from_utf8(label).ok()?);
                at += 1 + len;
            }
            3 => {
                let target = (len & 0x3f) << 8 | usize::from(*list.get(at + 1)?);
                end.get_or_insert(at + 2);
                // Only back: so this ends.
                if target >= at {
                    return None;
                }
                at = target;
            }
            _ => return None,
        }
        if text.len() > NAME_LEN {
            return None;
        }
    }
}

/// The name of this machine: the one of the command line, or else the one that a DHCP server has for it.
pub fn hostname() -> Option<String> {
    with_stack(|stack| {
        let given = &stack.config.hostname;
        if !given.is_empty() {
            return Some(given.clone());
        }
        stack.addresses()?.lease.hostname()
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn lease(options: &[u8]) -> Lease {
        let mut packet = vec![0; OPTIONS];
        packet.extend_from_slice(options);
        Lease(packet)
    }

    #[test]
    fn a_name_and_a_domain_are_read() {
        let said = lease(b"\x35\x01\x05\x00\x0c\x04web1\x0f\x08corp.lan\xff\x0c\x01x");
        assert_eq!(said.hostname().as_deref(), Some("web1"));
        assert_eq!(said.search(), ["corp.lan"]);
        assert_eq!(Lease::default().hostname(), None);
    }

    #[test]
    fn the_list_of_domains_comes_before_the_domain() {
        // The list of RFC 3397, 2, in two pieces.
        let list = b"\x77\x13\x03eng\x05apple\x03com\x00\x09mar\x77\x09keting\xc0\x04";
        let said = lease(&[&list[..], b"\x0f\x01x\xff"].concat());
        assert_eq!(said.search(), ["eng.apple.com", "marketing.apple.com"]);
    }

    #[test]
    fn what_is_no_name_is_none() {
        for bad in ["", "a b", "-\u{e4}", "a..b", ".", "x/y", &"a".repeat(64)] {
            let len = u8::try_from(bad.len()).unwrap();
            let option = [&[12, len][..], bad.as_bytes(), &[255]].concat();
            assert_eq!(lease(&option).hostname(), None, "{bad}");
        }
        // Lists that lead forward, or nowhere, or round.
        for list in [
            &b"\xc0\x00"[..],
            b"\x01a\xc0\x02",
            b"\x3f",
            b"\x40",
            b"\x01a\xc0",
        ] {
            let len = u8::try_from(list.len()).unwrap();
            let option = [&[119, len][..], list, &[255]].concat();
            assert!(lease(&option).search().is_empty(), "{list:?}");
        }
        for end in 0..40 {
            let whole = lease(b"\x77\x13\x03eng\x05apple\x03com\x00\x03marx\xff").0;
            let cut = Lease(whole[..whole.len().min(OPTIONS - 5 + end)].to_vec());
            assert!(cut.search().len() <= 2);
        }
    }
}
