//! [`Usage`]: what a run has asked for, and the smallest profile that allows it.

use std::collections::{BTreeMap, BTreeSet};

use torov_abi::name_of;

use crate::profile::{Mode, Profile, Rule};
use crate::subject::Subject;

/// How many subjects of one call are told apart; beyond that the call is allowed as a whole.
const MOST: usize = 32;

/// The calls of a run with what they were about.
#[derive(Clone, Debug, Default)]
pub struct Usage(BTreeMap<u16, Subjects>);

#[derive(Clone, Debug, Default)]
struct Subjects {
    paths: BTreeMap<String, Mode>,
    addresses: BTreeSet<String>,
    requests: BTreeSet<u32>,
    others: bool,
}

impl Usage {
    /// Notes a call.
    pub fn add(&mut self, number: u16, subject: Subject<'_>) {
        let subjects = self.0.entry(number).or_default();
        match subject {
            Subject::Path(path, mode) if subjects.paths.len() < MOST => {
                let known = subjects.paths.entry(path.to_owned()).or_default();
                if mode == Mode::Rw {
                    *known = mode;
                }
            }
            Subject::Address(address) if subjects.addresses.len() < MOST => {
                subjects.addresses.insert(address.to_string());
            }
            Subject::Request(request, _) if subjects.requests.len() < MOST => {
                subjects.requests.insert(request);
            }
            Subject::Nothing | Subject::Class(_) => {}
            _ => subjects.others = true,
        }
    }

    /// The calls and rules that allow exactly this; all else is as in `base`.
    #[must_use]
    pub fn profile(&self, base: &Profile) -> Profile {
        let mut profile = base.clone();
        profile.syscalls.allow.clear();
        profile.rules.clear();
        for (number, subjects) in &self.0 {
            let Some(name) = name_of((*number).into()) else {
                continue;
            };
            let mut rules = subjects.rules(name);
            if subjects.others || rules.is_empty() {
                profile.syscalls.allow.push(name.to_owned());
            } else {
                profile.rules.append(&mut rules);
            }
        }
        profile
    }
}

impl Subjects {
    fn rules(&self, call: &str) -> Vec<Rule> {
        let rule = || Rule {
            call: call.to_owned(),
            ..Rule::default()
        };
        let knows_mode = crate::subject::allowed_keys(call).contains(&"mode");
        let paths = self.paths.iter().map(|(path, mode)| Rule {
            path: Some(path.clone()),
            mode: knows_mode.then_some(*mode),
            ..rule()
        });
        let addresses = self.addresses.iter().map(|address| Rule {
            addr: Some(address.clone()),
            ..rule()
        });
        let requests = self.requests.iter().map(|request| Rule {
            request: Some(*request),
            ..rule()
        });
        paths.chain(addresses).chain(requests).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Usage;
    use crate::policy::Policy;
    use crate::profile::{Mode, Profile};
    use crate::subject::Subject;

    #[test]
    fn what_was_learnt_is_allowed_and_nothing_more() {
        let mut usage = Usage::default();
        usage.add(1, Subject::Class("stdio"));
        usage.add(257, Subject::Path("/data/x", Mode::Ro));
        usage.add(49, Subject::Address("127.0.0.1:80".parse().unwrap()));
        let profile = usage.profile(&Profile::default());
        let profile = Profile::parse(&profile.to_toml()).unwrap();
        let policy = Policy::new(&profile).unwrap();
        assert!(policy.allows(1, Subject::Class("file")));
        assert!(policy.allows(257, Subject::Path("/data/x", Mode::Ro)));
        assert!(!policy.allows(257, Subject::Path("/data/x", Mode::Rw)));
        assert!(!policy.allows(257, Subject::Path("/data/y", Mode::Ro)));
        assert!(policy.allows(49, Subject::Address("127.0.0.1:80".parse().unwrap())));
        assert!(!policy.knows(0));
    }
}
