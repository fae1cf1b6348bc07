//! Every collective over every type of number and several lengths.
//!
//! A wrong number ends the image as a failure: the other ranks would wait for ever for one that ended alone.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Debug;

use toro::mpi::{Comm, CommError, Element, Op};
use toro::{ExitCode, println};

/// Lengths of messages: small, that of the original's table, and far beyond its limit.
const LENGTHS: [usize; 4] = [0, 1, 128, 20_000];

/// Checks each type.
pub(crate) fn all_types(comm: &mut Comm) -> Result<(), CommError> {
    check::<u8>(comm, "u8", |n| n)?;
    check::<u16>(comm, "u16", u16::from)?;
    check::<u32>(comm, "u32", |n| u32::from(n) << 20)?;
    check::<u64>(comm, "u64", |n| u64::from(n) << 50)?;
    check::<i8>(comm, "i8", u8::cast_signed)?;
    check::<i16>(comm, "i16", |n| i16::from(n) - 128)?;
    check::<i32>(comm, "i32", |n| (i32::from(n) - 128) << 20)?;
    check::<i64>(comm, "i64", |n| (i64::from(n) - 128) << 50)?;
    check::<f32>(comm, "f32", |n| f32::from(n) * 0.25)?;
    check::<f64>(comm, "f64", |n| f64::from(n) * -0.125)
}

fn check<T: Element + PartialEq + Debug>(
    comm: &mut Comm,
    name: &str,
    number: fn(u8) -> T,
) -> Result<(), CommError> {
    for len in LENGTHS {
        for root in 0..comm.size() {
            let mut case = Case { len, root, number };
            case.one_to_all(comm)?;
            case.all_to_one(comm)?;
        }
        Case {
            len,
            root: 0,
            number,
        }
        .all_to_all(comm)?;
        comm.barrier()?;
    }
    if comm.rank() == 0 {
        println!("{name}: verified on {} ranks", comm.size());
    }
    Ok(())
}

struct Case<T> {
    len: usize,
    root: usize,
    number: fn(u8) -> T,
}

impl<T: Element + PartialEq + Debug> Case<T> {
    /// The numbers of a rank.
    fn of(&self, rank: usize) -> Vec<T> {
        let number = |at: usize| (self.number)(((at * 7 + rank * 13) % 251).to_le_bytes()[0]);
        (0..self.len).map(number).collect()
    }

    fn nothing(&self, parts: usize) -> Vec<T> {
        vec![(self.number)(255); self.len * parts]
    }

    fn all(&self, comm: &Comm) -> Vec<T> {
        (0..comm.size()).flat_map(|rank| self.of(rank)).collect()
    }

    fn combined(&self, comm: &Comm, op: Op) -> Vec<T> {
        let mut all = self.of(0);
        for rank in 1..comm.size() {
            T::combine(op, &mut all, &self.of(rank));
        }
        all
    }

    fn one_to_all(&mut self, comm: &mut Comm) -> Result<(), CommError> {
        let mut numbers = self.of(comm.rank());
        comm.broadcast(self.root, &mut numbers)?;
        same("broadcast", &numbers, &self.of(self.root));

        let mut part = self.nothing(1);
        let whole = self.all(comm);
        comm.scatter(self.root, &whole, &mut part)?;
        same("scatter", &part, &self.of(comm.rank()));
        Ok(())
    }

    fn all_to_one(&mut self, comm: &mut Comm) -> Result<(), CommError> {
        let mine = self.of(comm.rank());
        let is_root = comm.rank() == self.root;
        for op in [Op::Sum, Op::Min, Op::Max] {
            let mut output = self.nothing(1);
            comm.reduce(self.root, op, &mine, &mut output)?;
            if is_root {
                same("reduce", &output, &self.combined(comm, op));
            }
        }
        let mut output = self.nothing(comm.size());
        comm.gather(self.root, &mine, &mut output)?;
        if is_root {
            same("gather", &output, &self.all(comm));
        }
        Ok(())
    }

    fn all_to_all(&self, comm: &mut Comm) -> Result<(), CommError> {
        let mine = self.of(comm.rank());
        for op in [Op::Sum, Op::Min, Op::Max] {
            let mut output = self.nothing(1);
            comm.all_reduce(op, &mine, &mut output)?;
            same("all-reduce", &output, &self.combined(comm, op));
        }
        let mut output = self.nothing(comm.size());
        comm.all_gather(&mine, &mut output)?;
        same("all-gather", &output, &self.all(comm));
        self.around(comm, &mine)
    }

    /// Each rank sends to the next.
    fn around(&self, comm: &mut Comm, mine: &[T]) -> Result<(), CommError> {
        let (rank, size) = (comm.rank(), comm.size());
        comm.send((rank + 1) % size, mine)?;
        let before = (rank + size - 1) % size;
        let mut numbers = self.nothing(1);
        comm.recv(before, &mut numbers)?;
        same("send and receive", &numbers, &self.of(before));
        Ok(())
    }
}

fn same<T: PartialEq>(what: &str, found: &[T], expected: &[T]) {
    if found != expected {
        println!("{what}: WRONG");
        toro::exit(ExitCode::Failure);
    }
}
