//! Programs that do what they must not.

use crate::harness::{Case, check, check_error, guest, profile, run};

pub(crate) const CASES: &[Case] = &[
    ("faults_have_their_signal", faults_have_their_signal),
    (
        "the_monitor_s_pages_are_out_of_reach",
        the_monitor_s_pages_are_out_of_reach,
    ),
    (
        "code_is_not_written_and_data_not_executed",
        code_is_not_written_and_data_not_executed,
    ),
    ("a_stack_has_an_end", a_stack_has_an_end),
    ("pointers_at_every_edge_fault", pointers_at_every_edge_fault),
    (
        "revoked_rights_are_gone_on_every_processor",
        revoked_rights_are_gone_on_every_processor,
    ),
    ("denied_calls_fail", denied_calls_fail),
    (
        "denied_calls_fail_in_every_spelling",
        denied_calls_fail_in_every_spelling,
    ),
];

fn fault(what: &str, status: i32, piece: &str) {
    check_error(&run(&["run"], &guest("probe.c"), &[what]), status, piece);
}

fn faults_have_their_signal() {
    fault("null", 139, "SIGSEGV: writing to 0x0, a null pointer");
    fault("divide", 136, "SIGFPE");
    fault("illegal", 132, "SIGILL");
    fault("breakpoint", 133, "SIGTRAP");
}

fn the_monitor_s_pages_are_out_of_reach() {
    fault("privileged", 139, "general protection");
    fault("port", 139, "general protection");
    fault("kernel", 139, "reading 0xffff800000001000");
    fault("stub", 139, "SIGSEGV");
}

fn code_is_not_written_and_data_not_executed() {
    fault("code", 139, "which is r-x");
    fault("data", 139, "which is rw-");
}

fn a_stack_has_an_end() {
    fault("stack", 139, "where nothing is");
}

fn pointers_at_every_edge_fault() {
    check(
        &run(&["run", "-a", "@poll"], &guest("probe.c"), &["pointers"]),
        0,
        "ok\n",
    );
}

fn revoked_rights_are_gone_on_every_processor() {
    for threads in ["0", "1", "3"] {
        let output = run(&["run"], &guest("probe.c"), &["protect", threads]);
        check_error(&output, 139, "which is r--");
        let output = run(&["run"], &guest("probe.c"), &["unmap", threads]);
        check_error(&output, 139, "where nothing is");
    }
}

fn denied_calls_fail() {
    // fork, socket, one that Linux has not, one beyond every table.
    for number in ["57", "41", "400", "511", "9999999999"] {
        check(&run(&["run"], &guest("probe.c"), &["call", number]), 0, "");
    }
}

fn denied_calls_fail_in_every_spelling() {
    for ring in ["on", "off"] {
        let words = ["run", "--ring", ring, &profile("spellings.toml")];
        check(&run(&words, &guest("probe.c"), &["spellings"]), 0, "ok\n");
    }
}
