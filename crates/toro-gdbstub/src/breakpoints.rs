//! The points of the image: breakpoint instructions in its code, and what the debug registers watch.
//!
//! While a core talks the code is as it was compiled: instructions are put there when cores go on and taken back when one stops. The core
//! that talks changes these tables; the others look at them when they come and go.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use toro_arch::debug::{self, Access, WATCHES, Watch};
use toro_arch::paging;

use crate::points::{Point, PointKind};

/// As many breakpoints as there can be in code.
const BREAKPOINTS: usize = 64;

/// `int3`.
const INSTRUCTION: u8 = 0xCC;

/// A breakpoint in code.
struct Planted {
    /// 0 if there is none.
    addr: AtomicU64,
    /// What it stands in place of, while it does.
    byte: AtomicU8,
}

static PLANTED: [Planted; BREAKPOINTS] = [const {
    Planted {
        addr: AtomicU64::new(0),
        byte: AtomicU8::new(INSTRUCTION),
    }
}; BREAKPOINTS];

/// What a debug register watches.
struct Watched {
    addr: AtomicU64,
    /// 0 if it watches nothing.
    len: AtomicU64,
    kind: AtomicU8,
}

static WATCHED: [Watched; WATCHES] = [const {
    Watched {
        addr: AtomicU64::new(0),
        len: AtomicU64::new(0),
        kind: AtomicU8::new(0),
    }
}; WATCHES];

impl Watched {
    fn point(&self) -> Option<Point> {
        let len = self.len.load(Ordering::Relaxed);
        let kind = PointKind::parse(self.kind.load(Ordering::Relaxed))?;
        let addr = self.addr.load(Ordering::Relaxed);
        (len != 0).then_some(Point { kind, addr, len })
    }
}

/// What the processor watches for `point`. It cannot watch for reads alone.
fn watch(point: Point) -> Option<Watch> {
    let (len, access) = match point.kind {
        PointKind::Software | PointKind::Read => return None,
        PointKind::Hardware => (1, Access::Execute),
        PointKind::Write => (point.len, Access::Write),
        PointKind::Access => (point.len, Access::Any),
    };
    Watch::new(point.addr, len, access)
}

fn find(addr: u64) -> Option<&'static Planted> {
    let mut all = PLANTED.iter();
    all.find(|planted| planted.addr.load(Ordering::Relaxed) == addr)
}

/// Adds `point`; `false` if there are too many, or it cannot be.
pub(crate) fn insert(point: Point) -> bool {
    if point.kind == PointKind::Software {
        if point.addr == 0 || paging::lookup(point.addr).is_none() {
            return false;
        }
        let free = find(point.addr).or_else(|| find(0));
        return free
            .map(|free| free.addr.store(point.addr, Ordering::Relaxed))
            .is_some();
    }
    if watch(point).is_none() {
        return false;
    }
    let Some(free) = WATCHED.iter().find(|watched| watched.point().is_none()) else {
        return false;
    };
    free.addr.store(point.addr, Ordering::Relaxed);
    free.kind.store(point.kind.digit(), Ordering::Relaxed);
    free.len.store(point.len.max(1), Ordering::Relaxed);
    true
}

/// Takes `point` away; `false` if there is no such point.
pub(crate) fn remove(point: Point) -> bool {
    if point.kind == PointKind::Software {
        let found = find(point.addr).filter(|_| point.addr != 0);
        return found
            .map(|found| found.addr.store(0, Ordering::Relaxed))
            .is_some();
    }
    let wanted = Point {
        len: point.len.max(1),
        ..point
    };
    let found = WATCHED
        .iter()
        .find(|watched| watched.point() == Some(wanted));
    found
        .map(|found| found.len.store(0, Ordering::Relaxed))
        .is_some()
}

/// Takes all points away.
pub(crate) fn clear() {
    PLANTED
        .iter()
        .for_each(|planted| planted.addr.store(0, Ordering::Relaxed));
    WATCHED
        .iter()
        .for_each(|watched| watched.len.store(0, Ordering::Relaxed));
}

/// Puts the instructions into the code.
///
/// # Context
/// The core that talks.
pub(crate) fn plant() {
    for planted in &PLANTED {
        let addr = planted.addr.load(Ordering::Relaxed);
        let mut byte = [0];
        if addr != 0 && debug::read(addr, &mut byte) == 1 {
            planted.byte.store(byte[0], Ordering::Relaxed);
            write(addr, INSTRUCTION);
        }
    }
}

/// Takes the instructions out of the code.
///
/// # Context
/// The core that talks.
pub(crate) fn lift() {
    for planted in &PLANTED {
        let addr = planted.addr.load(Ordering::Relaxed);
        if addr != 0 {
            write(addr, planted.byte.load(Ordering::Relaxed));
        }
    }
}

fn write(addr: u64, byte: u8) {
    // SAFETY: 1. the other cores wait, or were just let in by the one that talks; 2. the breakpoint is what gdb asked for, and the
    // byte is what was there.
    unsafe { debug::write(addr, &[byte]) };
}

/// Whether the breakpoint instruction at `addr` is, or was, one of these and not the image's own.
pub(crate) fn is_planted(addr: u64) -> bool {
    let mut byte = [INSTRUCTION];
    let is_own = debug::read(addr, &mut byte) == 1 && byte == [INSTRUCTION];
    !is_own || find(addr).is_some()
}

/// Makes the running core watch what is to be watched.
pub(crate) fn load() {
    let mut watches = [None; WATCHES];
    for (watch_of, watched) in watches.iter_mut().zip(&WATCHED) {
        *watch_of = watched.point().and_then(watch);
    }
    debug::watch(&watches);
}

/// The point that the bits of DR6 tell of.
pub(crate) fn hit(status: u64) -> Option<Point> {
    let mut all = WATCHED.iter().enumerate();
    all.find_map(|(index, watched)| watched.point().filter(|_| status >> index & 1 != 0))
}

/// Whether a debug register watches for the execution of the instruction at `addr`.
pub(crate) fn is_watched_code(addr: u64) -> bool {
    let mut points = WATCHED.iter().filter_map(Watched::point);
    points.any(|point| point.kind == PointKind::Hardware && point.addr == addr)
}
