//! Groups of up to nine ranks whose futures are polled in turn.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::{Comm, CommError, Element, Op, group};

type Rank<R> = Pin<Box<dyn Future<Output = R>>>;

/// Runs `body` as each rank of a group of `size`, a poll each in turn, and gives their results.
fn run<R, F>(size: usize, body: impl Fn(Comm) -> F) -> Vec<R>
where
    F: Future<Output = R> + 'static,
{
    let mut context = Context::from_waker(Waker::noop());
    let mut ranks: Vec<Rank<R>> = Vec::new();
    for comm in group(size) {
        ranks.push(Box::pin(body(comm)));
    }
    let mut results: Vec<Option<R>> = ranks.iter().map(|_| None).collect();
    for _ in 0..10_000 {
        for (rank, result) in ranks.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(value) = rank.as_mut().poll(&mut context)
            {
                *result = Some(value);
            }
        }
    }
    let ended = results.into_iter().map(|result| result.expect("it ends"));
    ended.collect()
}

/// Runs every collective of every size of group, from and to every root, over numbers made by `number`.
fn check<T: Element + PartialEq + core::fmt::Debug>(number: fn(usize) -> T) {
    for size in 1..=9 {
        let checked = run(size, |comm| all_collectives(comm, number));
        assert_eq!(checked, vec![Ok(()); size]);
    }
}

async fn all_collectives<T: Element + PartialEq + core::fmt::Debug>(
    mut comm: Comm,
    number: fn(usize) -> T,
) -> Result<(), CommError> {
    const LEN: usize = 3;
    let (rank, size) = (comm.rank(), comm.size());
    let of = |rank: usize| -> Vec<T> { (0..LEN).map(|at| number(rank + at)).collect() };
    let all: Vec<T> = (0..size).flat_map(of).collect();
    let nothing = number(100);
    for root in 0..size {
        let mut numbers = of(rank);
        comm.broadcast_async(root, &mut numbers).await?;
        assert_eq!(numbers, of(root));

        for op in [Op::Sum, Op::Min, Op::Max] {
            let expected = combined(op, size, of);
            let mut output = [nothing; LEN];
            comm.reduce_async(root, op, &of(rank), &mut output).await?;
            let here = rank == root;
            assert_eq!(output, if here { expected } else { [nothing; LEN] }[..]);
        }

        let mut output = vec![nothing; LEN * size];
        comm.gather_async(root, &of(rank), &mut output).await?;
        assert_eq!(output == all, rank == root);

        let input = if rank == root { &all[..] } else { &[] };
        let mut output = [nothing; LEN];
        comm.scatter_async(root, input, &mut output).await?;
        assert_eq!(output, of(rank)[..]);
        comm.barrier_async().await?;
    }
    for op in [Op::Sum, Op::Min, Op::Max] {
        let mut output = [nothing; LEN];
        comm.all_reduce_async(op, &of(rank), &mut output).await?;
        assert_eq!(output, combined(op, size, of)[..]);
    }
    let mut output = vec![nothing; LEN * size];
    comm.all_gather_async(&of(rank), &mut output).await?;
    assert_eq!(output, all);
    Ok(())
}

fn combined<T: Element>(op: Op, size: usize, of: impl Fn(usize) -> Vec<T>) -> [T; 3] {
    let mut all = of(0);
    for rank in 1..size {
        T::combine(op, &mut all, &of(rank));
    }
    all.try_into().ok().expect("three numbers")
}

#[test]
fn collectives_work_over_bytes() {
    check(|n| u8::try_from(n * 7 % 256).expect("a byte"));
    check(|n| i8::try_from(n % 100).expect("a byte") - 50);
}

#[test]
fn collectives_work_over_integers() {
    check(|n| u32::MAX - u32::try_from(n).expect("small"));
    check(|n| i64::try_from(n).expect("small") - 4);
}

#[test]
fn collectives_work_over_floats() {
    check(|n| f32::from(u8::try_from(n).expect("small")) * 0.5);
    check(|n| 4.0 - f64::from(u8::try_from(n).expect("small")));
}

#[test]
fn nobody_leaves_a_barrier_before_all_have_come() {
    let mut context = Context::from_waker(Waker::noop());
    for size in 2..=9 {
        let mut comms = group(size);
        let (late, early) = comms.split_last_mut().expect("two at least");
        let mut waits: Vec<Rank<_>> = Vec::new();
        for comm in early {
            let comm = core::mem::replace(comm, group(1).remove(0));
            waits.push(Box::pin(async move {
                let mut comm = comm;
                comm.barrier_async().await
            }));
        }
        for _ in 0..10 {
            for wait in &mut waits {
                assert!(wait.as_mut().poll(&mut context).is_pending());
            }
        }
        let mut last = Box::pin(late.barrier_async());
        let mut ended = false;
        for _ in 0..10 {
            ended = ended || last.as_mut().poll(&mut context).is_ready();
            waits.retain_mut(|wait| wait.as_mut().poll(&mut context).is_pending());
        }
        assert!(ended && waits.is_empty());
    }
}

#[test]
fn messages_keep_their_order_and_stay_apart_from_collectives() {
    let sums = run(2, |mut comm| async move {
        let mut number = [0_u16];
        if comm.rank() == 0 {
            for n in 1..=5_u16 {
                comm.send_async(1, &[n]).await?;
            }
        }
        comm.broadcast_async(0, &mut [7_u64]).await?;
        let mut seen = Vec::new();
        if comm.rank() == 1 {
            for _ in 1..=5 {
                comm.recv_async(0, &mut number).await?;
                seen.push(number[0]);
            }
        }
        Ok::<_, CommError>(seen)
    });
    assert_eq!(sums, [Ok(vec![]), Ok(vec![1, 2, 3, 4, 5])]);
}

#[test]
fn large_messages_pass() {
    let done = run(3, |mut comm| async move {
        let mut numbers = vec![1_u64; 100_000];
        let input = numbers.clone();
        comm.all_reduce_async(Op::Sum, &input, &mut numbers).await?;
        assert!(numbers.iter().all(|n| *n == 3));
        Ok::<_, CommError>(())
    });
    assert_eq!(done, [Ok(()); 3]);
}

#[test]
fn disagreement_is_an_error() {
    let length = run(2, |mut comm| async move {
        let mut numbers = vec![0_u8; 1 + comm.rank()];
        comm.broadcast_async(0, &mut numbers).await
    });
    let wrong = CommError::Length {
        expected: 2,
        found: 1,
    };
    assert_eq!(length, [Ok(()), Err(wrong)]);
    let kind = run(2, |mut comm| async move {
        match comm.rank() {
            0 => comm.broadcast_async(0, &mut [0_u8]).await,
            _ => comm.broadcast_async(0, &mut [0_u16]).await,
        }
    });
    assert_eq!(kind, [Ok(()), Err(CommError::Type)]);
    let rank = run(2, |mut comm| async move {
        comm.broadcast_async(2, &mut [0_u8]).await
    });
    assert_eq!(rank, [Err(CommError::NoSuchRank(2)); 2]);
}

#[test]
fn a_rank_that_has_ended_is_an_error() {
    let barrier = run(2, |mut comm| async move {
        match comm.rank() {
            0 => Ok(()),
            _ => comm.barrier_async().await,
        }
    });
    assert_eq!(barrier, [Ok(()), Err(CommError::Gone(0))]);
}
