//! Lets a debugger in before the program starts.

use std::sync::Arc;

use torov_calls::Process;
use torov_calls::debug::Debug;
use torov_gdb::{Door, Visitor};
use torov_policy::Profile;

use crate::failure::Failure;

/// A debugger, and what it sees the program by.
#[derive(Debug)]
pub(crate) struct Debugger {
    visitor: Visitor,
    debug: Arc<Debug>,
}

impl Debugger {
    /// Waits for gdb where the profile or the command line says, if they do.
    pub(crate) fn admit(profile: &Profile) -> Result<Option<Self>, Failure> {
        let Some(address) = &profile.debug.gdb else {
            return Ok(None);
        };
        let failed = |error| Failure::own(format!("gdb cannot be let in at {address}: {error}"));
        let door = Door::open(address).map_err(failed)?;
        eprintln!("torov: waiting for gdb: target remote {}", door.address());
        let visitor = door.admit().map_err(failed)?;
        let debug = Arc::new(Debug::try_new().map_err(failed)?);
        Ok(Some(Self { visitor, debug }))
    }

    /// What the program is made with.
    pub(crate) fn debug(&self) -> Arc<Debug> {
        Arc::clone(&self.debug)
    }

    /// Begins to serve it.
    pub(crate) fn attend(self, process: &Arc<Process>, auxiliary: Vec<u8>) -> Result<(), Failure> {
        let served = self
            .visitor
            .attend(Arc::clone(process), self.debug, auxiliary);
        served.map_err(|error| Failure::own(format!("gdb gets no thread: {error}")))
    }
}
