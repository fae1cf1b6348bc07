//! Counting guest instructions: builds the TCG plugin, hands it to QEMU, reads what it counted.
//!
//! The count of instructions for one request hardly varies from run to run and from machine to machine,
//! which makes it the figure to steer by. The plugin's source and the layout of its file are in `insncount.c`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::process;

const SOURCE: &str = include_str!("insncount.c");
/// The plugin looks at its file this often; twice as long, and what is read is fresh.
const FRESH: Duration = Duration::from_millis(5);

const EXECUTED: u64 = 0;
const REQUEST: u64 = 2;
const ANSWER: u64 = 3;
const BLOCK_COUNT: u64 = 4;
const BLOCKS: u64 = 8;

/// The compiled plugin.
#[derive(Debug, Clone)]
pub(crate) struct Plugin {
    library: PathBuf,
}

/// One use of the plugin by one VM: the file that it counts into.
#[derive(Debug)]
pub(crate) struct Counter {
    /// What follows `-plugin` on QEMU's command line.
    pub(crate) argument: String,
    path: PathBuf,
}

/// How often one block of guest code ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    /// Guest address of its first instruction.
    pub(crate) address: u64,
    /// Number of its instructions.
    pub(crate) insns: u64,
    /// How often it ran.
    pub(crate) runs: u64,
}

impl Plugin {
    /// Compiles the plugin in `folder`, unless it is there already.
    pub(crate) fn build(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        remove_stale_counts(folder)?;
        let (source, library) = (folder.join("insncount.c"), folder.join("insncount.so"));
        let unchanged = fs::read_to_string(&source).is_ok_and(|old| old == SOURCE);
        if !unchanged || !library.exists() {
            fs::write(&source, SOURCE)?;
            let mut gcc = Command::new("gcc");
            gcc.args([
                "-O2",
                "-Wall",
                "-fPIC",
                "-shared",
                "-Wl,--unresolved-symbols=ignore-all",
            ]);
            process::run(gcc.arg("-o").arg(&library).arg(&source).arg("-lpthread"))?;
        }
        Ok(Self { library })
    }

    /// A counter for one VM; with `profile`, block by block.
    pub(crate) fn counter(&self, name: &str, profile: bool) -> Counter {
        let path = self
            .library
            .with_file_name(format!("{name}.{}.count", std::process::id()));
        let profile = if profile { ",profile=on" } else { "" };
        let argument = format!("{},out={}{profile}", self.library.display(), path.display());
        Counter { argument, path }
    }
}

/// A tool that was killed leaves its counts behind; their names end in its process id.
fn remove_stale_counts(folder: &Path) -> Result<()> {
    for path in fs::read_dir(folder)?.flatten().map(|entry| entry.path()) {
        let pid = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.rsplit('.').next());
        let is_count = path.extension().is_some_and(|ending| ending == "count");
        if is_count && pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

impl Counter {
    /// Instructions that the guest has executed so far.
    pub(crate) fn executed(&self) -> Result<u64> {
        sleep(FRESH);
        self.word(EXECUTED)
    }

    /// The blocks that have run so far, in the order of their first translation.
    pub(crate) fn profile(&self) -> Result<Vec<Block>> {
        let file = File::options().read(true).write(true).open(&self.path)?;
        let request = self.word(REQUEST)? + 1;
        file.write_all_at(&request.to_le_bytes(), REQUEST * 8)?;
        let asked = Instant::now();
        while self.word(ANSWER)? != request {
            ensure!(
                asked.elapsed() < Duration::from_secs(20),
                "the plugin does not answer"
            );
            sleep(FRESH);
        }
        let count = usize::try_from(self.word(BLOCK_COUNT)?)?;
        let mut bytes = vec![0; count * 24];
        file.read_exact_at(&mut bytes, BLOCKS * 8)?;
        Ok(bytes.chunks_exact(24).map(Block::from_bytes).collect())
    }

    fn word(&self, index: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        let file = File::open(&self.path).context("the plugin has not started")?;
        file.read_exact_at(&mut bytes, index * 8)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Block {
    fn from_bytes(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            u64::from_le_bytes(
                bytes[at..at + 8]
                    .try_into()
                    .expect("the slice has eight bytes"),
            )
        };
        Self {
            address: word(0),
            insns: word(8),
            runs: word(16),
        }
    }
}

/// What ran between two profiles of one VM.
pub(crate) fn between(before: &[Block], after: &[Block]) -> Vec<Block> {
    let earlier = |index: usize| before.get(index).map_or(0, |block| block.runs);
    let since = |(index, block): (usize, &Block)| Block {
        runs: block.runs.saturating_sub(earlier(index)),
        ..*block
    };
    after
        .iter()
        .enumerate()
        .map(since)
        .filter(|block| block.runs > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Block, between};

    #[test]
    fn takes_the_difference_of_two_profiles() {
        let block = |address, runs| Block {
            address,
            insns: 5,
            runs,
        };
        let before = [block(0x1000, 10), block(0x2000, 7)];
        let after = [block(0x1000, 15), block(0x2000, 7), block(0x3000, 2)];
        assert_eq!(
            between(&before, &after),
            [block(0x1000, 5), block(0x3000, 2)]
        );
    }

    #[test]
    fn reads_a_block_as_the_plugin_writes_it() {
        let bytes: Vec<u8> = [0x10_0000_u64, 3, 9]
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .collect();
        assert_eq!(
            Block::from_bytes(&bytes),
            Block {
                address: 0x10_0000,
                insns: 3,
                runs: 9
            }
        );
    }
}
