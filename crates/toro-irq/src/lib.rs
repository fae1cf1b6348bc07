//! From vector to waker.
//!
//! An interrupt stub sets a bit in its core's pending word (`toro_arch::trap`). The scheduler loop calls [`dispatch`], which
//! wakes the [`Waker`] that was bound to each bit: whoever waits for the device runs next, as an ordinary thread. Vectors
//! are a core's own: the same number means another device on another core.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod line;

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::task::Waker;

use toro_arch::core_local;
use toro_arch::ioapic::IoApic;
use toro_arch::trap::{FIRST_IRQ, IRQS};
use toro_sync::{Once, PerCore};
use toro_trace::Kind;

pub use line::{LineShare, share_line};

/// An interrupt vector of one core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(u8);

impl Vector {
    /// The number by which the processor, a message or the I/O APIC names it.
    pub fn number(self) -> u8 {
        self.0
    }

    fn bit(self) -> usize {
        usize::from(self.0 - FIRST_IRQ)
    }
}

/// The local timer's vector, on every core.
pub const TIMER: Vector = Vector(toro_arch::watch::TIMER);
/// The vector by which another core ends this one's sleep.
pub const WAKE: Vector = Vector(FIRST_IRQ + 1);
const FIRST_FREE: u8 = FIRST_IRQ + 2;

/// What dispatching learnt beyond the wakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispatched {
    /// The local timer has fired.
    pub timer: bool,
}

struct Vectors {
    wakers: RefCell<[Option<Waker>; IRQS]>,
    /// How often each was dispatched; wraps.
    arrivals: [Cell<u32>; IRQS],
    next_free: Cell<u8>,
}

static VECTORS: PerCore<Vectors> = PerCore::new();
static IOAPICS: Once<Vec<IoApic>> = Once::new();

/// No vector or no interrupt line is left for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// Every vector of this core is taken.
    NoVector,
    /// No I/O APIC has a line of this number.
    NoSuchLine(u32),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVector => f.write_str("every interrupt vector of this core is taken"),
            Self::NoSuchLine(line) => write!(f, "no I/O APIC has interrupt line {line}"),
        }
    }
}

impl core::error::Error for RouteError {}

/// Starts the running core's vectors.
pub fn init() {
    VECTORS.init(Vectors {
        wakers: RefCell::new([const { None }; IRQS]),
        arrivals: [const { Cell::new(0) }; IRQS],
        next_free: Cell::new(FIRST_FREE),
    });
}

/// Names the machine's I/O APICs: once, on the core that boots.
pub fn set_ioapics(ioapics: Vec<IoApic>) {
    IOAPICS.call_once(|| ioapics);
}

/// Takes a free vector of the running core.
///
/// # Errors
/// Fails if there is none left.
pub fn allocate() -> Result<Vector, RouteError> {
    VECTORS.with(|vectors| {
        let number = vectors.next_free.get();
        if usize::from(number - FIRST_IRQ) >= IRQS {
            return Err(RouteError::NoVector);
        }
        vectors.next_free.set(number + 1);
        Ok(Vector(number))
    })
}

/// Makes each arrival of `vector` on this core wake `waker`, in place of the one before.
pub fn bind(vector: Vector, waker: &Waker) {
    VECTORS.with(
        |vectors| match &mut vectors.wakers.borrow_mut()[vector.bit()] {
            Some(bound) => bound.clone_from(waker),
            free => *free = Some(waker.clone()),
        },
    );
}

/// How often `vector` of this core has arrived ever; wraps. Arrivals that were not told apart count once.
pub fn arrivals(vector: Vector) -> u32 {
    VECTORS.with(|vectors| vectors.arrivals[vector.bit()].get())
}

/// Calls `visit` with the number of each vector that has arrived on this core, and [how often](arrivals). The timer is not among them.
pub fn each_arrival(mut visit: impl FnMut(u8, u32)) {
    VECTORS.with(|vectors| {
        for (number, arrivals) in (FIRST_IRQ..).zip(&vectors.arrivals) {
            if arrivals.get() > 0 {
                visit(number, arrivals.get());
            }
        }
    });
}

/// Sends the edges of interrupt line `gsi` to `vector` of the running core.
fn route_line(gsi: u32, vector: Vector, active_low: bool) -> Result<(), RouteError> {
    find_line(gsi)?.route(gsi, vector.number(), local_apic_id(), active_low);
    Ok(())
}

/// Keeps interrupt line `gsi` from its core, or lets it come again.
fn mask_line(gsi: u32, is_masked: bool) {
    if let Ok(ioapic) = find_line(gsi) {
        ioapic.mask(gsi, is_masked);
    }
}

/// Sends the rising edges of interrupt line `gsi` to the running core as interrupts that cannot be masked: for a debugger.
///
/// # Errors
/// Fails if no I/O APIC has the line.
pub fn route_line_as_nmi(gsi: u32) -> Result<(), RouteError> {
    find_line(gsi)?.route_nmi(gsi, local_apic_id());
    Ok(())
}

#[inline(never)]
fn find_line(gsi: u32) -> Result<IoApic, RouteError> {
    let ioapics = IOAPICS.get().map_or(&[][..], Vec::as_slice);
    let ioapic = ioapics.iter().find(|ioapic| ioapic.owns(gsi));
    ioapic.copied().ok_or(RouteError::NoSuchLine(gsi))
}

/// The running core's APIC id: where a device's message has to go.
pub fn local_apic_id() -> u32 {
    core_local::apic_id(core_local::id())
}

/// Wakes whoever waits for the interrupts that have arrived on this core, and notes them if `IS_TRACED`.
pub fn dispatch<const IS_TRACED: bool>() -> Dispatched {
    let mut pending = core_local::take_pending();
    let timer = 1 << TIMER.bit();
    let dispatched = Dispatched {
        timer: pending & timer != 0,
    };
    if IS_TRACED && dispatched.timer {
        toro_trace::note(Kind::Irq, u64::from(TIMER.number()));
    }
    pending &= !timer;
    VECTORS.with(|vectors| {
        let wakers = vectors.wakers.borrow();
        while pending != 0 {
            let bit = pending.trailing_zeros() as usize;
            pending &= pending - 1;
            if IS_TRACED {
                toro_trace::note(Kind::Irq, u64::from(FIRST_IRQ) + bit as u64);
            }
            let arrivals = &vectors.arrivals[bit];
            arrivals.set(arrivals.get().wrapping_add(1));
            if let Some(waker) = &wakers[bit] {
                waker.wake_by_ref();
            }
        }
    });
    dispatched
}
