//! [`Policy`]: a profile as a bit for each call, and the rules.

use torov_abi::{CALL_COUNT, Errno, number_of};

use crate::presets::preset;
use crate::profile::{Denied, Profile, ProfileError, Rule};
use crate::subject::{Subject, allowed_keys, split};

/// What becomes of a call that is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It fails.
    Fails(Errno),
    /// The program ends.
    Kills,
}

/// What a profile means.
#[derive(Clone, Debug)]
pub struct Policy {
    allowed: [u64; CALL_COUNT / 64],
    ruled: [u64; CALL_COUNT / 64],
    rules: Vec<(u16, Rule)>,
    denial: Denial,
}

impl Policy {
    /// Compiles the calls and rules of `profile`.
    ///
    /// # Errors
    /// Which name or rule means nothing, and what was perhaps meant.
    pub fn new(profile: &Profile) -> Result<Self, ProfileError> {
        let mut policy = Self {
            allowed: [0; CALL_COUNT / 64],
            ruled: [0; CALL_COUNT / 64],
            rules: Vec::new(),
            denial: match profile.syscalls.denied {
                Denied::NotPermitted => Denial::Fails(Errno::EPERM),
                Denied::NoSuchCall => Denial::Fails(Errno::ENOSYS),
                Denied::Kill => Denial::Kills,
            },
        };
        for name in &profile.syscalls.allow {
            policy.allow(name)?;
        }
        for rule in &profile.rules {
            policy.add(rule)?;
        }
        Ok(policy)
    }

    /// Everything is allowed.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            allowed: [u64::MAX; CALL_COUNT / 64],
            ruled: [0; CALL_COUNT / 64],
            rules: Vec::new(),
            denial: Denial::Fails(Errno::EPERM),
        }
    }

    fn allow(&mut self, name: &str) -> Result<(), ProfileError> {
        if name.starts_with('@') {
            let calls = preset(name).ok_or_else(|| unknown("preset", name))?;
            return calls.iter().try_for_each(|call| self.allow(call));
        }
        set(&mut self.allowed, number(name)?);
        Ok(())
    }

    fn add(&mut self, rule: &Rule) -> Result<(), ProfileError> {
        let number = number(&rule.call)?;
        let allowed = allowed_keys(&rule.call);
        if let Some(key) = rule.keys().into_iter().find(|key| !allowed.contains(key)) {
            let hint = match allowed {
                [] => "it takes none".to_owned(),
                keys => format!("it takes {}", keys.join(", ")),
            };
            let message = format!("a rule for `{}` cannot say `{key}`; {hint}", rule.call);
            return Err(ProfileError(message));
        }
        if let Some(address) = rule
            .addr
            .as_deref()
            .filter(|address| split(address).is_none())
        {
            let message =
                format!("`{address}` is no address; write 127.0.0.1:80, [::1]:80 or *:80");
            return Err(ProfileError(message));
        }
        set(&mut self.allowed, number);
        set(&mut self.ruled, number);
        self.rules.push((number, rule.clone()));
        Ok(())
    }

    /// Whether the call may be made at all. Any number may be asked for.
    #[must_use]
    pub fn knows(&self, number: u64) -> bool {
        is_set(&self.allowed, number)
    }

    /// Whether the call may be made on `subject`.
    #[must_use]
    pub fn allows(&self, number: u16, subject: Subject<'_>) -> bool {
        if !is_set(&self.allowed, number.into()) {
            return false;
        }
        let mut rules = self.rules.iter().filter(|(ruled, _)| *ruled == number);
        !is_set(&self.ruled, number.into()) || rules.any(|(_, rule)| rule.allows(subject))
    }

    /// What becomes of the rest.
    #[must_use]
    pub fn denial(&self) -> Denial {
        self.denial
    }

    /// The numbers of the calls that are allowed.
    pub fn numbers(&self) -> impl Iterator<Item = u16> {
        (0..512).filter(|number| self.knows(u64::from(*number)))
    }
}

fn set(bits: &mut [u64], number: u16) {
    bits[usize::from(number / 64)] |= 1 << (number % 64);
}

fn is_set(bits: &[u64], number: u64) -> bool {
    let word = usize::try_from(number / 64)
        .ok()
        .and_then(|at| bits.get(at));
    word.is_some_and(|word| word >> (number % 64) & 1 == 1)
}

fn number(name: &str) -> Result<u16, ProfileError> {
    number_of(name).ok_or_else(|| unknown("system call", name))
}

/// `name` is not known: names the most alike.
fn unknown(what: &str, name: &str) -> ProfileError {
    let presets = crate::PRESETS.iter().map(|(name, ..)| *name);
    let known = torov_abi::names().chain(presets);
    let nearest = known.min_by_key(|known| distance(known, name));
    let hint = nearest.map_or(String::new(), |nearest| {
        format!("; did you mean `{nearest}`?")
    });
    ProfileError(format!("there is no {what} `{name}`{hint}"))
}

/// How many letters have to change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = corner + usize::from(from != *to);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::Policy;
    use crate::profile::Profile;
    use crate::subject::Subject;

    fn policy(text: &str) -> Policy {
        Policy::new(&Profile::parse(text).unwrap()).unwrap()
    }

    fn error(text: &str) -> String {
        Policy::new(&Profile::parse(text).unwrap())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_is_not_allowed_is_denied() {
        let policy = policy("[syscalls]\nallow = [\"write\", \"@time\"]");
        assert!(policy.knows(1) && policy.knows(228));
        for number in [0, 2, 511, 512, 1 << 32 | 1, 1 << 63 | 1, u64::MAX] {
            assert!(!policy.knows(number), "{number}");
        }
    }

    #[test]
    fn rules_narrow_a_call_down() {
        let text = "[syscalls]\nallow = [\"bind\"]\n[[rule]]\ncall = \"bind\"\naddr = \"*:80\"\n\
                    [[rule]]\ncall = \"bind\"\naddr = \"*:81\"\n";
        let policy = policy(text);
        let binds = |address: &str| policy.allows(49, Subject::Address(address.parse().unwrap()));
        assert!(binds("1.2.3.4:80") && binds("1.2.3.4:81"));
        assert!(!binds("1.2.3.4:82"));
        assert!(
            !policy.allows(49, Subject::Nothing),
            "no address is none of them"
        );
        assert!(!policy.allows(50, Subject::Nothing));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(error("[syscalls]\nallow = [\"wirte\"]").contains("did you mean `write`"));
        assert!(error("[syscalls]\nallow = [\"@stdoi\"]").contains("did you mean `@stdio`"));
        assert!(error("[[rule]]\ncall = \"brk\"\npath = \"/\"").contains("cannot say `path`"));
        assert!(error("[[rule]]\ncall = \"bind\"\naddr = \"here\"").contains("no address"));
    }
}
