//! Runs the collectives over every type of number, checks and measures them.
//!
//! Each core is a rank. The image fails if a number is wrong on any rank. Times are in cycles of the time stamp counter, next to those
//! of the Toro that was written in Pascal, on an emulated machine with two cores; it had integers of 32 bits only, and messages of
//! up to 1020 bytes.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

extern crate alloc;

mod timing;
mod verify;

use toro::mpi::{self, Comm, CommError};
use toro::{ExitCode, println};

toro::main!(main);

fn main() {
    let ranks = mpi::run(work).expect("there is memory for the ranks");
    let mut all_right = true;
    for (rank, result) in ranks.into_iter().enumerate() {
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                println!("rank {rank}: {error}");
                all_right = false;
            }
            Err(error) => {
                println!("rank {rank}: {error}");
                all_right = false;
            }
        }
    }
    if !all_right {
        toro::exit(ExitCode::Failure);
    }
    println!("collectives: verified");
}

/// What each rank does.
fn work(comm: &mut Comm) -> Result<(), CommError> {
    verify::all_types(comm)?;
    timing::table(comm)
}
