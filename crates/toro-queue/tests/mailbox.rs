//! The mailbox with real threads, and what it does with what it is given.

#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use toro_queue::{Link, Linked, Mailbox, Posted};

#[derive(Debug)]
struct Letter {
    number: usize,
    link: Link<Letter>,
    dropped: Arc<AtomicUsize>,
}

// SAFETY: 1. the link is a field of the letter.
unsafe impl Linked for Letter {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Drop for Letter {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Letter {
    fn new(number: usize, dropped: &Arc<AtomicUsize>) -> Self {
        Self {
            number,
            link: Link::new(),
            dropped: Arc::clone(dropped),
        }
    }
}

fn letter(number: usize) -> Arc<Letter> {
    Arc::new(Letter::new(number, &Arc::default()))
}

fn numbers(mailbox: &Mailbox<Arc<Letter>>) -> Vec<usize> {
    mailbox.take_all().map(|letter| letter.number).collect()
}

#[test]
fn posts_come_out_in_their_order() {
    let mailbox = Mailbox::new();
    assert!(mailbox.is_empty());
    assert_eq!(mailbox.post(letter(1)).expect("it is new"), Posted::First);
    assert_eq!(mailbox.post(letter(2)).expect("it is new"), Posted::Behind);
    assert_eq!(mailbox.post(letter(3)).expect("it is new"), Posted::Behind);
    assert!(!mailbox.is_empty());
    assert_eq!(numbers(&mailbox), [1, 2, 3]);
    assert_eq!(numbers(&mailbox), []);
}

#[test]
fn a_node_is_in_one_mailbox_at_a_time() {
    let (first, second) = (Mailbox::new(), Mailbox::new());
    let letter = letter(1);
    assert!(first.post(Arc::clone(&letter)).is_ok());
    assert!(first.post(Arc::clone(&letter)).is_err());
    assert!(second.post(Arc::clone(&letter)).is_err());
    assert!(letter.link.is_linked());
    assert_eq!(numbers(&first), [1]);
    assert!(!letter.link.is_linked());
    assert!(second.post(Arc::clone(&letter)).is_ok());
    assert_eq!(numbers(&second), [1]);
    assert_eq!(Arc::strong_count(&letter), 1);
}

#[test]
fn the_first_post_to_a_sleeper_rings_and_no_other() {
    let mailbox = Mailbox::new();
    assert!(mailbox.announce_sleep());
    assert!(mailbox.is_empty());
    assert_eq!(mailbox.post(letter(1)).expect("it is new"), Posted::Wake);
    assert_eq!(mailbox.post(letter(2)).expect("it is new"), Posted::Behind);
    assert!(!mailbox.announce_sleep(), "there is something to take");
    assert_eq!(numbers(&mailbox), [1, 2]);
    assert_eq!(mailbox.post(letter(3)).expect("it is new"), Posted::First);
}

#[test]
fn taking_ends_the_sleep() {
    let mailbox = Mailbox::new();
    assert!(mailbox.announce_sleep());
    assert_eq!(numbers(&mailbox), []);
    assert_eq!(mailbox.post(letter(1)).expect("it is new"), Posted::First);
}

#[test]
fn what_is_not_taken_is_dropped() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let post = |mailbox: &Mailbox<Box<Letter>>| {
        let letter = Letter::new(0, &dropped);
        mailbox.post(Box::new(letter)).expect("it is new");
    };
    let mailbox = Mailbox::new();
    (0..3).for_each(|_| post(&mailbox));
    let mut taken = mailbox.take_all();
    drop(taken.next());
    drop(taken);
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
    (0..3).for_each(|_| post(&mailbox));
    drop(mailbox);
    assert_eq!(dropped.load(Ordering::Relaxed), 6);
}

#[test]
fn four_posters_lose_nothing_and_keep_their_order() {
    const POSTERS: usize = 4;
    const EACH: usize = 20_000;
    let mailbox = Mailbox::new();
    let mut last = [0; POSTERS];
    thread::scope(|scope| {
        for poster in 0..POSTERS {
            let mailbox = &mailbox;
            scope.spawn(move || {
                for number in 1..=EACH {
                    mailbox
                        .post(letter(number * POSTERS + poster))
                        .expect("it is new");
                }
            });
        }
        while last.iter().sum::<usize>() < POSTERS * EACH {
            for letter in mailbox.take_all() {
                let (number, poster) = (letter.number / POSTERS, letter.number % POSTERS);
                assert_eq!(number, last[poster] + 1, "poster {poster}");
                last[poster] = number;
            }
            thread::yield_now();
        }
    });
    assert_eq!(last, [EACH; POSTERS]);
}
