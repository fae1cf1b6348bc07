//! [`Element`]: the numbers that messages are made of, and [`Op`], what a reduction does with them.

use alloc::sync::Arc;

/// How a reduction makes one number of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Adds; integers wrap.
    Sum,
    /// Takes the smaller.
    Min,
    /// Takes the larger.
    Max,
}

/// A number that can be sent: integers of 8 to 64 bits, signed and not, and floats of 32 and 64.
pub trait Element: message::Packed {
    /// Makes one of each pair, into the first: `into[i] = op(into[i], with[i])`.
    fn combine(op: Op, into: &mut [Self], with: &[Self]);
}

/// What goes through the channels. Private: the list of elements is closed.
pub(crate) mod message {
    use super::Arc;

    /// A number that knows its place in [`Message`].
    pub trait Packed: Copy + Send + Sync + 'static {
        /// Makes a message of a slice.
        fn pack(slice: Arc<[Self]>) -> Message;
        /// Takes the slice out; `None` if it is of other numbers.
        fn unpack(message: Message) -> Option<Arc<[Self]>>;
    }

    macro_rules! messages {
        ($($variant:ident $number:ty),*) => {
            /// A slice of numbers that ranks share, or just a sign.
            #[derive(Clone, Debug)]
            pub enum Message {
                /// No numbers: one rank has come so far.
                Sign,
                $(
                    #[doc = concat!("Numbers of the type `", stringify!($number), "`.")]
                    $variant(Arc<[$number]>)
                ),*
            }

            $(
                impl Packed for $number {
                    fn pack(slice: Arc<[Self]>) -> Message {
                        Message::$variant(slice)
                    }

                    fn unpack(message: Message) -> Option<Arc<[Self]>> {
                        match message {
                            Message::$variant(slice) => Some(slice),
                            _ => None,
                        }
                    }
                }
            )*
        };
    }

    messages!(
        U8 u8, U16 u16, U32 u32, U64 u64, I8 i8, I16 i16, I32 i32, I64 i64, F32 f32, F64 f64
    );
}

/// Gives each number its operations; only its addition has a name of its own.
macro_rules! elements {
    ($($number:ty => $add:expr),* $(,)?) => {
        $(
            impl Element for $number {
                fn combine(op: Op, into: &mut [Self], with: &[Self]) {
                    match op {
                        Op::Sum => zip(into, with, $add),
                        Op::Min => zip(into, with, <$number>::min),
                        Op::Max => zip(into, with, <$number>::max),
                    }
                }
            }
        )*
    };
}

elements! {
    u8 => u8::wrapping_add,
    u16 => u16::wrapping_add,
    u32 => u32::wrapping_add,
    u64 => u64::wrapping_add,
    i8 => i8::wrapping_add,
    i16 => i16::wrapping_add,
    i32 => i32::wrapping_add,
    i64 => i64::wrapping_add,
    f32 => |a, b| a + b,
    f64 => |a, b| a + b,
}

#[inline]
fn zip<T: Copy>(into: &mut [T], with: &[T], op: impl Fn(T, T) -> T) {
    for (into, with) in into.iter_mut().zip(with) {
        *into = op(*into, *with);
    }
}
