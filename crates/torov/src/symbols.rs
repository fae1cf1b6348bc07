//! [`Symbols`]: which function an address belongs to, by the symbol table of the program's own file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// The program's file, and how far it was moved when it was loaded.
#[derive(Debug)]
pub(crate) struct Symbols {
    pub(crate) file: File,
    pub(crate) bias: u64,
}

/// Start, length, and place of the name.
type Function = (u64, u64, u64);

/// How long a table may be that is read, in bytes.
const MOST: u64 = 64 << 20;

const SYMBOL: usize = 24;
const SECTION: usize = 64;
const SHT_SYMTAB: u32 = 2;
const STT_FUNC: u8 = 2;

impl Symbols {
    /// The function of each address and how far behind its start it is, as `main+0x1c`; empty where it is not known.
    pub(crate) fn names(&self, addresses: &[u64]) -> Vec<String> {
        let table = self.table().unwrap_or_default();
        let name = |address: &u64| {
            let address = address.wrapping_sub(self.bias);
            let function = table.0.iter().filter(|(start, ..)| *start <= address);
            let (start, len, at) = function.max_by_key(|(start, len, _)| (*start, *len))?;
            let inside = address - start < (*len).max(1);
            let text = table.1.get(usize::try_from(*at).ok()?..)?;
            let end = text.iter().position(|byte| *byte == 0)?;
            let text = String::from_utf8_lossy(&text[..end]);
            inside.then(|| format!("{text}+{:#x}", address - start))
        };
        let names = addresses.iter().map(name);
        names.map(Option::unwrap_or_default).collect()
    }

    /// The functions, and their names.
    fn table(&self) -> Option<(Vec<Function>, Vec<u8>)> {
        let header = self.read(0, 64)?;
        let (at, count) = (word(&header, 40)?, half(&header, 60)?);
        let sections = self.read(at, count.checked_mul(64)?)?;
        let section = |index: u64| {
            let from = usize::try_from(index).ok()?.checked_mul(SECTION)?;
            sections.get(from..from + SECTION)
        };
        let is_table = |section: &&[u8]| section[4..8] == SHT_SYMTAB.to_le_bytes();
        let symbols = sections.chunks_exact(SECTION).find(is_table)?;
        let link = u64::from(u32::from_le_bytes(symbols[40..44].try_into().ok()?));
        let texts = section(link)?;
        let contents = |section: &[u8]| self.read(word(section, 24)?, word(section, 32)?);
        let symbols = contents(symbols)?;
        let functions = symbols
            .chunks_exact(SYMBOL)
            // Those that are defined in this file: they have a section.
            .filter(|symbol| symbol[4] & 0xf == STT_FUNC && symbol[6..8] != [0, 0]);
        let functions = functions.filter_map(|symbol| {
            let name = u32::from_le_bytes(symbol[..4].try_into().ok()?);
            Some((word(symbol, 8)?, word(symbol, 16)?, name.into()))
        });
        Some((functions.collect(), contents(texts)?))
    }

    fn read(&self, at: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len.min(MOST)).ok()?];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let piece = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(piece.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u64> {
    let piece = bytes.get(at..at + 2)?;
    Some(u16::from_le_bytes(piece.try_into().ok()?).into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::Symbols;

    #[test]
    fn a_function_of_this_program_has_a_name() {
        let file = File::open("/proc/self/exe").unwrap();
        let symbols = Symbols { file, bias: 0 };
        let (functions, texts) = symbols.table().unwrap();
        let text = |at: u64| {
            let text = &texts[usize::try_from(at).unwrap()..];
            let end = text.iter().position(|byte| *byte == 0).unwrap();
            String::from_utf8_lossy(&text[..end]).into_owned()
        };
        let is_own = |name: &str| name.contains("what_is_no_program_has_no_names");
        let mut known = functions.iter().filter(|(_, _, at)| is_own(&text(*at)));
        let (start, ..) = known.find(|(_, len, _)| *len > 8).unwrap();
        let names = symbols.names(&[start + 4, 0]);
        assert!(is_own(&names[0]) && names[0].ends_with("+0x4"), "{names:?}");
        assert_eq!(names[1], "");
    }

    #[test]
    fn what_is_no_program_has_no_names() {
        let file = File::open("/dev/null").unwrap();
        let symbols = Symbols { file, bias: 0 };
        assert_eq!(symbols.names(&[0x40_1000]), [""]);
    }
}
