//! The network stacks of all cores.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use toro_metrics::{Kind, Text};
use toro_net::DropReason;

use super::Core;

/// A family: name, kind, help, labels of its own, and how to find the value. Rows of one name follow one another.
type Labelled = (
    &'static str,
    Kind,
    &'static str,
    &'static [(&'static str, &'static str)],
    fn(&toro_net::Stats) -> u64,
);

pub(super) fn network(text: &mut Text, cores: &[(String, Core)]) {
    const IN: &[(&str, &str)] = &[("direction", "in")];
    const OUT: &[(&str, &str)] = &[("direction", "out")];
    const ROWS: &[Labelled] = &[
        (
            "toro_net_frames_total",
            Kind::Counter,
            "Frames received and sent.",
            IN,
            |net| net.frames_in,
        ),
        ("toro_net_frames_total", Kind::Counter, "", OUT, |net| {
            net.frames_out
        }),
        (
            "toro_net_bytes_total",
            Kind::Counter,
            "Bytes in those frames.",
            IN,
            |net| net.bytes_in,
        ),
        ("toro_net_bytes_total", Kind::Counter, "", OUT, |net| {
            net.bytes_out
        }),
        (
            "toro_net_connections",
            Kind::Gauge,
            "TCP connections by state.",
            &[("state", "open")],
            |net| net.open as u64,
        ),
        (
            "toro_net_connections",
            Kind::Gauge,
            "",
            &[("state", "half_open")],
            |net| net.half_open as u64,
        ),
        (
            "toro_net_connections",
            Kind::Gauge,
            "",
            &[("state", "time_wait")],
            |net| net.time_wait as u64,
        ),
        (
            "toro_net_accepted_total",
            Kind::Counter,
            "Connections that listeners have made.",
            &[],
            |net| net.accepted,
        ),
        (
            "toro_net_connected_total",
            Kind::Counter,
            "Connections that this side has asked for.",
            &[],
            |net| net.connected,
        ),
        (
            "toro_net_resets_total",
            Kind::Counter,
            "Connections that a reset from the peer has ended.",
            &[],
            |net| net.reset,
        ),
        (
            "toro_net_timeouts_total",
            Kind::Counter,
            "Connections whose peer went silent.",
            &[],
            |net| net.timed_out,
        ),
        (
            "toro_net_retransmits_total",
            Kind::Counter,
            "Segments sent a second time.",
            &[],
            |net| net.retransmits,
        ),
        (
            "toro_net_narrowed_total",
            Kind::Counter,
            "Connections whose packets a router found too long.",
            &[],
            |net| net.narrowed,
        ),
        (
            "toro_net_refused_total",
            Kind::Counter,
            "Resets sent to segments of no connection.",
            &[],
            |net| net.refused,
        ),
    ];
    let stacks = || {
        cores
            .iter()
            .filter_map(|(number, core)| Some((number, core.net?)))
    };
    for &(name, kind, help, labels, value) in ROWS {
        if !help.is_empty() {
            text.family(name, kind, help);
        }
        for (number, net) in stacks() {
            let labels: Vec<(&str, &str)> = labels
                .iter()
                .copied()
                .chain([("core", number.as_str())])
                .collect();
            text.sample(&labels, value(&net));
        }
    }
    text.family(
        "toro_net_drops_total",
        Kind::Counter,
        "Frames dropped, by the reason.",
    );
    for (number, net) in stacks() {
        for (reason, &count) in DropReason::ALL.iter().zip(&net.drops) {
            text.sample(
                &[("reason", &format!("{reason:?}")), ("core", number)],
                count,
            );
        }
    }
}
