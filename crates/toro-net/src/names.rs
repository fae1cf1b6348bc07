//! [`Names`]: what is known of names: the words of the command line, and answers for as long as they are true.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use toro_time::Instant;

use crate::dns::{Kind, Name};

/// Names that are remembered.
const MOST: usize = 128;
/// The longest time for which an answer is believed, whatever the server says (RFC 8767, 4).
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long it is remembered that there is nothing (RFC 2308, 5 allows for more, if the server says so).
const NOTHING: Duration = Duration::from_secs(30);
/// The port of name servers.
const PORT: u16 = 53;
/// Servers that are asked.
const SERVERS: usize = 3;

struct Known {
    addresses: Vec<IpAddr>,
    until: Instant,
}

/// Answers that are still true.
pub(crate) struct Names(BTreeMap<(Name, Kind), Known>);

impl Names {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The addresses of `name`, none if it is known that it has none; `None` if it must be asked for.
    pub(crate) fn find(&mut self, now: Instant, name: &Name, kind: Kind) -> Option<Vec<IpAddr>> {
        let known = self.0.get(&(name.clone(), kind))?;
        (now < known.until).then(|| known.addresses.clone())
    }

    /// Remembers the addresses of `name` for `lifetime` seconds. Who would be forgotten first makes room.
    pub(crate) fn remember(
        &mut self,
        now: Instant,
        name: Name,
        kind: Kind,
        addresses: Vec<IpAddr>,
        lifetime: Option<u32>,
    ) {
        let lifetime = match lifetime {
            Some(seconds) if !addresses.is_empty() => {
                Duration::from_secs(seconds.into()).min(LONGEST)
            }
            _ => NOTHING,
        };
        let key = (name, kind);
        if self.0.len() >= MOST && !self.0.contains_key(&key) {
            let first = self.0.iter().min_by_key(|(_, known)| known.until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.0.remove(&first);
            }
        }
        let until = now + lifetime;
        self.0.insert(key, Known { addresses, until });
    }
}

/// The servers that `words` lists, as `dns=` takes them: addresses with or without a port, with commas between.
///
/// # Errors
/// Gives back the first word that is none.
pub(crate) fn parse_servers(words: &str) -> Result<Vec<SocketAddr>, &str> {
    let parse = |word| server(word).ok_or(word);
    let words = words.split(',').filter(|word| !word.is_empty());
    words.take(SERVERS).map(parse).collect()
}

fn server(word: &str) -> Option<SocketAddr> {
    let address = word.parse().map(|ip: IpAddr| SocketAddr::new(ip, PORT));
    address.or_else(|_| word.parse()).ok()
}

/// The addresses that `words` gives to `name`, as `hosts=` takes them: `name:address,name:address`.
pub(crate) fn given(words: &str, name: &Name) -> Vec<IpAddr> {
    let entries = words.split(',').filter_map(|word| word.split_once(':'));
    entries
        .filter(|(owner, _)| Name::parse(owner).as_ref() == Some(name))
        .filter_map(|(_, address)| address.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec;

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_answer_is_true_for_as_long_as_it_says() {
        let mut names = Names::new();
        let one = vec![ip("10.0.0.1")];
        names.remember(at(10), name("a"), Kind::A, one.clone(), Some(60));
        assert_eq!(names.find(at(69), &name("a"), Kind::A), Some(one.clone()));
        assert_eq!(names.find(at(70), &name("a"), Kind::A), None);
        assert_eq!(names.find(at(10), &name("a"), Kind::Aaaa), None);
        names.remember(at(10), name("a"), Kind::A, one.clone(), Some(0));
        assert_eq!(names.find(at(10), &name("a"), Kind::A), None);
        names.remember(at(0), name("a"), Kind::A, one, Some(u32::MAX >> 1));
        assert_eq!(names.find(at(24 * 3600), &name("a"), Kind::A), None);
        names.remember(at(0), name("b"), Kind::A, vec![], None);
        assert_eq!(names.find(at(29), &name("b"), Kind::A), Some(vec![]));
        assert_eq!(names.find(at(30), &name("b"), Kind::A), None);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut names = Names::new();
        for number in 0..1000 {
            let lifetime = Some(1000 - number);
            let addresses = vec![ip("10.0.0.1")];
            names.remember(
                at(0),
                name(&format!("n{number}")),
                Kind::A,
                addresses,
                lifetime,
            );
        }
        assert_eq!(names.0.len(), MOST);
        assert!(names.find(at(0), &name("n0"), Kind::A).is_some());
    }

    #[test]
    fn servers_are_listed_with_or_without_a_port() {
        let list = parse_servers("10.0.2.3,[fec0::3]:54,10.0.2.4:5353").unwrap();
        let expected = ["10.0.2.3:53", "[fec0::3]:54", "10.0.2.4:5353"];
        assert_eq!(list, expected.map(|text| text.parse().unwrap()));
        assert_eq!(
            parse_servers("fec0::3").unwrap(),
            ["[fec0::3]:53".parse().unwrap()]
        );
        assert_eq!(parse_servers("10.0.2.3,nobody"), Err("nobody"));
        assert_eq!(parse_servers(""), Ok(vec![]));
    }

    #[test]
    fn names_can_be_given() {
        let words = "db:10.0.0.5,DB.local:fe80::1,db:10.0.0.6,broken";
        assert_eq!(given(words, &name("db")), [ip("10.0.0.5"), ip("10.0.0.6")]);
        assert_eq!(given(words, &name("db.local")), [ip("fe80::1")]);
        assert!(given(words, &name("x")).is_empty());
    }
}
