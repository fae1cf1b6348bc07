//! Both transports on registers in plain memory: set-up, doorbells, interrupts, and lists that lie.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::Waker;

use toro_irq::RouteError;
use toro_pci::{Address, BarError, ConfigSpace, Function, Msix, Part, Registers};
use toro_virtio::interrupt::Message;
use toro_virtio::pci::Group;
use toro_virtio::ring::Layout;
use toro_virtio::{
    Causes, DeviceType, Interrupts, MmioError, MmioSlot, MmioTransport, PciError, PciTransport,
    SetQueueError, Transport,
};

const LAYOUT: Layout = Layout {
    size: 8,
    descriptors: 0x1000,
    available: 0x2000,
    used: 0x1_0000_3000,
};

/// Counts the vectors and lines that a device takes.
#[derive(Clone, Default)]
struct FakeInterrupts {
    messages: Rc<Cell<u8>>,
    lines: Rc<RefCell<Vec<u32>>>,
    released: Rc<Cell<u32>>,
}

impl Interrupts for FakeInterrupts {
    fn message(&mut self) -> Result<Message, RouteError> {
        self.messages.set(self.messages.get() + 1);
        Ok(Message {
            apic_id: 2,
            vector: 0x40 + self.messages.get(),
        })
    }

    fn line(&mut self, gsi: u32) -> Result<(), RouteError> {
        self.lines.borrow_mut().push(gsi);
        if gsi == 99 {
            Err(RouteError::NoSuchLine(gsi))
        } else {
            Ok(())
        }
    }

    fn bind(&self, _waker: &Waker) {}

    fn line_released(&self) {
        self.released.set(self.released.get() + 1);
    }
}

/// A leaked page whose address serves as the physical one.
fn page() -> (u64, Registers) {
    #[derive(Default)]
    #[repr(align(4096))]
    struct Page {
        _words: [[u32; 32]; 32],
    }
    let base = NonNull::from(Box::leak(Box::<Page>::default())).cast::<u8>();
    let address = base.as_ptr().expose_provenance() as u64;
    // SAFETY: the page is leaked, and only such registers refer to it.
    (address, unsafe { Registers::new(base, 4096) })
}

fn one_to_one(address: u64, _len: usize) -> Option<NonNull<u8>> {
    NonNull::new(std::ptr::with_exposed_provenance_mut(
        usize::try_from(address).ok()?,
    ))
}

mod mmio {
    use super::*;

    fn device(id: u32, version: u32) -> (MmioSlot, Registers) {
        let (base, registers) = page();
        registers.write(0x00, 0x7472_6976u32);
        registers.write(0x04, version);
        registers.write(0x08, id);
        (
            MmioSlot {
                base,
                len: 4096,
                irq: 5,
            },
            registers,
        )
    }

    fn open(slot: MmioSlot) -> Result<MmioTransport, MmioError> {
        // SAFETY: the slot is a page of the test's own, mapped one to one.
        unsafe { MmioTransport::new(slot, one_to_one, Box::new(FakeInterrupts::default())) }
    }

    #[test]
    fn device_of_version_2_is_taken() {
        let transport = open(device(26, 2).0).expect("it is modern");
        assert_eq!(transport.device_type(), DeviceType::FILE_SYSTEM);
        assert_eq!(transport.config().len(), 4096 - 0x100);
    }

    #[test]
    fn others_are_refused_with_a_reason() {
        let check = |slot, error| assert_eq!(open(slot).err(), Some(error));
        check(device(0, 1).0, MmioError::Empty);
        check(device(1, 1).0, MmioError::Version(1));
        check(device(1, 3).0, MmioError::Version(3));
        let (slot, registers) = device(1, 2);
        check(MmioSlot { len: 0xff, ..slot }, MmioError::Unmapped);
        check(
            MmioSlot {
                base: slot.base + 2,
                ..slot
            },
            MmioError::Unmapped,
        );
        registers.write(0, 0u32);
        check(slot, MmioError::BadMagic(0));
        assert!(MmioError::Version(1).to_string().contains("legacy"));
    }

    #[test]
    fn queue_is_described_and_its_doorbell_takes_the_number() {
        let (slot, registers) = device(1, 2);
        let interrupts = FakeInterrupts::default();
        let lines = interrupts.lines.clone();
        // SAFETY: as in `open`.
        let transport = unsafe { MmioTransport::new(slot, one_to_one, Box::new(interrupts)) };
        let mut transport = transport.expect("it is modern");
        assert!(
            lines.borrow().is_empty(),
            "a device that nobody drives takes no vector"
        );
        let doorbell = transport.set_queue(3, &LAYOUT).expect("it is free");
        let read = |offset| registers.read::<u32>(offset);
        assert_eq!([0x30, 0x38, 0x44].map(read), [3, 8, 1]);
        assert_eq!(
            [0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4].map(read),
            [0x1000, 0, 0x2000, 0, 0x3000, 1]
        );
        doorbell.ring();
        assert_eq!(read(0x50), 3);
        assert_eq!(
            transport.set_queue(3, &LAYOUT).err(),
            Some(SetQueueError::InUse(3))
        );
        registers.write(0x44, 0u32);
        transport.set_queue(4, &LAYOUT).expect("it is free");
        assert_eq!(*lines.borrow(), [5], "one line for all queues");
    }

    #[test]
    fn missing_line_is_an_error() {
        let (slot, _) = device(1, 2);
        let mut transport = open(MmioSlot { irq: 99, ..slot }).expect("it is modern");
        let error = SetQueueError::Route(RouteError::NoSuchLine(99));
        assert_eq!(transport.set_queue(0, &LAYOUT).err(), Some(error));
    }

    #[test]
    fn storm_ends() {
        let (slot, registers) = device(1, 2);
        let mut transport = open(slot).expect("it is modern");
        assert_eq!(transport.acknowledge(), Causes::default());
        // Plain memory never clears its status: as a device that storms.
        registers.write(0x60, 3u32);
        assert_eq!(
            transport.acknowledge(),
            Causes {
                queue: true,
                config: true
            }
        );
        assert_eq!(registers.read::<u32>(0x64), 3);
    }
}

mod pci {
    use super::*;

    const FUNCTION: Address = Address::new(0, 3, 0);
    /// Where each group of registers lies in BAR 4, by its number.
    const PLACES: [u32; 5] = [0, 0x000, 0x800, 0x100, 0x200];

    /// A function with the MSI-X table in BAR 1 and the rest in BAR 4, a page each.
    struct Machine {
        words: RefCell<[u32; 64]>,
        registers: Registers,
        table: Registers,
    }

    impl Machine {
        fn new() -> Self {
            let (address, registers) = page();
            let (table_address, table) = page();
            let machine = Self {
                words: RefCell::new([0; 64]),
                registers,
                table,
            };
            let halves = |address: u64| {
                let word = |half| u32::try_from(half).expect("32 bits");
                [word((address & 0xffff_ffff) | 4), word(address >> 32)]
            };
            let [table_low, table_high] = halves(table_address);
            let [low, high] = halves(address);
            for (offset, word) in [
                (0x00, 0x1041_1af4),
                (0x04, 1 << 20),
                (0x14, table_low),
                (0x18, table_high),
                (0x20, low),
                (0x24, high),
                (0x34, 0x40),
                (0x3c, 0x010b),
                (0x40, 0x0002_5011),
                (0x44, 1),
            ] {
                machine.set(offset, word);
            }
            for group in 1..=4u8 {
                let at = 0x40 + 0x10 + 0x14 * (group - 1);
                let next = if group < 4 { at + 0x14 } else { 0 };
                machine.set(at, u32::from_le_bytes([0x09, next, 0x14, group]));
                machine.set(at + 4, 4);
                machine.set(at + 8, PLACES[usize::from(group)]);
                machine.set(at + 12, 0x100);
            }
            machine.set(Self::capability(2) + 16, 4);
            machine
        }

        fn capability(group: u8) -> u8 {
            0x50 + 0x14 * (group - 1)
        }

        fn set(&self, offset: u8, word: u32) {
            self.words.borrow_mut()[usize::from(offset / 4)] = word;
        }

        fn open(&self, interrupts: &FakeInterrupts) -> Result<PciTransport, PciError> {
            let mut function = Function::at(self, FUNCTION).expect("it answers");
            // SAFETY: the BARs are pages of the test's own, mapped one to one.
            unsafe { PciTransport::new(&mut function, one_to_one, Box::new(interrupts.clone())) }
        }
    }

    impl ConfigSpace for Machine {
        fn write_part(&self, _function: Address, offset: u8, value: Part) {
            unreachable!("no virtio register is that narrow: {value:?} at {offset:#x}");
        }

        fn read(&self, function: Address, offset: u8) -> u32 {
            assert_eq!(function, FUNCTION);
            self.words.borrow()[usize::from(offset / 4)]
        }

        fn write(&self, _function: Address, offset: u8, value: u32) {
            // BARs are a page long; a high half takes every bit.
            let kept = if matches!(offset, 0x14 | 0x20) {
                (value & !0xfff) | 4
            } else {
                value
            };
            self.set(
                offset,
                if offset == 0x04 {
                    (value & 0xffff) | 1 << 20
                } else {
                    kept
                },
            );
        }
    }

    fn check(change: impl FnOnce(&Machine), error: PciError) {
        let machine = Machine::new();
        change(&machine);
        assert_eq!(machine.open(&FakeInterrupts::default()).err(), Some(error));
    }

    #[test]
    fn queues_get_doorbells_and_vectors() {
        let machine = Machine::new();
        let interrupts = FakeInterrupts::default();
        let mut transport = machine.open(&interrupts).expect("it is modern");
        assert_eq!(transport.device_type(), DeviceType::NET);
        assert_eq!(
            interrupts.messages.get(),
            0,
            "a device that nobody drives takes no vector"
        );
        for queue in 0..4u16 {
            machine.registers.write(0x1c, 0u16);
            machine.registers.write(0x1e, queue);
            let doorbell = transport.set_queue(queue, &LAYOUT).expect("it is free");
            doorbell.ring();
            assert_eq!(
                machine
                    .registers
                    .read::<u16>(0x800 + 4 * usize::from(queue)),
                queue
            );
            assert_eq!(machine.registers.read::<u16>(0x16), queue);
            let expected = queue.min(2);
            assert_eq!(
                machine.registers.read::<u16>(0x1a),
                expected,
                "the table has three entries"
            );
            assert_eq!(
                machine.registers.read::<u16>(0x10),
                0,
                "the configuration is on the first"
            );
        }
        assert_eq!(machine.registers.read::<u16>(0x18), 8);
        let read = |offset| machine.registers.read::<u32>(offset);
        assert_eq!(
            [0x20, 0x24, 0x28, 0x2c, 0x30, 0x34].map(read),
            [0x1000, 0, 0x2000, 0, 0x3000, 1]
        );
        assert_eq!(interrupts.messages.get(), 3);
        let entry = [0x10, 0x14, 0x18, 0x1c].map(|at| machine.table.read::<u32>(at));
        assert_eq!(entry, [0xfee0_2000, 0, 0x42, 0]);
        assert!(interrupts.lines.borrow().is_empty());
    }

    #[test]
    fn messages_of_other_cores_are_masked_by_registers_of_their_own() {
        let machine = Machine::new();
        let mut transport = machine.open(&FakeInterrupts::default()).expect("modern");
        let lent = |core| Message {
            apic_id: core,
            vector: 0x50,
        };
        machine.registers.write(0x1c, 0u16);
        transport.set_queue(0, &LAYOUT).expect("it is free");
        for core in [1, 2] {
            machine.registers.write(0x1c, 0u16);
            let queue = u16::try_from(core).expect("small");
            let set = transport.set_queue_for(queue, &LAYOUT, lent(core));
            set.expect("it is free, and there are three entries");
        }
        assert_eq!(transport.messages_left(), 0);
        let control = |entry: usize| machine.table.read::<u32>(16 * entry + 12);
        for (entry, core) in [(1, 1), (2, 2)] {
            let mask = transport.message_mask(lent(core)).expect("it has one");
            mask.write(0, Msix::MASKED);
            assert_eq!(control(entry), Msix::MASKED);
            assert_eq!(control(3 - entry), 0, "the other core is not disturbed");
            mask.write(0, 0u32);
        }
        assert!(transport.message_mask(lent(3)).is_none(), "nobody has that");
    }

    #[test]
    fn reset_keeps_the_vectors() {
        let machine = Machine::new();
        let interrupts = FakeInterrupts::default();
        let mut transport = machine.open(&interrupts).expect("it is modern");
        for _ in 0..5 {
            transport.set_status(0);
            machine.registers.write(0x1c, 0u16);
            transport.set_queue(0, &LAYOUT).expect("it is free");
        }
        assert_eq!(interrupts.messages.get(), 1);
    }

    #[test]
    fn function_without_messages_uses_its_line() {
        let machine = Machine::new();
        machine.set(0x40, 0x0000_5005);
        let interrupts = FakeInterrupts::default();
        let mut transport = machine.open(&interrupts).expect("it has a line");
        assert_eq!(*interrupts.lines.borrow(), [11]);
        transport.set_queue(0, &LAYOUT).expect("it is free");
        assert_eq!(transport.acknowledge(), Causes::default());
        assert_eq!(interrupts.released.get(), 0, "it held nothing");
        machine.registers.write(0x100, 1u8);
        let causes = transport.acknowledge();
        assert!(causes.queue && !causes.config);
        assert_eq!(interrupts.released.get(), 1, "others may hold the line");
        machine.set(0x3c, 0);
        assert_eq!(machine.open(&interrupts).err(), Some(PciError::NoInterrupt));
    }

    #[test]
    fn doorbell_outside_its_range_is_refused() {
        let machine = Machine::new();
        let mut transport = machine
            .open(&FakeInterrupts::default())
            .expect("it is modern");
        let mut check = |row: u16| {
            machine.registers.write(0x1e, row);
            transport.set_queue(0, &LAYOUT).err()
        };
        assert_eq!(check(0x40), Some(SetQueueError::Doorbell(0)));
        assert_eq!(check(0xffff), Some(SetQueueError::Doorbell(0)));
        assert_eq!(check(0x3f), None);
    }

    #[test]
    fn capabilities_that_lie_are_refused() {
        let bar = |group, bar| move |m: &Machine| m.set(Machine::capability(group) + 4, bar);
        let offset = |group, at| move |m: &Machine| m.set(Machine::capability(group) + 8, at);
        let len = |group, len| move |m: &Machine| m.set(Machine::capability(group) + 12, len);
        check(bar(1, 6), PciError::Missing(Group::Common));
        check(bar(2, 255), PciError::Missing(Group::Notify));
        check(bar(3, 0), PciError::Bar(BarError::Unassigned(0)));
        check(offset(1, 0xf04), PciError::Bar(BarError::OutOfRange(4)));
        check(
            offset(4, u32::MAX - 3),
            PciError::Bar(BarError::OutOfRange(4)),
        );
        check(offset(1, 2), PciError::Malformed(Group::Common));
        check(len(1, 0x37), PciError::Malformed(Group::Common));
        check(len(3, 0), PciError::Malformed(Group::Isr));
        check(len(2, u32::MAX), PciError::Bar(BarError::OutOfRange(4)));
        check(|m| m.set(0x34, 0), PciError::Missing(Group::Common));
        check(|m| m.set(0x00, 0x1041_1af5), PciError::NotVirtio);
        check(|m| m.set(0x00, 0x2000_1af4), PciError::NotVirtio);
    }

    #[test]
    fn transitional_device_says_in_its_subsystem_what_it_is() {
        let machine = Machine::new();
        machine.set(0x00, 0x1000_1af4);
        machine.set(0x2c, 0x0001_1af4);
        let transport = machine
            .open(&FakeInterrupts::default())
            .expect("it is modern too");
        assert_eq!(transport.device_type(), DeviceType::NET);
    }
}
