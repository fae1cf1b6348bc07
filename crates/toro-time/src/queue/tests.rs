//! Tests of [`TimerQueue`] against a sorted map.

use std::collections::BTreeMap;
use std::vec::Vec;

use super::*;

extern crate std;

/// Marsaglia's xorshift: a fixed seed makes a failure repeatable.
struct XorShift(u64);

impl XorShift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn drain(queue: &mut TimerQueue<u64>, now: u64) -> Vec<u64> {
    core::iter::from_fn(|| queue.pop_expired(at(now))).collect()
}

#[test]
fn fires_in_the_order_of_the_deadlines() {
    let mut queue = TimerQueue::new();
    for nanos in [30, 10, 50, 20, 40] {
        queue.insert(at(nanos), nanos);
    }
    assert_eq!(queue.next_deadline(), Some(at(10)));
    assert_eq!(drain(&mut queue, 9), []);
    assert_eq!(drain(&mut queue, 30), [10, 20, 30]);
    assert_eq!(queue.next_deadline(), Some(at(40)));
    assert_eq!(drain(&mut queue, u64::MAX), [40, 50]);
    assert_eq!(queue.next_deadline(), None);
}

#[test]
fn fires_equal_deadlines_in_the_order_of_insertion() {
    let mut queue = TimerQueue::new();
    for i in 0..100 {
        queue.insert(at(7), i);
    }
    assert_eq!(drain(&mut queue, 7), (0..100).collect::<Vec<_>>());
}

#[test]
fn a_cancelled_timer_does_not_fire() {
    let mut queue = TimerQueue::new();
    let keys: Vec<_> = (0..10).map(|i| queue.insert(at(i), i)).collect();
    assert_eq!(queue.cancel(keys[3]), Some(3));
    assert_eq!(queue.cancel(keys[0]), Some(0));
    assert_eq!(queue.cancel(keys[9]), Some(9));
    assert_eq!(drain(&mut queue, 99), [1, 2, 4, 5, 6, 7, 8]);
}

#[test]
fn a_stale_key_cancels_nothing() {
    let mut queue = TimerQueue::new();
    let fired = queue.insert(at(1), 1);
    let cancelled = queue.insert(at(2), 2);
    assert_eq!(queue.cancel(cancelled), Some(2));
    assert_eq!(queue.pop_expired(at(1)), Some(1));
    // Both slots are used again.
    queue.insert(at(3), 3);
    queue.insert(at(4), 4);
    assert_eq!(queue.cancel(fired), None);
    assert_eq!(queue.cancel(cancelled), None);
    assert_eq!(drain(&mut queue, 9), [3, 4]);
}

#[test]
fn an_empty_queue_gives_its_memory_back() {
    let mut queue = TimerQueue::new();
    let keys: Vec<_> = (0..5000).map(|i| queue.insert(at(i), i)).collect();
    assert_eq!(drain(&mut queue, u64::MAX).len(), 5000);
    assert_eq!(
        queue.order.heap.capacity() + queue.order.slots.capacity() + queue.values.capacity(),
        0
    );
    queue.insert(at(1), 1);
    assert!(keys.iter().all(|&key| queue.cancel(key).is_none()));
}

#[test]
fn agrees_with_a_sorted_map() {
    let mut random = XorShift(0x5EED_0001);
    let mut queue = TimerQueue::new();
    let mut model = BTreeMap::new();
    let mut keys = Vec::new();
    let mut now = 0;
    for number in 0..50_000 {
        match random.next() % 4 {
            0 | 1 => {
                // Few different moments, so that many are equal.
                let deadline = now + random.next() % 64;
                keys.push((queue.insert(at(deadline), number), (deadline, number)));
                model.insert((deadline, number), number);
            }
            2 if !keys.is_empty() => {
                let index = usize::try_from(random.next()).unwrap() % keys.len();
                let (key, entry) = keys.swap_remove(index);
                assert_eq!(queue.cancel(key), model.remove(&entry));
            }
            _ => {
                now += random.next() % 8;
                let later = model.split_off(&(now + 1, 0));
                let due: Vec<_> = core::mem::replace(&mut model, later)
                    .into_values()
                    .collect();
                assert_eq!(drain(&mut queue, now), due);
            }
        }
        assert_eq!(queue.len(), model.len());
        assert_eq!(
            queue.next_deadline(),
            model.keys().next().map(|&(d, _)| at(d))
        );
    }
}

#[test]
fn a_million_timers_fire_in_order() {
    let mut random = XorShift(0x5EED_0002);
    let mut queue = TimerQueue::new();
    let keys: Vec<_> = (0..1_000_000)
        .map(|_| {
            let deadline = random.next() >> 34;
            (queue.insert(at(deadline), deadline), deadline)
        })
        .collect();
    for &(key, deadline) in keys.iter().step_by(4) {
        assert_eq!(queue.cancel(key), Some(deadline));
    }
    let mut last = 0;
    let mut fired = 0;
    while let Some(deadline) = queue.pop_expired(Instant::FAR_FUTURE) {
        assert!(deadline >= last);
        last = deadline;
        fired += 1;
    }
    assert_eq!(fired, 750_000);
}
