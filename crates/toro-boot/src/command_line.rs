//! [`CommandLine`]: words for the kernel, then `--`, then words for the service.

/// The command line that the loader passed.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a>(&'a str);

impl<'a> CommandLine<'a> {
    /// Takes the text as the loader passed it; what is not UTF-8 ends it.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(match core::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
        })
    }

    /// The whole text.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The words for the kernel.
    pub fn words(self) -> impl Iterator<Item = &'a str> {
        self.0
            .split_ascii_whitespace()
            .take_while(|word| *word != "--")
    }

    /// The words for the service: what follows the first `--`.
    ///
    /// A word that starts with `virtio_mmio.device=` is the machine's own, which some append at the end, and is left out.
    pub fn args(self) -> impl Iterator<Item = &'a str> {
        let words = self
            .0
            .split_ascii_whitespace()
            .skip_while(|word| *word != "--")
            .skip(1);
        words.filter(|word| !word.starts_with(VIRTIO_MMIO))
    }

    /// The value of the last word `key=value` for the kernel.
    pub fn value(self, key: &str) -> Option<&'a str> {
        self.values(key).last()
    }

    /// The values of all words `key=value` for the kernel, in order; devices of the machine count wherever they stand.
    pub fn values(self, key: &str) -> impl Iterator<Item = &'a str> {
        let mut service = false;
        self.0.split_ascii_whitespace().filter_map(move |word| {
            service |= word == "--";
            let value = word.strip_prefix(key)?.strip_prefix('=')?;
            (!service || word.starts_with(VIRTIO_MMIO)).then_some(value)
        })
    }
}

const VIRTIO_MMIO: &str = "virtio_mmio.device=";

#[cfg(test)]
mod tests {
    extern crate alloc;
    use super::*;
    use alloc::vec::Vec;

    const LINE: CommandLine<'_> = CommandLine(
        "ip=dhcp log=warn log=info quiet -- port=80 log=off  virtio_mmio.device=512@0xfeb00e00:12",
    );

    #[test]
    fn splits_kernel_from_service() {
        assert_eq!(
            LINE.words().collect::<Vec<_>>(),
            ["ip=dhcp", "log=warn", "log=info", "quiet"]
        );
        assert_eq!(LINE.args().collect::<Vec<_>>(), ["port=80", "log=off"]);
    }

    #[test]
    fn the_last_value_counts() {
        assert_eq!(LINE.value("log"), Some("info"));
        assert_eq!(LINE.value("ip"), Some("dhcp"));
        assert_eq!(LINE.value("port"), None);
        assert_eq!(LINE.value("i"), None);
    }

    #[test]
    fn finds_the_machine_s_devices_behind_the_service_s_words() {
        let devices: Vec<_> = LINE.values("virtio_mmio.device").collect();
        assert_eq!(devices, ["512@0xfeb00e00:12"]);
    }

    #[test]
    fn ends_at_what_is_not_text() {
        assert_eq!(
            CommandLine::new(b"log=info \xFF\xFE rest").as_str(),
            "log=info "
        );
    }
}
