//! How long each collective takes, as rank 0 sees it.

use alloc::vec;

use toro::mpi::{Comm, CommError, Op};
use toro::println;
use toro_arch::tsc;

/// Samples of each collective. A host with more to do stops a core in the middle of some, at times of most: the median is what
/// it took here and now, the fastest what the work itself costs.
const SAMPLES: usize = 101;

/// Calls in a sample.
const ROUNDS: u64 = 10;

/// The length of the original's messages.
const SHORT: usize = 128;

/// A length beyond what the original could send.
const LONG: usize = 16 * 1024;

type Step<'a> = &'a mut dyn FnMut(&mut Comm) -> Result<(), CommError>;

/// Prints the table.
pub(crate) fn table(comm: &mut Comm) -> Result<(), CommError> {
    if comm.rank() == 0 {
        println!(
            "{:<22}{:>12}{:>12}{:>12}",
            "cycles", "fastest", "median", "original"
        );
    }
    row(comm, "barrier", "5900", &mut |comm| comm.barrier())?;
    numbers(comm, SHORT, ["3900", "9500"])?;
    numbers(comm, LONG, ["-", "-"])
}

/// The rows for messages of `len` numbers.
fn numbers(comm: &mut Comm, len: usize, original: [&str; 2]) -> Result<(), CommError> {
    let size = comm.size();
    let input = vec![1_i32; len];
    let mut output = vec![0_i32; len];
    let all_input = vec![1_i32; len * size];
    let mut all = vec![0_i32; len * size];
    if comm.rank() == 0 {
        println!("{len} i32:");
    }
    row(comm, "broadcast", original[0], &mut |comm| {
        comm.broadcast(0, &mut output)
    })?;
    row(comm, "reduce", "-", &mut |comm| {
        comm.reduce(0, Op::Sum, &input, &mut output)
    })?;
    row(comm, "all-reduce", original[1], &mut |comm| {
        comm.all_reduce(Op::Sum, &input, &mut output)
    })?;
    row(comm, "gather", "-", &mut |comm| {
        comm.gather(0, &input, &mut all)
    })?;
    row(comm, "all-gather", "-", &mut |comm| {
        comm.all_gather(&input, &mut all)
    })?;
    row(comm, "scatter", "-", &mut |comm| {
        comm.scatter(0, &all_input, &mut output)
    })
}

fn row(comm: &mut Comm, name: &str, original: &str, step: Step<'_>) -> Result<(), CommError> {
    let mut samples = [0; SAMPLES];
    for sample in &mut samples {
        comm.barrier()?;
        let begun = tsc::read();
        for _ in 0..ROUNDS {
            step(comm)?;
        }
        // The last rank to end counts.
        comm.barrier()?;
        *sample = (tsc::read() - begun) / ROUNDS;
    }
    samples.sort_unstable();
    if comm.rank() == 0 {
        let (fastest, median) = (samples[0], samples[SAMPLES / 2]);
        println!("  {name:<20}{fastest:>12}{median:>12}{original:>12}");
    }
    Ok(())
}
