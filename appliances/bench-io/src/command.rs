//! [`obey`]: what a client's line asks for. Numbers are decimal, an order is `random` or `sequential`.
//!
//! ```text
//! ping                                        nothing
//! send|receive|echo LEN COUNT                 pieces of this stream
//! disk read|write LEN DEPTH COUNT ORDER       requests to blk0
//! read|write PATH LEN COUNT SPAN ORDER        pieces of a file; write ends in a sync
//! opens DIR FILES COUNT                       open, read and close, again and again
//! fill DIR FILES LEN      remove PATH         make small files; remove a file
//! cold PATH:KIND:SOURCE                       forget what is in memory of a mount
//! ```

use alloc::string::String;
use alloc::vec::Vec;

use crate::stream::{self, Stream};
use crate::{disk, files};

/// Carries out the command in `line`.
pub(crate) fn obey(client: &impl Stream, line: &str) -> Result<(), String> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["ping"] => Ok(()),
        ["send", len, count] => stream::send(client, number(len)?, number(count)?),
        ["receive", len, count] => stream::receive(client, number(len)?, number(count)?),
        ["echo", len, count] => stream::echo(client, number(len)?, number(count)?),
        ["disk", what @ ("read" | "write"), len, depth, count, order] => disk::run(&disk::Load {
            is_write: what == "write",
            len: number(len)?,
            depth: number(depth)?,
            count: number(count)?,
            order,
        }),
        [what @ ("read" | "write"), path, len, count, span, order] => {
            let load = files::Load {
                path,
                len: number(len)?,
                count: number(count)?,
                span: number(span)?,
                order,
            };
            match what {
                "read" => files::read(&load),
                _ => files::write(&load),
            }
        }
        ["opens", folder, count, times] => files::open_many(folder, number(count)?, number(times)?),
        ["fill", folder, count, len] => files::make_many(folder, number(count)?, number(len)?),
        ["remove", path] => files::remove(path),
        ["cold", spec] => files::remount(spec),
        _ => Err(String::from("unknown command")),
    }
}

fn number<T: core::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse()
        .map_err(|_| alloc::format!("`{word}` is no number"))
}
