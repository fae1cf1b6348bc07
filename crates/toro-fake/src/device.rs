//! [`FakeDevice`] and its [`FakeTransport`]: one device, seen from the test and from the driver.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Waker;

use toro_pci::Registers;
use toro_virtio::feature::EVENT_IDX;
use toro_virtio::ring::Layout;
use toro_virtio::transport::status;
use toro_virtio::{Causes, DeviceType, Doorbell, Message, SetQueueError, Transport};

use crate::rings::{DeviceRings, Request};

/// What no test does while it holds a lock: to panic.
const UNHARMED: &str = "no holder of the lock panics";

/// Length of the configuration in bytes.
const CONFIG: usize = 64;

/// What the device says about itself against the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lies {
    /// It does not take the features that it has offered.
    pub refuses_features: bool,
    /// It never finishes a reset.
    pub ignores_reset: bool,
    /// Its configuration changes at every look.
    pub restless_config: bool,
    /// It has no configuration.
    pub no_config: bool,
}

#[derive(Debug)]
struct State {
    device_type: DeviceType,
    offered: u64,
    accepted: u64,
    status: u8,
    generation: Cell<u32>,
    config: Registers,
    max_size: u32,
    messages_left: u16,
    queues: Vec<Option<DeviceRings>>,
    causes: Causes,
    interrupts: u32,
    /// The driver has masked interrupts, and is to be woken by this.
    rest: Option<Waker>,
    waker: Option<Waker>,
    lies: Lies,
}

/// What a device does as soon as the doorbell of a queue rings.
type Listener = Box<dyn Fn(u16) + Send>;

/// A device, as the test sees it.
#[derive(Clone)]
pub struct FakeDevice {
    state: Arc<Mutex<State>>,
    notifications: Arc<AtomicU32>,
    listener: Arc<Mutex<Option<Listener>>>,
}

impl FakeDevice {
    /// A device that offers `features` and has `queues` queues of up to `max_size` descriptors.
    pub fn new(device_type: DeviceType, features: u64, queues: usize, max_size: u32) -> Self {
        let memory = Box::leak(Box::new([0u32; CONFIG / 4]));
        // SAFETY: the memory is leaked, so it stays; only these registers refer to it.
        let config = unsafe { Registers::new(NonNull::from(memory).cast(), CONFIG) };
        let state = State {
            device_type,
            offered: features,
            accepted: 0,
            status: 0,
            generation: Cell::new(0),
            config,
            max_size,
            messages_left: 0,
            queues: (0..queues).map(|_| None).collect(),
            causes: Causes::default(),
            interrupts: 0,
            rest: None,
            waker: None,
            lies: Lies::default(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            notifications: Arc::default(),
            listener: Arc::default(),
        }
    }

    /// Calls `listener` whenever a doorbell rings, with the queue's number: a device that works at once.
    pub fn on_notification(&self, listener: impl Fn(u16) + Send + 'static) {
        *self.listener.lock().expect(UNHARMED) = Some(Box::new(listener));
    }

    /// The same device for a driver.
    pub fn transport(&self) -> Box<dyn Transport> {
        Box::new(FakeTransport(self.clone()))
    }

    /// Makes the device lie about itself.
    pub fn lie(&self, lies: Lies) {
        self.state().lies = lies;
    }

    /// Gives the device messages for `count` queues of other cores.
    pub fn set_messages(&self, count: u16) {
        self.state().messages_left = count;
    }

    /// The features that the driver has accepted.
    pub fn accepted(&self) -> u64 {
        self.state().accepted
    }

    /// The status register.
    pub fn status(&self) -> u8 {
        self.state().status
    }

    /// Sets bits of the status register that are the device's.
    pub fn raise_status(&self, bits: u8) {
        self.state().status |= bits;
    }

    /// Writes configuration bytes, without telling the driver.
    pub fn set_config(&self, offset: usize, bytes: &[u8]) {
        let config = self.state().config;
        for (offset, byte) in (offset..).zip(bytes) {
            config.write(offset, *byte);
        }
    }

    /// Tells the driver that the configuration has changed.
    pub fn announce_config(&self) {
        let mut state = self.state();
        state.generation.set(state.generation.get() + 1);
        state.causes.config = true;
        Self::interrupt(state);
    }

    /// How often the driver has rung a doorbell.
    pub fn notifications(&self) -> u32 {
        self.notifications.load(Ordering::Relaxed)
    }

    /// How many interrupts the device has raised.
    pub fn interrupts(&self) -> u32 {
        self.state().interrupts
    }

    /// Takes the next chain from queue `queue`.
    pub fn take(&self, queue: usize) -> Option<Request> {
        self.with_rings(queue, |rings, has_event_index| {
            let request = rings.take();
            if request.is_none() {
                rings.set_notifications(true, has_event_index);
            }
            request
        })?
    }

    /// How many chains lie in queue `queue` that the device has not taken.
    pub fn waiting(&self, queue: usize) -> usize {
        self.with_rings(queue, |rings, _| usize::from(rings.waiting()))
            .unwrap_or(0)
    }

    /// Asks the driver not to ring for queue `queue`: the device looks by itself.
    pub fn suppress_notifications(&self, queue: usize) {
        self.with_rings(queue, |rings, has_event| {
            rings.set_notifications(false, has_event)
        });
    }

    /// Asks the driver to ring for the next chain of queue `queue`.
    pub fn ask_notification(&self, queue: usize) {
        self.with_rings(queue, |rings, has_event| {
            rings.set_notifications(true, has_event)
        });
    }

    /// Uses a request: writes `bytes` into its buffers, as many as fit, and returns it.
    pub fn complete(&self, queue: usize, request: &Request, bytes: &[u8]) {
        let written = self
            .with_rings(queue, |rings, _| rings.write(request, bytes))
            .unwrap_or(0);
        self.finish(queue, u32::from(request.head), written);
    }

    /// Returns a chain under any id and with any length, as a liar would.
    ///
    /// From then on the device touches no buffer, for it cannot know which ones the driver still keeps for it.
    pub fn put_used(&self, queue: usize, id: u32, len: u32) {
        self.with_rings(queue, |rings, _| rings.has_lied = true);
        self.finish(queue, id, len);
    }

    fn finish(&self, queue: usize, id: u32, len: u32) {
        let wants = self.with_rings(queue, |rings, has_event_index| {
            let old = rings.used;
            rings.put_used(id, len);
            rings.wants_interrupt(old, has_event_index)
        });
        if wants == Some(true) {
            let mut state = self.state();
            state.causes.queue = true;
            Self::interrupt(state);
        }
    }

    /// The used index of queue `queue`.
    pub fn used_index(&self, queue: usize) -> u16 {
        self.with_rings(queue, |rings, _| rings.used).unwrap_or(0)
    }

    /// Sets the used index of queue `queue` to anything; as [`put_used`](Self::put_used), a lie.
    pub fn set_used_index(&self, queue: usize, index: u16) {
        self.with_rings(queue, |rings, _| {
            rings.has_lied = true;
            rings.set_used_index(index);
        });
    }

    /// Whether the driver has masked its interrupts.
    pub fn is_masked(&self) -> bool {
        self.state().rest.is_some()
    }

    /// Lets the while pass for which interrupts are masked.
    pub fn end_rest(&self) {
        let waker = self.state().rest.take();
        waker.inspect(Waker::wake_by_ref);
    }

    /// Raises an interrupt without a reason.
    pub fn interrupt_without_work(&self) {
        Self::interrupt(self.state());
    }

    fn interrupt(mut state: MutexGuard<'_, State>) {
        if state.rest.is_some() {
            return;
        }
        state.interrupts += 1;
        let waker = state.waker.clone();
        drop(state);
        waker.inspect(Waker::wake_by_ref);
    }

    fn with_rings<R>(
        &self,
        queue: usize,
        f: impl FnOnce(&mut DeviceRings, bool) -> R,
    ) -> Option<R> {
        let mut state = self.state();
        let has_event_index = state.accepted & EVENT_IDX != 0;
        let rings = state.queues.get_mut(queue)?.as_mut()?;
        Some(f(rings, has_event_index))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect(UNHARMED)
    }
}

impl std::fmt::Debug for FakeDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeDevice({:?})", self.state)
    }
}

/// A device, as its driver sees it.
#[derive(Debug)]
pub struct FakeTransport(FakeDevice);

impl Transport for FakeTransport {
    fn device_type(&self) -> DeviceType {
        self.0.state().device_type
    }

    fn offered(&mut self) -> u64 {
        self.0.state().offered
    }

    fn accept(&mut self, features: u64) {
        self.0.state().accepted = features;
    }

    fn status(&self) -> u8 {
        self.0.state().status
    }

    fn set_status(&mut self, status: u8) {
        let mut state = self.0.state();
        if status != 0 {
            let refused = if state.lies.refuses_features {
                status::FEATURES_OK
            } else {
                0
            };
            state.status = status & !refused;
        } else if !state.lies.ignores_reset {
            state.status = 0;
            state.queues.fill_with(|| None);
        }
    }

    fn max_size(&mut self, queue: u16) -> u32 {
        let state = self.0.state();
        if usize::from(queue) < state.queues.len() {
            state.max_size
        } else {
            0
        }
    }

    fn set_queue(&mut self, queue: u16, layout: &Layout) -> Result<Doorbell, SetQueueError> {
        let mut state = self.0.state();
        let place = state.queues.get_mut(usize::from(queue));
        let place = place.ok_or(SetQueueError::NoSuchQueue(queue))?;
        if place.is_some() {
            return Err(SetQueueError::InUse(queue));
        }
        *place = Some(DeviceRings::new(*layout));
        let notifications = self.0.notifications.clone();
        let listener = self.0.listener.clone();
        Ok(Doorbell::Call(Box::new(move || {
            notifications.fetch_add(1, Ordering::Relaxed);
            if let Some(listener) = &*listener.lock().expect(UNHARMED) {
                listener(queue);
            }
        })))
    }

    fn set_queue_for(
        &mut self,
        queue: u16,
        layout: &Layout,
        _: Message,
    ) -> Result<Doorbell, SetQueueError> {
        let left = self.messages_left().checked_sub(1);
        self.0.state().messages_left = left.ok_or(SetQueueError::NoInterrupt(queue))?;
        self.set_queue(queue, layout)
    }

    fn messages_left(&self) -> u16 {
        self.0.state().messages_left
    }

    fn config_generation(&self) -> u32 {
        let state = self.0.state();
        if state.lies.restless_config {
            state.generation.set(state.generation.get() + 1);
        }
        state.generation.get()
    }

    fn config(&self) -> Registers {
        let state = self.0.state();
        let len = if state.lies.no_config { 0 } else { CONFIG };
        state.config.part(0, len).expect("a part from the start")
    }

    fn acknowledge(&mut self) -> Causes {
        std::mem::take(&mut self.0.state().causes)
    }

    fn arrivals(&self) -> u32 {
        self.0.interrupts()
    }

    fn rest(&mut self, waker: &Waker) -> bool {
        self.0.state().rest = Some(waker.clone());
        true
    }

    fn is_resting(&mut self) -> bool {
        self.0.is_masked()
    }

    fn wake_on_interrupt(&mut self, waker: &Waker) {
        self.0.state().waker = Some(waker.clone());
    }
}
