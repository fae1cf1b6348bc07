//! Tests of what is put, found and believed.

use std::vec::Vec;

use super::*;

const OFFSET: u32 = 0xffff_ff00;

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// A frame with these options, whose checksum is right where TCP's header says what `fill` says.
fn frame(flags: u8, options: &[u8]) -> Vec<u8> {
    let mut frame = Vec::from([0x5a; TCP_AT + TCP_LEN]);
    frame[TCP_AT + 12] = u8::try_from((TCP_LEN + options.len()) / 4 * 16).expect("short");
    frame[TCP_AT + 13] = flags;
    frame.extend_from_slice(options);
    frame.extend_from_slice(b"text");
    let place = TCP_AT + 16..TCP_AT + 18;
    frame[place.clone()].fill(0);
    let sum = checksum::of(&frame[TCP_AT..]);
    frame[place].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn segment(frame: &[u8]) -> Segment {
    let any = core::net::Ipv4Addr::LOCALHOST;
    packet::parse_segment(frame, any, any, TCP_AT, frame.len()).expect("whole")
}

/// Puts a stamp among `options`, and finds it again under a right checksum.
fn check(flags: u8, options: &[u8]) {
    let mut frame = frame(flags, options);
    let stamp = TcpTimestampRepr::new(0xfedc_ba98, 0x0123_4567);
    put(&mut frame, stamp, true);
    assert!(checksum::adds_up(0, &frame[TCP_AT..]), "{options:?}");
    assert_eq!(read(&frame, &segment(&frame)), Some(stamp), "{options:?}");
    assert!(frame.ends_with(b"text"));
}

#[test]
fn a_stamp_is_put_where_there_is_room_for_it() {
    // As smoltcp lays them out: alone, behind what has arrived, and in a SYN with a size, a scale and more.
    check(0x10, &[8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    check(
        0x10,
        &[5, 10, 1, 2, 3, 4, 5, 6, 7, 8, 8, 10, 1, 1, 1, 1, 2, 2, 2, 2],
    );
    check(
        0x02,
        &[
            2, 4, 5, 180, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 9, 0,
        ],
    );
    check(0x02, &[8, 10, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0]);
}

#[test]
fn options_without_room_stay_as_they_are() {
    for options in [
        &[][..],
        &[2, 4, 5, 180],
        &[0, 0, 0, 0],
        &[1, 1, 1, 8, 10, 0, 0, 0],
        &[5, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let mut frame = frame(0x12, options);
        let before = frame.clone();
        put(&mut frame, TcpTimestampRepr::new(1, 2), true);
        assert_eq!(frame, before, "{options:?}");
        assert_eq!(read(&frame, &segment(&frame)), None, "{options:?}");
    }
}

#[test]
fn old_is_what_lies_up_to_half_a_circle_behind() {
    let times = Timestamps::new(at(0), OFFSET, 5);
    for (value, is_old) in [
        (5, false),
        (6, false),
        (4, true),
        (0xffff_fff0, true),
        (0x8000_0004, false),
        (0x8000_0006, true),
    ] {
        assert_eq!(times.is_old(at(1000), value), is_old, "{value}");
    }
}

#[test]
fn after_twenty_four_days_nothing_is_old() {
    let times = Timestamps::new(at(500), OFFSET, 5);
    let later = at(500) + IDLE;
    assert!(times.is_old(later, 4));
    assert!(!times.is_old(later + Duration::from_millis(1), 4));
}

#[test]
fn our_clock_begins_elsewhere_and_comes_round() {
    let times = Timestamps::new(at(0), OFFSET, 5);
    let said = |millis| times.at(at(millis));
    assert_eq!(said(0), TcpTimestampRepr::new(OFFSET, 5));
    assert_eq!(said(0xff), TcpTimestampRepr::new(0xffff_ffff, 5));
    assert_eq!(said(0x1_0000_0101), TcpTimestampRepr::new(1, 5));
}

#[test]
fn an_echo_tells_when_that_was_sent() {
    let mut times = Timestamps::new(at(90_000), OFFSET, 5);
    assert_eq!(times.echoed(at(90_000)), None, "nothing was echoed");
    times.echoed = times.at(at(90_010)).tsval;
    assert_eq!(times.echoed(at(90_250)), Some(at(90_010)));
    assert_eq!(times.echoed(at(90_010)), Some(at(90_010)));
    assert_eq!(times.echoed(at(150_011)), None, "that is no round trip");
    times.echoed = times.at(at(90_011)).tsval;
    assert_eq!(times.echoed(at(90_010)), None, "not sent yet");
    let mut young = Timestamps::new(at(5), OFFSET, 5);
    young.echoed = OFFSET.wrapping_sub(7);
    assert_eq!(young.echoed(at(5)), None, "before the machine was there");
}
