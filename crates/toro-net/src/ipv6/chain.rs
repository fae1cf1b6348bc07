//! Extension headers (RFC 8200, 4): those that a packet may have for others on its way are walked past.
//!
//! Nothing in them is for us: routers have read the options of each hop, and of options for the target we know none but padding. What says
//! that who does not know it must not take the packet is obeyed; the message that its sender might get is not sent.

use crate::stats::DropReason;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// Headers of a packet that are walked past: as many as RFC 8200, 4.1 has before the payload of one that is no fragment.
const MOST: usize = 4;
const PAD_1: u8 = 0;

/// The protocol of what a packet carries, and where that begins in `payload`, whose first header is of the kind `first`.
///
/// # Errors
/// Says why the packet is to be dropped.
pub(super) fn walk(payload: &[u8], first: u8) -> Result<(u8, usize), DropReason> {
    let (mut kind, mut at) = (first, 0);
    for _ in 0..=MOST {
        match kind {
            // RFC 8200, 4.1: at the beginning only.
            HOP_BY_HOP if at > 0 => return Err(DropReason::BadIpHeader),
            HOP_BY_HOP | DESTINATION | ROUTING => {}
            FRAGMENT => return Err(DropReason::Fragment),
            _ => return Ok((kind, at)),
        }
        let header = payload.get(at..).ok_or(DropReason::Truncated)?;
        let &[next, units, ..] = header else {
            return Err(DropReason::Truncated);
        };
        let len = (usize::from(units) + 1) * 8;
        let body = header.get(2..len).ok_or(DropReason::Truncated)?;
        let is_for_us = match kind {
            // 4.4: whatever its type, if no station is left to go to.
            ROUTING => body[1] == 0,
            _ => may_be_skipped(body),
        };
        if !is_for_us {
            return Err(DropReason::BadIpHeader);
        }
        (kind, at) = (next, at + len);
    }
    Err(DropReason::BadIpHeader)
}

/// Whether who knows none of these options may go on (4.2: the two highest bits of each are zero).
fn may_be_skipped(mut options: &[u8]) -> bool {
    while let [kind, rest @ ..] = options {
        if *kind == PAD_1 {
            options = rest;
            continue;
        }
        let [len, rest @ ..] = rest else {
            return false;
        };
        let Some(rest) = rest.get(usize::from(*len)..).filter(|_| kind >> 6 == 0) else {
            return false;
        };
        options = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A header that leads to `next`, with this body, which fills whole units of 8.
    fn header(next: u8, body: &[u8]) -> Vec<u8> {
        assert_eq!(body.len() % 8, 6);
        let units = u8::try_from(body.len() / 8).expect("short");
        [&[next, units], body].concat()
    }

    fn check(first: u8, headers: &[Vec<u8>], expected: Result<(u8, usize), DropReason>) {
        let payload = headers.concat();
        assert_eq!(walk(&payload, first), expected, "{payload:02x?}");
    }

    const PADDING: [u8; 6] = [1, 4, 0, 0, 0, 0];

    #[test]
    fn a_packet_without_any_begins_at_once() {
        check(6, &[], Ok((6, 0)));
        check(59, &[], Ok((59, 0)));
    }

    #[test]
    fn what_is_for_others_is_walked_past() {
        // A router is asked to look, Pad1 six times, a way that has come to its end.
        let (alert, zeros, end) = ([5, 2, 0, 0, 0, 0], [0; 6], [9, 0, 1, 2, 3, 4]);
        check(0, &[header(6, &alert)], Ok((6, 8)));
        check(60, &[header(58, &zeros)], Ok((58, 8)));
        let long = [&[1, 12][..], &[0; 12]].concat();
        let all = [
            header(60, &long),
            header(43, &PADDING),
            header(60, &end),
            header(17, &PADDING),
        ];
        check(0, &all, Ok((17, 40)));
    }

    #[test]
    fn what_must_not_be_skipped_is_not() {
        for kind in [0x40, 0x80, 0xc0, 0xc2] {
            let wanted = [kind, 4, 0, 0, 0, 0];
            check(0, &[header(6, &wanted)], Err(DropReason::BadIpHeader));
            check(60, &[header(6, &wanted)], Err(DropReason::BadIpHeader));
        }
        let further = [0, 1, 0, 0, 0, 0];
        check(43, &[header(6, &further)], Err(DropReason::BadIpHeader));
        let late = [header(0, &PADDING), header(6, &PADDING)];
        check(60, &late, Err(DropReason::BadIpHeader));
        check(44, &[header(6, &PADDING)], Err(DropReason::Fragment));
        check(0, &[header(44, &PADDING)], Err(DropReason::Fragment));
    }

    #[test]
    fn lengths_that_lie_and_chains_without_an_end_are_dropped() {
        for payload in [
            &[][..],
            &[6],
            &[6, 0, 0, 0, 0, 0, 0],
            &[6, 1, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(walk(payload, 0), Err(DropReason::Truncated), "{payload:?}");
        }
        for options in [[1, 5, 0, 0, 0, 0], [1, 255, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]] {
            check(60, &[header(6, &options)], Err(DropReason::BadIpHeader));
        }
        let endless: Vec<_> = (0..200).map(|_| header(60, &PADDING)).collect();
        check(60, &endless, Err(DropReason::BadIpHeader));
    }
}
