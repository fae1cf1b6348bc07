//! The time, read by a call and without.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Case, check, check_error, folder, guest, run, torov};
use crate::programs;

pub(crate) const CASES: &[Case] = &[
    ("clocks_agree", clocks_agree),
    ("clocks_take_no_calls", clocks_take_no_calls),
    (
        "a_denied_clock_has_no_function",
        a_denied_clock_has_no_function,
    ),
    ("a_clock_is_learnt", a_clock_is_learnt),
    (
        "gdb_finds_the_way_out_of_the_clock",
        gdb_finds_the_way_out_of_the_clock,
    ),
];

fn clocks_agree() {
    let musl = programs::musl("clock.c");
    for program in [Some(guest("clock.c")), musl].into_iter().flatten() {
        for ring in ["on", "off"] {
            let words = ["run", "--ring", ring];
            check(&run(&words, &program, &["agree", "500"]), 0, "ok\n");
        }
    }
}

/// How often the call was made, by what `torov stats --json` says.
fn made(json: &str, call: &str) -> u64 {
    let start = format!("\"name\":\"{call}\",\"count\":");
    let rest = json.split_once(&start).map_or("0,", |(_, rest)| rest);
    let count = rest.split_once(',').map(|(count, _)| count.parse());
    count.expect("it is JSON").expect("it is a number")
}

/// Whether programs can read the clock of this machine; if not, it says so.
fn is_readable() -> bool {
    let doctor = Command::new(torov()).arg("doctor").output();
    let doctor = doctor.expect("torov can be started").stdout;
    let readable = String::from_utf8_lossy(&doctor).contains("is read without calls");
    if !readable {
        println!("the clocks of this machine take calls: see torov doctor");
    }
    readable
}

fn clocks_take_no_calls() {
    if !is_readable() {
        return;
    }
    let c = Some(guest("clock.c"));
    for program in [c, programs::musl("clock.c"), programs::go("clock.go")] {
        let Some(program) = program else {
            continue;
        };
        let words = ["stats", "--json", "-a", "@poll,@files"];
        let output = run(&words, &program, &["read", "100000"]);
        check(&output, 0, "ok\n");
        let json = String::from_utf8_lossy(&output.stderr);
        // Some are made: they set the clock, ten times in a second.
        let (reads, others) = (made(&json, "clock_gettime"), made(&json, "gettimeofday"));
        assert!(reads + others < 10_000, "{}: {json}", program.display());
    }
}

fn a_denied_clock_has_no_function() {
    let folder = folder("clock");
    let run_with = |allow: &str, what: &str| {
        let path = folder.join("profile.toml");
        let text = format!("[syscalls]\nallow = [\"@start\", \"@stdio\"{allow}]\n");
        fs::write(&path, text).expect("it can be written");
        let path = path.display().to_string();
        check(&run(&["run", &path], &guest("clock.c"), &[what]), 0, "ok\n");
    };
    run_with("", "denied");
    run_with(", \"gettimeofday\"", "denied");
    run_with(", \"clock_gettime\"", "hidden");
}

fn a_clock_is_learnt() {
    let profile = folder("learnt-clock").join("learnt.toml");
    let path = profile.display().to_string();
    let words = ["learn", "-o", &path];
    check(&run(&words, &guest("clock.c"), &["read", "10"]), 0, "ok\n");
    let text = fs::read_to_string(&profile).expect("it was written");
    assert!(text.contains("clock_gettime"), "{text}");
    check(
        &run(&["run", &path], &guest("clock.c"), &["read", "10"]),
        0,
        "ok\n",
    );
}

/// A fault in the vDSO: gdb knows the function by the image in memory, and by its tables who called it.
fn gdb_finds_the_way_out_of_the_clock() {
    if !is_readable() {
        return;
    }
    let core = folder("clock-core").join("core");
    let words = ["run", "--core", &core.display().to_string()];
    let output = run(&words, &guest("clock.c"), &["fault", "8"]);
    check_error(&output, 139, "SIGSEGV");
    let calls = calls_in(&core);
    let Some(calls) = calls else {
        println!("no gdb here: see cargo xtask setup");
        return;
    };
    let place = |name: &str| calls.find(name);
    let (inner, outer) = (place("__vdso_clock_gettime"), place("main ("));
    assert!(inner.is_some() && inner < outer, "{calls}");
}

/// The calls that gdb sees in a core file of the program, if there is a gdb.
fn calls_in(core: &Path) -> Option<String> {
    let mut gdb = Command::new("gdb");
    gdb.args(["--nx", "--batch", "-q"]).arg(guest("clock.c"));
    let output = gdb.arg(core).args(["-ex", "bt"]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}
