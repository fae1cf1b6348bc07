//! Each device on a fake one: what is sent arrives, and one that does not answer or lies is given up.

extern crate std;

use std::cell::Cell;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use toro_dev::socket::{HEADER, Header, Op, STREAM, VsockAddr};
use toro_fake::{FakeBlk, FakeDevice, FakeVsock};
use toro_virtio::DeviceType;
use toro_virtio::feature::{EVENT_IDX, VERSION_1};

use crate::{Line, OpenError, PolledConsole, PolledDisk, PolledSocket, Sink, Wait};

/// Looks a few hundred times.
const WAIT: Wait = |done| (0..300).any(|_| done());

fn console() -> (FakeDevice, PolledConsole) {
    let fake = FakeDevice::new(DeviceType::CONSOLE, VERSION_1 | EVENT_IDX | 2, 6, 8);
    let console = PolledConsole::open(fake.transport(), WAIT).expect("it opens");
    (fake, console)
}

/// Takes what was sent to the host.
fn sent(fake: &FakeDevice) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(request) = fake.take(1) {
        fake.complete(1, &request, &[]);
        bytes.extend(request.readable);
    }
    bytes
}

#[test]
fn a_console_carries_bytes_both_ways() {
    let (fake, mut console) = console();
    assert_eq!(fake.accepted() & 2, 0, "one port is enough");
    assert!(!console.has_input());
    for text in [&b"ab"[..], b"c"] {
        let request = fake.take(0).expect("a buffer");
        fake.complete(0, &request, text);
    }
    let read: Vec<u8> = core::iter::from_fn(|| console.read()).collect();
    assert_eq!(read, b"abc");
    Line::write(&mut console, b"hello");
    assert!(sent(&fake).is_empty(), "it is kept");
    console.flush();
    assert_eq!(sent(&fake), b"hello");
}

#[test]
fn a_console_that_is_read_is_never_out_of_buffers() {
    let (fake, mut console) = console();
    for round in 0..100u8 {
        let request = fake.take(0).expect("a buffer");
        fake.complete(0, &request, &[round]);
        assert!(console.set_interrupts(true));
        assert_eq!(console.read(), Some(round));
        assert!(!console.set_interrupts(false));
    }
}

#[test]
fn a_console_that_takes_nothing_is_given_up() {
    let (fake, mut console) = console();
    assert!(Sink::write(&mut console, &[7; 8 * 4096]));
    assert!(!Sink::write(&mut console, &[7; 2 * 4096]));
    assert!(!console.finish());
    // When it takes some, it goes on.
    assert_eq!(sent(&fake).len(), 8 * 4096);
    assert!(Sink::write(&mut console, b"more"));
}

#[test]
fn a_console_that_lies_is_given_up() {
    let (fake, mut console) = console();
    fake.put_used(0, 77, 1);
    assert!(!console.has_input());
    Line::write(&mut console, b"x");
    console.flush();
    fake.put_used(1, 3, 1);
    assert!(!console.finish());
}

/// A disk that answers as soon as it is asked.
fn disk(features: u64, sectors: usize) -> (FakeBlk, Result<PolledDisk, OpenError>) {
    let fake = FakeBlk::new(features, sectors, 8);
    let opened = open(&fake);
    (fake, opened)
}

std::thread_local! {
    /// The disk that is served while somebody waits.
    static SERVED: Cell<Option<FakeBlk>> = const { Cell::new(None) };
}

/// Serves the disk between two looks.
const SERVING: Wait = |done| {
    (0..300).any(|_| {
        let fake = SERVED.take();
        if let Some(fake) = &fake {
            fake.serve();
        }
        SERVED.set(fake);
        done()
    })
};

fn open(fake: &FakeBlk) -> Result<PolledDisk, OpenError> {
    SERVED.set(Some(fake.clone()));
    PolledDisk::open(fake.device.transport(), SERVING)
}

#[test]
fn a_file_goes_to_a_disk_from_its_first_sector_on() {
    let (fake, disk) = disk(FakeBlk::FEATURES, 1024);
    let mut disk = disk.expect("it opens");
    assert_eq!(disk.begin(), Some(1024 * 512));
    let mut file: Vec<u8> = (0..150_000u32).map(|n| (n % 251) as u8).collect();
    file[..4].copy_from_slice(b"\x7fELF");
    for piece in file.chunks(997) {
        assert!(disk.write(piece));
    }
    assert!(disk.finish());
    assert_eq!(fake.bytes()[..file.len()], file);
    assert!(fake.bytes()[file.len()..].iter().all(|&byte| byte == 0));
    assert_eq!(fake.flushes(), 1);
    // Another takes its place, on a disk that knows a core file.
    drop(disk);
    let mut disk = open(&fake).expect("it holds a core file");
    disk.begin();
    assert!(disk.write(b"\x7fELF, the second") && disk.finish());
    assert!(fake.bytes().starts_with(b"\x7fELF, the second\0\0"));
}

#[test]
fn a_disk_takes_no_more_than_it_has_room_for() {
    let (_, disk) = disk(FakeBlk::FEATURES, 256);
    let mut disk = disk.expect("it opens");
    let room = usize::try_from(disk.begin().expect("it is there")).unwrap();
    assert!(disk.write(&vec![1; room]));
    assert!(!disk.write(&vec![1; 64 << 10]));
}

#[test]
fn disks_in_other_use_are_left_alone() {
    let (_, disk) = disk(FakeBlk::FEATURES | FakeBlk::READ_ONLY, 64);
    assert_eq!(disk.err(), Some(OpenError::ReadOnly));
    let fake = FakeBlk::new(FakeBlk::FEATURES, 64, 8);
    let mut disk = open(&fake).expect("it is empty");
    disk.begin();
    assert!(disk.write(b"a file system") && disk.finish());
    drop(disk);
    assert_eq!(open(&fake).err(), Some(OpenError::InUse));
}

#[test]
fn a_disk_that_does_not_answer_is_given_up() {
    let fake = FakeBlk::new(FakeBlk::FEATURES, 64, 8);
    let opened = PolledDisk::open(fake.device.transport(), WAIT);
    assert_eq!(opened.err(), Some(OpenError::Silent));
    let mut disk = open(&fake).expect("it opens");
    SERVED.set(None);
    disk.begin();
    assert!(disk.write(b"x") && !disk.finish());
    assert!(!disk.finish(), "its buffers are the device's");
}

const CID: u32 = 5;
const PORT: u32 = 1234;

fn socket() -> (FakeVsock, PolledSocket) {
    let fake = FakeVsock::new(u64::from(CID), 16);
    let socket = PolledSocket::open(fake.device.transport(), PORT, WAIT).expect("it opens");
    (fake, socket)
}

/// A packet of the host's port `from`.
fn packet(from: u32, op: Op, payload: &[u8], forwarded: u32) -> Vec<u8> {
    let header = Header {
        src: VsockAddr::host(from),
        dst: VsockAddr {
            cid: CID,
            port: PORT,
        },
        len: u32::try_from(payload.len()).unwrap(),
        kind: STREAM,
        op,
        flags: 0,
        buf_alloc: 5000,
        fwd_cnt: forwarded,
    };
    [&header.to_bytes()[..], payload].concat()
}

fn ops(fake: &FakeVsock) -> Vec<(Op, u32, usize)> {
    let packets = fake.sent();
    let read = |packet: &Vec<u8>| {
        let header = Header::parse(packet).expect("a packet");
        (header.op, header.dst.port, packet.len() - HEADER)
    };
    packets.iter().map(read).collect()
}

#[test]
fn who_asks_first_is_connected_and_others_are_refused() {
    let (fake, mut socket) = socket();
    assert!(fake.send(&packet(9, Op::Request, &[], 0)));
    assert!(!socket.has_input());
    assert_eq!(ops(&fake), [(Op::Response, 9, 0)]);
    fake.send(&packet(10, Op::Request, &[], 0));
    fake.send(&packet(9, Op::Data, b"?", 0));
    assert_eq!(socket.read(), Some(b'?'));
    assert_eq!(ops(&fake), [(Op::Reset, 10, 0)]);
    // Bytes of a stranger are nobody's.
    fake.send(&packet(10, Op::Data, b"!", 0));
    assert_eq!(socket.read(), None);
    fake.send(&packet(9, Op::Shutdown, &[], 0));
    fake.send(&packet(10, Op::Request, &[], 0));
    assert_eq!(socket.read(), None);
    assert_eq!(
        ops(&fake),
        [(Op::Reset, 10, 0), (Op::Reset, 9, 0), (Op::Response, 10, 0)]
    );
}

#[test]
fn an_interrupt_tells_of_bytes_after_a_packet_without_any() {
    let (fake, mut socket) = socket();
    fake.send(&packet(9, Op::Request, &[], 0));
    assert!(!socket.set_interrupts(true));
    let before = fake.device.interrupts();
    fake.send(&packet(9, Op::Data, b"?", 0));
    assert_eq!(fake.device.interrupts(), before + 1);
    // One that breaks a rule is no reason to ask for ever.
    fake.device.put_used(0, 77, 1);
    assert!(socket.has_input() && socket.read().is_some());
    assert!(!socket.set_interrupts(true));
}

#[test]
fn no_more_is_sent_than_the_host_has_room_for() {
    let (fake, mut socket) = socket();
    fake.send(&packet(9, Op::Request, &[], 0));
    socket.has_input();
    fake.sent();
    let len = |fake: &FakeVsock| ops(fake).iter().map(|op| op.2).sum::<usize>();
    // More than there is room for is lost after a while.
    Line::write(&mut socket, &[7; 9000]);
    socket.flush();
    assert_eq!(len(&fake), 5000);
    fake.send(&packet(9, Op::CreditUpdate, &[], 5000));
    Line::write(&mut socket, &[7; 100]);
    socket.flush();
    assert_eq!(len(&fake), 100);
}

#[test]
fn a_host_that_sends_more_than_there_is_room_for_loses_it() {
    let (fake, mut socket) = socket();
    fake.send(&packet(9, Op::Request, &[], 0));
    let mut taken = 0;
    for _ in 0..20 {
        fake.send(&packet(9, Op::Data, &[1; 2000], 0));
        socket.set_interrupts(true);
        taken += 2000;
    }
    let read = core::iter::from_fn(|| socket.read()).count();
    assert!(read < taken, "{read}");
    // It is told of the room that there is now.
    assert!(ops(&fake).iter().any(|op| op.0 == Op::CreditUpdate));
}

#[test]
fn nobody_takes_a_file_where_nobody_listens() {
    let (fake, mut socket) = socket();
    let asked = Rc::new(Cell::new(0));
    assert_eq!(socket.begin(), None);
    for op in ops(&fake) {
        assert_eq!(op, (Op::Request, PORT, 0));
        asked.set(asked.get() + 1);
    }
    assert_eq!(asked.get(), 1);
    assert!(!Sink::write(&mut socket, &[0; 8192]));
}
