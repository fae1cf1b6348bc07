//! Waiting for whichever of two futures ends first.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

/// What the first of two futures to end gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// It was the first one.
    First(A),
    /// It was the second one.
    Second(B),
}

/// Waits for the first of `a` and `b` to end, and drops the other. If both have ended it is `a`.
pub async fn select<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let mut a = pin!(a);
    let mut b = pin!(b);
    poll_fn(|context| {
        if let Poll::Ready(output) = a.as_mut().poll(context) {
            return Poll::Ready(Either::First(output));
        }
        b.as_mut().poll(context).map(Either::Second)
    })
    .await
}

#[cfg(test)]
mod tests {
    use core::future::{pending, ready};
    use core::task::{Context, Waker};

    use super::*;

    fn check<A, B>(a: A, b: B, expected: Poll<Either<A::Output, B::Output>>)
    where
        A: Future<Output = u8>,
        B: Future<Output = u8>,
    {
        let mut future = pin!(select(a, b));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(future.as_mut().poll(&mut context), expected);
    }

    #[test]
    fn the_first_to_end_wins() {
        check(ready(1), pending(), Poll::Ready(Either::First(1)));
        check(pending(), ready(2), Poll::Ready(Either::Second(2)));
        check(ready(1), ready(2), Poll::Ready(Either::First(1)));
        check(pending(), pending(), Poll::Pending);
    }
}
