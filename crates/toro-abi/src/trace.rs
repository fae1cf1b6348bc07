//! The events of a trace, and the stream in which an image sends them to the host.
//!
//! An event is two words of 64 bits: the time stamp counter above a [`Kind`], and a value whose meaning the kind says. The
//! stream is words too, the lower byte first:
//!
//! ```text
//! greeting   MAGIC, counter, nanoseconds since the boot at that count, nanoseconds of 2^32 ticks, cores
//! chunk      core | source << 16 | events << 32, events that were lost before these, the events
//! ```

use alloc::string::String;
use alloc::vec::Vec;

/// How a stream begins.
pub const MAGIC: u64 = u64::from_le_bytes(*b"torotrc1");

/// The words of a [`Greeting`].
const GREETING: usize = 5;

/// More events than this a chunk does not hold: a decoder keeps no more of a broken stream.
pub const MOST: usize = 1 << 16;

/// Counts lose their upper byte to the kind.
const TICKS_MASK: u64 = u64::MAX >> 8;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What has happened, and what the value of the event says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $name = $number,)* }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

kinds! {
    /// The core runs the thread of this number from now on.
    Switch = 1,
    /// No thread is ready.
    Idle = 2,
    /// Something has arrived: the core looks for a thread again.
    Busy = 3,
    /// The thread of this number was made ready.
    Wake = 4,
    /// The interrupt of this vector was taken in.
    Irq = 5,
    /// A frame of so many bytes came from the network card.
    PacketIn = 6,
    /// A frame of so many bytes was handed to the network card.
    PacketOut = 7,
    /// A request was answered: its service in the upper byte, and how many nanoseconds it took.
    Request = 8,
    /// The heap has taken pages or given some back, and holds so many bytes now.
    Heap = 9,
    /// The name of the thread of this number follows as [`Text`](Self::Text).
    Thread = 10,
    /// The name of the service of this number follows as [`Text`](Self::Text).
    Service = 11,
    /// Up to eight bytes of a name; zeros fill them up.
    Text = 12,
    /// The thread of this number was interrupted; where it was follows as [`Frame`](Self::Frame), the innermost first.
    Sample = 13,
    /// An address in a function: of the next instruction in the first, of a return in the others.
    Frame = 14,
    /// The core was interrupted while nothing was ready.
    IdleSample = 15,
}

impl Kind {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Wake => "wake",
            Self::Irq => "irq",
            Self::PacketIn => "packet in",
            Self::PacketOut => "packet out",
            Self::Request => "request",
            Self::Heap => "heap",
            Self::Thread => "thread",
            Self::Service => "service",
            Self::Text => "text",
            Self::Sample => "sample",
            Self::Frame => "frame",
            Self::IdleSample => "idle sample",
        }
    }
}

/// Something that has happened on a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The lower 56 bits of the time stamp counter.
    pub ticks: u64,
    /// What it is.
    pub kind: Kind,
    /// What the kind says.
    pub value: u64,
}

impl Event {
    /// The two words of an event.
    #[inline]
    pub const fn pack(ticks: u64, kind: Kind, value: u64) -> [u64; 2] {
        [ticks << 8 | kind as u64, value]
    }

    /// The event of two words; `None` if there is no such kind.
    pub fn unpack([first, value]: [u64; 2]) -> Option<Self> {
        let number = first & 0xFF;
        let kind = *Kind::ALL.iter().find(|&&kind| kind as u64 == number)?;
        let ticks = first >> 8;
        Some(Self { ticks, kind, value })
    }
}

/// The value of a [`Kind::Request`].
pub const fn request(service: u8, nanos: u64) -> u64 {
    let nanos = if nanos < TICKS_MASK {
        nanos
    } else {
        TICKS_MASK
    };
    (service as u64) << 56 | nanos
}

/// The service and the nanoseconds of a [`Kind::Request`].
pub const fn request_parts(value: u64) -> (u64, u64) {
    (value >> 56, value & TICKS_MASK)
}

/// The values of the [`Kind::Text`] events that spell `name`: at least one, so that an empty name is one too.
pub fn spell(name: &str) -> impl Iterator<Item = u64> + '_ {
    let chunks = name.as_bytes().chunks(8).map(|chunk| {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(bytes)
    });
    let empty = name.is_empty().then_some(0);
    chunks.chain(empty)
}

/// What [`Kind::Text`] events spell.
pub fn read_name(values: impl IntoIterator<Item = u64>) -> String {
    let bytes: Vec<u8> = values.into_iter().flat_map(u64::to_le_bytes).collect();
    let len = bytes.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&bytes[..len.unwrap_or(bytes.len())]).into_owned()
}

/// How a stream begins: what turns its counts into time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The counter at some moment.
    pub ticks: u64,
    /// That moment, in nanoseconds since the boot.
    pub nanos: u64,
    /// How many nanoseconds 2^32 ticks are.
    pub scale: u64,
    /// How many cores there are.
    pub cores: u64,
}

impl Greeting {
    /// Writes the greeting.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Self {
            ticks,
            nanos,
            scale,
            cores,
        } = *self;
        push(out, [MAGIC, ticks, nanos, scale, cores]);
    }

    /// When an event happened, in nanoseconds since the boot; 0 for what was before.
    pub fn nanos_at(&self, ticks: u64) -> u64 {
        // The difference, with its sign, in the 56 bits that an event has.
        let ahead = ticks.wrapping_sub(self.ticks) << 8;
        let ahead = i128::from(ahead.cast_signed() >> 8);
        let nanos = i128::from(self.nanos) + ((ahead * i128::from(self.scale)) >> 32);
        u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
    }
}

/// Who has written events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The threads of the core.
    Threads,
    /// Its timer's interrupt.
    Sampler,
}

/// Writes a chunk of `events` of a core, before which `lost` were lost.
pub fn write_chunk(out: &mut Vec<u8>, core: usize, source: Source, lost: u64, events: &[[u64; 2]]) {
    for (index, events) in events.chunks(MOST).enumerate() {
        let head = core as u64 & 0xFFFF | (source as u64) << 16 | (events.len() as u64) << 32;
        push(out, [head, if index == 0 { lost } else { 0 }]);
        // Not word by word: a traced image does this for every event.
        let start = out.len();
        out.resize(start + size_of_val(events), 0);
        let (places, _) = out[start..].as_chunks_mut::<8>();
        for (place, word) in places.iter_mut().zip(events.as_flattened()) {
            *place = word.to_le_bytes();
        }
    }
}

fn push(out: &mut Vec<u8>, words: impl IntoIterator<Item = u64>) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

/// A piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Its beginning.
    Greeting(Greeting),
    /// Events of one core, in order.
    Chunk {
        /// The core.
        core: usize,
        /// Who wrote them.
        source: Source,
        /// How many events were overwritten before these.
        lost: u64,
        /// The events.
        events: Vec<Event>,
    },
}

/// Why bytes are no stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// It does not begin as one does.
    NoGreeting,
    /// A chunk has an impossible head.
    Head(u64),
    /// There is no event of this kind.
    Kind(u64),
}

impl core::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoGreeting => f.write_str("this is not how a trace begins"),
            Self::Head(word) => write!(f, "{word:#x} is not how a chunk of events begins"),
            Self::Kind(word) => write!(f, "an event has the unknown kind {}", word & 0xFF),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Takes a stream apart, whatever pieces it comes in.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    is_greeted: bool,
}

impl Decoder {
    /// Adds what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether everything that has come was handed out.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next piece, once it is there whole.
    ///
    /// # Errors
    /// Fails if the bytes are no stream; there is no going on then.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, DecodeError> {
        let words = |range: core::ops::Range<usize>| {
            let bytes = self.bytes.get(range.start * 8..range.end * 8)?;
            let (words, _) = bytes.as_chunks::<8>();
            Some(words.iter().map(|&word| u64::from_le_bytes(word)))
        };
        if !self.is_greeted {
            let Some(mut words) = words(0..GREETING) else {
                return Ok(None);
            };
            let mut next = || words.next().unwrap_or_default();
            if next() != MAGIC {
                return Err(DecodeError::NoGreeting);
            }
            let greeting = Greeting {
                ticks: next(),
                nanos: next(),
                scale: next(),
                cores: next(),
            };
            self.is_greeted = true;
            self.bytes.drain(..GREETING * 8);
            return Ok(Some(Piece::Greeting(greeting)));
        }
        let Some(mut head) = words(0..2) else {
            return Ok(None);
        };
        let (head, lost) = (
            head.next().unwrap_or_default(),
            head.next().unwrap_or_default(),
        );
        let count = usize::try_from(head >> 32).unwrap_or(usize::MAX);
        let source = match head >> 16 & 0xFFFF {
            0 => Source::Threads,
            1 => Source::Sampler,
            _ => return Err(DecodeError::Head(head)),
        };
        if count > MOST {
            return Err(DecodeError::Head(head));
        }
        let Some(body) = words(2..2 + 2 * count) else {
            return Ok(None);
        };
        let body: Vec<u64> = body.collect();
        let (pairs, _) = body.as_chunks::<2>();
        let event = |&pair: &[u64; 2]| Event::unpack(pair).ok_or(DecodeError::Kind(pair[0]));
        let events = pairs.iter().map(event).collect::<Result<_, _>>()?;
        self.bytes.drain(..(2 + 2 * count) * 8);
        let core = (head & 0xFFFF) as usize;
        Ok(Some(Piece::Chunk {
            core,
            source,
            lost,
            events,
        }))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const GREETING: Greeting = Greeting {
        ticks: 1000,
        nanos: 5000,
        // Two nanoseconds a tick.
        scale: 2 << 32,
        cores: 2,
    };

    #[test]
    fn an_event_reads_back_as_it_was_written() {
        for &kind in Kind::ALL {
            let ticks = 0x00AB_CDEF_0123_4567;
            let event = Event {
                ticks,
                kind,
                value: u64::MAX,
            };
            assert_eq!(
                Event::unpack(Event::pack(ticks, kind, u64::MAX)),
                Some(event)
            );
        }
        assert_eq!(Event::unpack([0, 0]), None);
        assert_eq!(Event::unpack([0xFF, 0]), None);
    }

    #[test]
    fn a_stream_reads_back_whatever_pieces_it_comes_in() {
        let mut bytes = Vec::new();
        GREETING.write(&mut bytes);
        let events = [
            Event::pack(1010, Kind::Switch, 7),
            Event::pack(1020, Kind::Irq, 33),
        ];
        write_chunk(&mut bytes, 1, Source::Sampler, 9, &events);
        write_chunk(&mut bytes, 0, Source::Threads, 0, &[]);
        write_chunk(&mut bytes, 0, Source::Threads, 1, &events[..1]);
        for step in [1, 7, 8, bytes.len()] {
            let (mut decoder, mut pieces) = (Decoder::default(), vec![]);
            for part in bytes.chunks(step) {
                decoder.push(part);
                while let Some(piece) = decoder.next_piece().expect("a stream") {
                    pieces.push(piece);
                }
            }
            assert!(decoder.is_empty());
            let unpack = |words: &[[u64; 2]]| -> Vec<Event> {
                words
                    .iter()
                    .map(|&words| Event::unpack(words).expect("known"))
                    .collect()
            };
            assert_eq!(
                pieces,
                [
                    Piece::Greeting(GREETING),
                    Piece::Chunk {
                        core: 1,
                        source: Source::Sampler,
                        lost: 9,
                        events: unpack(&events)
                    },
                    Piece::Chunk {
                        core: 0,
                        source: Source::Threads,
                        lost: 1,
                        events: unpack(&events[..1])
                    },
                ]
            );
        }
    }

    #[test]
    fn what_is_no_stream_is_an_error() {
        let after_greeting = |words: &[u64]| {
            let mut decoder = Decoder::default();
            let mut bytes = Vec::new();
            GREETING.write(&mut bytes);
            push(&mut bytes, words.iter().copied());
            decoder.push(&bytes);
            decoder.next_piece().expect("the greeting");
            decoder.next_piece()
        };
        assert_eq!(
            after_greeting(&[5 << 16, 0]),
            Err(DecodeError::Head(5 << 16))
        );
        assert_eq!(
            after_greeting(&[u64::MAX << 32, 0]),
            Err(DecodeError::Head(u64::MAX << 32))
        );
        assert_eq!(
            after_greeting(&[1 << 32, 0, 0xEE, 0]),
            Err(DecodeError::Kind(0xEE))
        );
        assert_eq!(after_greeting(&[1 << 32, 0, 1]), Ok(None));
        let mut decoder = Decoder::default();
        decoder.push(&[1; 40]);
        assert_eq!(decoder.next_piece(), Err(DecodeError::NoGreeting));
    }

    #[test]
    fn counts_become_time_before_and_after_the_greeting() {
        assert_eq!(GREETING.nanos_at(1010), 5020);
        assert_eq!(GREETING.nanos_at(990), 4980);
        assert_eq!(
            GREETING.nanos_at(1000u64.wrapping_sub(1 << 40) & TICKS_MASK),
            0
        );
        let late = Greeting {
            ticks: u64::MAX - 5,
            ..GREETING
        };
        assert_eq!(late.nanos_at(4), 5020, "the counter's 56 bits have wrapped");
    }

    #[test]
    fn names_and_requests_fit_into_values() {
        for name in ["", "net", "12345678", "a longer name"] {
            assert_eq!(read_name(spell(name)), name);
        }
        assert_eq!(request_parts(request(3, 1234)), (3, 1234));
        assert_eq!(request_parts(request(255, u64::MAX)), (255, TICKS_MASK));
    }
}
