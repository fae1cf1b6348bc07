//! Programs that work with files.

use std::fs;
use std::os::unix::fs::symlink;

use crate::harness::{Case, check, check_error, folder, guest, run};

pub(crate) const CASES: &[Case] = &[
    (
        "every_handler_works_under_the_filter",
        every_handler_works_under_the_filter,
    ),
    (
        "what_is_not_written_is_no_output",
        what_is_not_written_is_no_output,
    ),
    (
        "files_are_written_below_a_mount",
        files_are_written_below_a_mount,
    ),
    (
        "a_mount_is_read_only_unless_said",
        a_mount_is_read_only_unless_said,
    ),
    (
        "a_file_is_mapped_under_the_least_filter",
        a_file_is_mapped_under_the_least_filter,
    ),
    ("nothing_leads_out_of_a_mount", nothing_leads_out_of_a_mount),
    (
        "what_was_judged_is_what_is_used",
        what_was_judged_is_what_is_used,
    ),
    (
        "descriptors_of_the_monitor_are_out_of_reach",
        descriptors_of_the_monitor_are_out_of_reach,
    ),
];

fn files_are_written_below_a_mount() {
    for source in ["write_file.c", "write_file.rs"] {
        let data = folder("write");
        let mount = format!("{}:/data:rw", data.display());
        let words = ["run", "-a", "@files", "-m", &mount];
        check(&run(&words, &guest(source), &[]), 0, "ok\n");
        let text = fs::read_to_string(data.join("file.txt")).expect("the file was made");
        assert_eq!(text, "written in a virtual machine\n");
    }
}

fn a_mount_is_read_only_unless_said() {
    let data = folder("read-only");
    let mount = format!("{}:/data", data.display());
    let output = run(
        &["run", "-a", "@files", "-m", &mount],
        &guest("write_file.c"),
        &[],
    );
    check_error(&output, 1, "Read-only file system");
    assert!(!data.join("file.txt").exists());
    let output = run(&["run"], &guest("write_file.c"), &[]);
    check_error(&output, 1, "Operation not permitted");
}

/// A folder to mount, with a secret beside it and links that lead there.
fn trap(name: &str) -> String {
    let top = folder(name);
    let data = top.join("data");
    fs::create_dir(&data).expect("the folder is new");
    fs::write(top.join("secret"), "secret").expect("it can be written");
    fs::write(data.join("inside"), "inside").expect("it can be written");
    symlink("../secret", data.join("out")).expect("the name is free");
    symlink("..", data.join("up")).expect("the name is free");
    symlink(top.join("secret"), data.join("absolute")).expect("the name is free");
    symlink("/proc/self/fd/0", data.join("magic")).expect("the name is free");
    format!("{}:/data:rw", data.display())
}

fn what_is_not_written_is_no_output() {
    let profile = folder("unwritten").join("tight.toml");
    let text =
        "[limits]\noutput = \"140KiB\"\n[syscalls]\nallow = [\"@start\", \"@stdio\", \"@poll\"]\n";
    fs::write(&profile, text).expect("the folder is ours");
    let profile = profile.display().to_string();
    let output = run(&["run", &profile], &guest("probe.c"), &["unwritten"]);
    check(&output, 0, "ok\n");
}

fn every_handler_works_under_the_filter() {
    let data = folder("handlers");
    symlink("elsewhere!", data.join("link")).expect("the name is free");
    let mount = format!("{}:/data:rw", data.display());
    let all = "@files,@change-files,@poll,@net-client,@net-server,socketpair";
    let output = run(
        &["run", "-a", all, "-m", &mount],
        &guest("probe.c"),
        &["handlers"],
    );
    check(&output, 0, "ok\n");
}

/// No call that could bring others of the host along is allowed.
fn a_file_is_mapped_under_the_least_filter() {
    let mount = trap("mapped");
    let profile = folder("least").join("least.toml");
    let allow = "[syscalls]\nallow = [\"@start\", \"write\", \"openat\"]\n";
    fs::write(&profile, allow).expect("it can be written");
    let profile = profile.display().to_string();
    let words = ["run", "-m", &mount, &profile];
    check(&run(&words, &guest("probe.c"), &["map"]), 0, "ok\n");
}

fn nothing_leads_out_of_a_mount() {
    let mount = trap("escapes");
    let words = ["run", "-a", "@files,@change-files", "-m", &mount];
    check(&run(&words, &guest("probe.c"), &["escapes"]), 0, "ok\n");
}

fn what_was_judged_is_what_is_used() {
    let mount = trap("races");
    let top = folder("judged");
    let hidden = format!("{}/hidden", mount.trim_end_matches(":/data:rw"));
    fs::write(hidden, "hidden").expect("it can be written");
    let rules = ["open", "openat"]
        .map(|call| format!("[[rule]]\ncall = \"{call}\"\npath = \"/data/inside\"\n"));
    let allow = "[syscalls]\nallow = [\"@start\", \"@stdio\", \"@time\", \"@threads\", \"@files\", \"@poll\"]\n";
    let profile = top.join("judged.toml");
    fs::write(&profile, allow.to_owned() + &rules.concat()).expect("it can be written");
    let profile = profile.display().to_string();
    let words = ["run", "-m", &mount, &profile];
    check(&run(&words, &guest("probe.c"), &["races"]), 0, "ok\n");
}

fn descriptors_of_the_monitor_are_out_of_reach() {
    let words = ["run", "-a", "@files,@poll"];
    check(&run(&words, &guest("probe.c"), &["descriptors"]), 0, "ok\n");
}
