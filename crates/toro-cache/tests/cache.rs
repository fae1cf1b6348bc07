//! The cache over a store that remembers and fails.

mod recorder;

use std::rc::Rc;

use recorder::{Event, Recorder};
use toro_cache::{
    BLOCK, BlockStore, Cache, MemoryStore, Order, ReadOnly, SECTOR, StoreError, Window,
};
use toro_fsx::Random;

/// A store of 400 and a half blocks with a cache of 16 blocks.
fn cache() -> (Rc<Recorder>, Cache) {
    let store = Rc::new(Recorder::new(vec![0; 400 * BLOCK + 4 * SECTOR]));
    (store.clone(), Cache::new(store, 16 * BLOCK))
}

fn read(cache: &mut Cache, offset: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; len];
    cache.read(offset, &mut bytes).expect("it is in the store");
    bytes
}

#[test]
fn random_bytes_come_back_and_memory_is_bounded() {
    let (store, mut cache) = cache();
    let mut model = store.to_vec();
    let mut random = Random::new(1);
    for _ in 0..6_000 {
        let longest = if random.below(10) == 0 { 80_000 } else { 3_000 };
        let len = 1 + random.index(longest);
        let start = random.index(model.len() - len);
        // Large pieces take the direct way only where a block begins.
        let start = if random.below(2) == 0 {
            start / BLOCK * BLOCK
        } else {
            start
        };
        let orders = [Order::First, Order::Second];
        match random.below(4) {
            0 => assert!(read(&mut cache, start as u64, len) == model[start..start + len]),
            1 => cache.sync().expect("the store works"),
            at => {
                let byte = random.next_u64().to_le_bytes()[0];
                model[start..start + len].fill(byte);
                let order = orders[usize::try_from(at).expect("it is small") - 2];
                let bytes = &model[start..start + len];
                cache.write(start as u64, bytes, order).expect("it works");
            }
        }
        assert!(cache.blocks() <= 16);
    }
    cache.sync().expect("the store works");
    assert!(store.to_vec() == model);
}

#[test]
fn what_points_is_written_behind_what_it_points_to() {
    let (store, mut cache) = cache();
    cache
        .write(0, &[2; SECTOR], Order::Second)
        .expect("it works");
    cache
        .write(512, &[1; SECTOR], Order::First)
        .expect("it works");
    cache
        .write(40_960, &[1; 100], Order::First)
        .expect("it works");
    cache.sync().expect("the store works");
    let kinds: Vec<_> = store
        .events
        .borrow()
        .iter()
        .map(|event| match event {
            Event::Write(_, bytes) => bytes[0],
            Event::Flush => 0,
        })
        .collect();
    assert_eq!(kinds, [1, 1, 0, 2, 0]);
    cache.sync().expect("the store works");
    assert_eq!(store.events.borrow().len(), 5, "nothing was left to flush");
}

#[test]
fn no_power_cut_leaves_what_points_to_nothing() {
    let (store, mut cache) = cache();
    let mut random = Random::new(2);
    for round in 1..40_u8 {
        let place = u64::from(round) * 8192;
        cache
            .write(place, &[round; 9000], Order::First)
            .expect("it works");
        cache.write(0, &[round], Order::Second).expect("it works");
        if round % 5 == 0 {
            cache.sync().expect("the store works");
        }
    }
    let events = store.events.borrow().len();
    for _ in 0..300 {
        let behind = random.index(events + 1);
        let disk = store.cut(behind, || random.below(2) == 0);
        let points_to = usize::from(disk[0]);
        let there = points_to == 0 || usize::from(disk[points_to * 8192]) >= points_to;
        assert!(there, "round {points_to} is missing behind event {behind}");
    }
}

#[test]
fn a_sector_of_both_orders_leaves_twice() {
    let (store, mut cache) = cache();
    cache.write(0, &[2], Order::Second).expect("it works");
    cache.write(1, &[1], Order::First).expect("it works");
    cache.sync().expect("the store works");
    let writes = |event: &&Event| matches!(event, Event::Write(..));
    assert_eq!(store.events.borrow().iter().filter(writes).count(), 2);
}

#[test]
fn a_failed_write_or_flush_stays_an_error() {
    for error in [StoreError::Write, StoreError::Flush] {
        let (store, mut cache) = cache();
        cache.write(0, &[1], Order::First).expect("it works");
        store.failing.set(Some(error));
        assert_eq!(cache.sync(), Err(error));
        store.failing.set(None);
        assert_eq!(cache.sync(), Err(error));
        assert_eq!(cache.write(0, &[1], Order::First), Err(error));
        assert_eq!(read(&mut cache, 0, 1), [1], "what is in memory can be read");
    }
}

#[test]
fn a_failed_read_does_not_stay() {
    let (store, mut cache) = cache();
    store.failing.set(Some(StoreError::Read));
    assert_eq!(cache.read(0, &mut [0]), Err(StoreError::Read));
    store.failing.set(None);
    assert_eq!(read(&mut cache, 0, 1), [0]);
    cache.sync().expect("the store works");
}

#[test]
fn a_store_without_flush_makes_sync_an_error() {
    let (store, mut cache) = cache();
    store.can_flush.set(false);
    cache
        .write(0, &[7; SECTOR], Order::Second)
        .expect("it works");
    assert_eq!(cache.sync(), Err(StoreError::NoFlush));
    assert_eq!(store.to_vec()[..SECTOR], [7; SECTOR], "it was written");
    cache
        .write(0, &[8], Order::First)
        .expect("only sync is an error");
}

#[test]
fn sequences_are_read_ahead() {
    let (store, mut cache) = cache();
    for at in 0..1000 {
        read(&mut cache, at * 400, 400);
    }
    assert!(
        store.reads.get() < 40,
        "{} reads of 98 blocks",
        store.reads.get()
    );
}

#[test]
fn what_lies_outside_is_an_error() {
    let (_, mut cache) = cache();
    let end = cache.len();
    assert_eq!(
        cache.read(end - 1, &mut [0; 2]),
        Err(StoreError::OutOfRange)
    );
    assert_eq!(
        cache.read(u64::MAX, &mut [0; 2]),
        Err(StoreError::OutOfRange)
    );
    assert_eq!(
        cache.write(end, &[0], Order::First),
        Err(StoreError::OutOfRange)
    );
    assert_eq!(read(&mut cache, end - 5, 5), [0; 5]);
}

#[test]
fn a_window_ends_where_it_says() {
    let store = Rc::new(MemoryStore::new(
        (0..=255).cycle().take(10 * SECTOR).collect(),
    ));
    let window = Window::new(store.clone(), 4, 3).expect("it fits");
    let mut sector = [0; SECTOR];
    assert_eq!(window.write(2, &[9; SECTOR]), Ok(()));
    assert_eq!(window.read(3, &mut sector), Err(StoreError::OutOfRange));
    assert_eq!(
        window.read(u64::MAX, &mut sector),
        Err(StoreError::OutOfRange)
    );
    assert_eq!(store.to_vec()[6 * SECTOR..7 * SECTOR], [9; SECTOR]);
    assert!(Window::new(store.clone(), 8, 3).is_err());
    assert!(Window::new(store, u64::MAX, 3).is_err());
}

#[test]
fn a_read_only_store_refuses_writes() {
    let store = Rc::new(ReadOnly::new(MemoryStore::new(vec![0; BLOCK])));
    let mut cache = Cache::new(store, 0);
    assert_eq!(
        cache.write(0, &[1], Order::First),
        Err(StoreError::ReadOnly)
    );
    assert_eq!(cache.sync(), Ok(()));
}
