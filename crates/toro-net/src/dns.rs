//! Questions to name servers and their answers, as bytes (RFC 1035, 4).
//!
//! A server may be anyone: every length is checked, pointers in names only lead back, and what does not belong to the
//! question is passed over (RFC 5452, 9.1).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::packet::{be16, be32};

/// Bytes of a header.
const HEADER_LEN: usize = 12;
/// Bytes of a name with its lengths (RFC 1035, 2.3.4).
const NAME_LEN: usize = 255;
/// Records of an answer that are looked at.
const RECORDS: u16 = 64;
/// Addresses of a name that are kept.
const ADDRESSES: usize = 16;
/// Names that lead to another in one answer.
const LINKS: usize = 8;

const CLASS_IN: u16 = 1;
const TYPE_CNAME: u16 = 5;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// IPv4 addresses.
    A = 1,
    /// IPv6 addresses (RFC 3596).
    Aaaa = 28,
}

/// A name as it stands in a message, in small letters: `\x03www\x07example\x00`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(Vec<u8>);

/// What a server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Empty if there are none of the kind.
    pub(crate) addresses: Vec<IpAddr>,
    /// The name that the asked one leads to, if the answer says no more of it.
    pub(crate) alias: Option<Name>,
    /// Seconds for which this is true; `None` if the server does not say.
    pub(crate) lifetime: Option<u32>,
}

/// Why a message is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It answers another question, or makes no sense.
    Foreign,
    /// There is no such name.
    NoSuchName,
    /// The server cannot or will not say.
    Failed,
    /// It was cut, and nothing that helps is left: ask over TCP (RFC 7766).
    Cut,
}

impl Name {
    /// The name that `text` says, with or without a dot at its end; `None` if it says none.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut name = Vec::new();
        for label in text.split('.') {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if label.is_empty() || label.len() > 63 || !label.bytes().all(is_plain) {
                return None;
            }
            name.push(u8::try_from(label.len()).ok()?);
            name.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        name.push(0);
        (name.len() <= NAME_LEN).then_some(Self(name))
    }

    /// Reads a name from `at` on; returns it and where it ends.
    fn read(message: &[u8], at: usize) -> Option<(Self, usize)> {
        let mut name = Vec::new();
        let (mut at, mut end) = (at, None);
        loop {
            let len = usize::from(*message.get(at)?);
            match len >> 6 {
                0 => {
                    let label = message.get(at..=at + len)?;
                    name.extend(label.iter().map(u8::to_ascii_lowercase));
                    at += 1 + len;
                    if len == 0 {
                        return Some((Self(name), end.unwrap_or(at)));
                    }
                    if name.len() > NAME_LEN {
                        return None;
                    }
                }
                3 => {
                    let target = usize::from(be16(message.get(at..at + 2)?, 0) & 0x3fff);
                    end.get_or_insert(at + 2);
                    // Only back: so this ends.
                    if target >= at {
                        return None;
                    }
                    at = target;
                }
                _ => return None,
            }
        }
    }
}

/// The question for the addresses of `name` under the number `id`.
pub(crate) fn question(id: u16, name: &Name, kind: Kind) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_LEN + name.0.len() + 4);
    message.extend_from_slice(&id.to_be_bytes());
    // Recursion desired; one question.
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend_from_slice(&name.0);
    message.extend_from_slice(&(kind as u16).to_be_bytes());
    message.extend_from_slice(&CLASS_IN.to_be_bytes());
    message
}

/// A record of an answer.
struct Record<'a> {
    owner: Name,
    kind: u16,
    lifetime: u32,
    data: &'a [u8],
    /// Where the data begins in the message.
    at: usize,
}

/// Reads the answer to the question for `name` under the number `id`.
///
/// # Errors
/// Says why it is none.
pub(crate) fn read(message: &[u8], id: u16, name: &Name, kind: Kind) -> Result<Answer, Flaw> {
    let header = message.get(..HEADER_LEN).ok_or(Flaw::Foreign)?;
    let is_ours = be16(header, 0) == id && header[2] & 0xf8 == 0x80 && be16(header, 4) == 1;
    let asked = Name::read(message, HEADER_LEN).filter(|(asked, _)| is_ours && asked == name);
    let (_, at) = asked.ok_or(Flaw::Foreign)?;
    let tail = message.get(at..at + 4).ok_or(Flaw::Foreign)?;
    if be16(tail, 0) != kind as u16 || be16(tail, 2) != CLASS_IN {
        return Err(Flaw::Foreign);
    }
    match header[3] & 0xf {
        0 => {}
        3 => return Err(Flaw::NoSuchName),
        _ => return Err(Flaw::Failed),
    }
    let is_cut = header[2] & 2 != 0;
    let records = read_records(message, at + 4, be16(header, 6).min(RECORDS));
    let answer = follow(message, &records, name, kind);
    let is_empty = answer.addresses.is_empty() && answer.alias.is_none();
    if is_cut && is_empty {
        return Err(Flaw::Cut);
    }
    Ok(answer)
}

/// The records from `at` on, up to the first that makes no sense.
fn read_records(message: &[u8], mut at: usize, count: u16) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    for _ in 0..count {
        let Some((record, end)) = read_record(message, at) else {
            break;
        };
        records.extend(record);
        at = end;
    }
    records
}

/// The record at `at`, if it is of the internet, and where it ends.
fn read_record(message: &[u8], at: usize) -> Option<(Option<Record<'_>>, usize)> {
    let (owner, at) = Name::read(message, at)?;
    let fixed = message.get(at..at + 10)?;
    let at = at + 10;
    let end = at + usize::from(be16(fixed, 8));
    let data = message.get(at..end)?;
    let record = Record {
        owner,
        kind: be16(fixed, 0),
        // RFC 2181, 8: with the highest bit set it counts as zero.
        lifetime: Some(be32(fixed, 4))
            .filter(|ttl| ttl >> 31 == 0)
            .unwrap_or(0),
        data,
        at,
    };
    Some(((be16(fixed, 2) == CLASS_IN).then_some(record), end))
}

/// Follows the names that lead to others, and collects the addresses of the last.
fn follow(message: &[u8], records: &[Record<'_>], name: &Name, kind: Kind) -> Answer {
    let mut current = name.clone();
    let mut lifetime: Option<u32> = None;
    let mut shorten = |record: &Record<'_>| {
        lifetime = Some(lifetime.map_or(record.lifetime, |old| old.min(record.lifetime)));
    };
    for _ in 0..LINKS {
        let is_link = |record: &&Record<'_>| record.kind == TYPE_CNAME && record.owner == current;
        let Some(link) = records.iter().find(is_link) else {
            break;
        };
        let Some((target, _)) = Name::read(message, link.at) else {
            break;
        };
        shorten(link);
        current = target;
    }
    let mut addresses = Vec::new();
    for record in records {
        if record.owner != current || record.kind != kind as u16 || addresses.len() == ADDRESSES {
            continue;
        }
        if let Some(address) = address_of(record.data, kind) {
            shorten(record);
            addresses.push(address);
        }
    }
    let leads_on = addresses.is_empty() && current != *name;
    Answer {
        addresses,
        alias: leads_on.then_some(current),
        lifetime,
    }
}

fn address_of(data: &[u8], kind: Kind) -> Option<IpAddr> {
    match kind {
        Kind::A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
        Kind::Aaaa => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
    }
}

#[cfg(test)]
mod tests;
