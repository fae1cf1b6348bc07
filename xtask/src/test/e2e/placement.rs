//! Random placement: the heap begins elsewhere in each boot, unless the command line says `nokaslr`.

use anyhow::{Context as _, Result, ensure};

use super::TIMEOUT;
use crate::build::{self, Profile};
use crate::qemu::{Machine, Memory, Running, Verdict};
use crate::run::Wish;
use crate::test::tally::Tally;
use crate::workspace::Workspace;

const RANDOM: &str = "e2e: heaps begin elsewhere in each boot";
const FIXED: &str = "e2e: heaps begin at the same place with nokaslr";

/// How often it boots.
const BOOTS: usize = 3;

/// Boots `hello`.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally) {
    for (name, words, is_fixed) in [
        (RANDOM, "log=debug", false),
        (FIXED, "log=debug nokaslr", true),
    ] {
        let workspace = workspace.clone();
        tally.case(name, TIMEOUT, move || {
            let mut heaps = (0..BOOTS)
                .map(|_| heaps(&workspace, words))
                .collect::<Result<Vec<_>>>()?;
            let all = format!("{heaps:?}");
            heaps.sort();
            heaps.dedup();
            // There are hundreds of places for each of two heaps.
            let expected = if is_fixed { 1 } else { BOOTS };
            ensure!(heaps.len() == expected, "the heaps began at {all}");
            Ok(())
        });
    }
}

/// Where the heaps of two cores began in one boot, as the log says it.
fn heaps(workspace: &Workspace, words: &str) -> Result<[String; 2]> {
    let hello = workspace.appliance("hello")?;
    let image = build::build(workspace, "hello", Profile::Release)?;
    let mut wish = Wish::of(hello, Machine::Pc)?;
    wish.memory = Memory::MIB * 64;
    wish.cores = 2;
    words.clone_into(&mut wish.append);
    let vm = wish.vm(workspace, hello, &image)?;
    let mut running = Running::start(&vm.command())?;
    let verdict = running.wait(TIMEOUT)?;
    ensure!(verdict == Verdict::Success, "{verdict}\n{}", running.tail());
    let lines = running.lines();
    let of = |core: u32| {
        let words = format!("heap of core {core}: from ");
        lines
            .iter()
            .find_map(|line| Some(line.split_once(&words)?.1.to_owned()))
            .with_context(|| format!("the log does not say `{words}`\n{}", running.tail()))
    };
    Ok([of(0)?, of(1)?])
}
