//! What a ToroV guest may do.
//!
//! A [`Profile`] is a file in TOML that a person writes; the original's JSON is read too ([`import`]). [`Policy`] is
//! what it means: a bit for each system call, and rules on arguments for some. All that is not allowed is denied.
//! [`Usage`] is what a run has needed, from which [`Usage::profile`] makes the smallest profile.

#![forbid(unsafe_code)]

mod import;
mod policy;
mod presets;
mod profile;
mod quantity;
mod subject;
mod usage;

pub use self::import::import;
pub use self::policy::{Denial, Policy};
pub use self::presets::{PRESETS, preset};
pub use self::profile::{
    App, Debug, Jail, Limits, Mode, Mount, Namespaces, Profile, ProfileError, Ring, RingMode, Rule,
    Syscalls,
};
pub use self::quantity::{bytes, time};
pub use self::subject::Subject;
pub use self::usage::Usage;
