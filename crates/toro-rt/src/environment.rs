//! What the service can ask about how it was started.

use toro_boot::CommandLine;
use toro_sync::Once;

static COMMAND_LINE: Once<CommandLine<'static>> = Once::new();

pub(crate) fn init(command_line: CommandLine<'static>) {
    COMMAND_LINE.call_once(|| command_line);
}

/// The value of the kernel's word `name`, once the command line is there.
pub(crate) fn value(name: &str) -> Option<&'static str> {
    COMMAND_LINE.get()?.value(name)
}

/// Says that an image without the unit `mount` mounts nothing.
#[cfg(not(feature = "mount"))]
pub(crate) fn warn_of_mount() {
    if value("mount").is_some() {
        // Not by `log::warn!`, whose record would be larger than all the rest.
        toro_log::write(format_args!(
            "warn: mount= does nothing, no file system is built in; see build --fat\n"
        ));
    }
}

/// The words for the service: what follows `--` on the kernel's command line.
pub fn args() -> impl Iterator<Item = &'static str> {
    COMMAND_LINE.get().into_iter().flat_map(|line| line.args())
}
