//! The verbs around `run`.

use std::fs;
use std::process::Command;

use crate::harness::{Case, check, check_error, folder, guest, run, torov};

pub(crate) const CASES: &[Case] = &[
    ("doctor_tells_of_every_part", doctor_tells_of_every_part),
    ("learn_writes_what_is_needed", learn_writes_what_is_needed),
    ("explain_names_the_line", explain_names_the_line),
    ("trace_shows_calls", trace_shows_calls),
    (
        "bench_has_a_line_for_each_way",
        bench_has_a_line_for_each_way,
    ),
    ("stats_count_calls", stats_count_calls),
    (
        "jails_are_what_the_profile_says",
        jails_are_what_the_profile_says,
    ),
    (
        "the_manual_and_completions_are_written",
        the_manual_and_completions_are_written,
    ),
    (
        "the_original_s_profile_is_converted",
        the_original_s_profile_is_converted,
    ),
];

fn doctor_tells_of_every_part() {
    let output = Command::new(torov()).arg("doctor").output();
    let output = output.expect("torov can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for part in [
        "processors",
        "/dev/kvm",
        "calls",
        "W^X",
        "mprotect",
        "no_new_privs",
        "seccomp",
        "Landlock",
        "namespaces",
        "ready",
    ] {
        let mut lines = text.lines();
        let line = lines.find(|line| line.starts_with(part));
        let line = line.unwrap_or_else(|| panic!("no {part} in {text}"));
        // What is not there has its remedy behind it.
        assert!(!line.contains("NOT:") || line.contains("; "), "{line}");
    }
}

fn learn_writes_what_is_needed() {
    let folder = folder("learn");
    let profile = folder.join("learnt.toml");
    let profile = profile.display().to_string();
    let mount = format!("{}:/data:rw", folder.display());
    let output = run(
        &["learn", "-o", &profile, "-m", &mount],
        &guest("write_file.c"),
        &[],
    );
    check(&output, 0, "ok\n");
    let text = fs::read_to_string(&profile).expect("it was written");
    assert!(text.contains("path = \"/data/file.txt\""), "{text}");
    check(
        &run(&["run", &profile], &guest("write_file.c"), &[]),
        0,
        "ok\n",
    );
    // What was not learnt is denied: this program writes to standard error, and more.
    let output = run(&["run", &profile], &guest("echo.c"), &["0"]);
    check_error(&output, 1, "Operation not permitted");
}

fn explain_names_the_line() {
    let output = run(&["explain"], &guest("write_file.c"), &[]);
    check_error(&output, 1, "denied 1 x openat");
    check_error(&output, 1, "add \"openat\" to `allow`");
    let output = run(&["explain", "-a", "@files"], &guest("hello.c"), &[]);
    check_error(&output, 0, "nothing was denied");
}

fn trace_shows_calls() {
    let output = run(&["trace"], &guest("hello.c"), &[]);
    check_error(&output, 0, "] write(1, ");
    check_error(&output, 0, ") = 17 <");
    check_error(&output, 0, "+++ ended with 0 +++");
}

fn bench_has_a_line_for_each_way() {
    let holds = |text: &[u8], ways: [&str; 4]| {
        let text = String::from_utf8_lossy(text).into_owned();
        for way in ways {
            assert!(text.lines().any(|line| line.starts_with(way)), "{text}");
        }
    };
    let output = run(&["bench"], &guest("hello.c"), &[]);
    let ways = ["native", "strace -f", "torov --ring=off"];
    let [native, strace, off] = ways;
    assert_eq!(output.status.code(), Some(0));
    holds(&output.stdout, [native, strace, off, "torov --ring=auto"]);
    // Without a program it is about calls.
    let output = Command::new(torov()).arg("bench").output();
    let output = output.expect("torov can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    holds(&output.stdout, [native, strace, off, "torov --ring=on"]);
}

fn stats_count_calls() {
    let output = run(&["stats", "--json"], &guest("probe.c"), &["write", "37"]);
    check_error(&output, 0, "{\"name\":\"write\",\"count\":38,\"errors\":0,");
}

fn jails_are_what_the_profile_says() {
    let folder = folder("jails");
    for kind in ["off", "quick", "all"] {
        let path = folder.join(format!("{kind}.toml"));
        let text = format!(
            "[syscalls]\nallow = [\"@start\", \"write\"]\n[jail]\nnamespaces = \"{kind}\"\n"
        );
        fs::write(&path, text).expect("it can be written");
        let path = path.display().to_string();
        let output = run(&["run", &path], &guest("hello.c"), &["jail"]);
        check(&output, 0, "Hello from jail\n");
    }
}

fn the_manual_and_completions_are_written() {
    let text = |words: &[&str]| {
        let output = Command::new(torov()).args(words).output();
        let output = output.expect("torov can be started");
        assert!(output.status.success(), "{words:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(text(&["man"]).starts_with(".TH TOROV 1 "));
    let script = text(&["completions", "bash"])
        + "COMP_WORDS=(torov ex); COMP_CWORD=1; _torov; echo ${COMPREPLY[@]}";
    let output = Command::new("bash").args(["-c", &script]).output();
    let output = output.expect("there is bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "explain\n");
}

fn the_original_s_profile_is_converted() {
    let folder = folder("convert");
    let path = folder.join("HelloWorld.json");
    let text =
        r#"{ "Binary": "./HelloWorld", "Hypercalls": [{ "Name": "Write", "Allowed": "True" }] }"#;
    fs::write(&path, text).expect("it can be written");
    let output = Command::new(torov())
        .arg("convert")
        .arg(&path)
        .output()
        .expect("torov can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("allow = [\"@start\", \"write\"]"),
        "{text}"
    );
    let path = path.display().to_string();
    check(
        &run(&["run", &path], &guest("hello.c"), &["JSON"]),
        0,
        "Hello from JSON\n",
    );
}
