//! Programs that are kept in a file, and go on from there.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Case, check, check_error, folder, guest, torov};

pub(crate) const CASES: &[Case] = &[
    (
        "a_program_goes_on_from_its_snapshot",
        a_program_goes_on_from_its_snapshot,
    ),
    (
        "threads_pipes_and_timers_go_on",
        threads_pipes_and_timers_go_on,
    ),
    (
        "debuggers_see_restored_programs",
        debuggers_see_restored_programs,
    ),
    ("a_snapshot_grants_nothing", a_snapshot_grants_nothing),
    ("a_listener_listens_again", a_listener_listens_again),
    (
        "connections_get_programs_that_are_ready",
        connections_get_programs_that_are_ready,
    ),
    ("what_cannot_be_kept_is_named", what_cannot_be_kept_is_named),
    (
        "damaged_snapshots_are_refused",
        damaged_snapshots_are_refused,
    ),
    (
        "malicious_snapshots_harm_only_themselves",
        malicious_snapshots_harm_only_themselves,
    ),
];

/// What the program reads before it is kept, and behind that.
const BEFORE: &[u8] = b"a\nb\n";
const BEHIND: &[u8] = b"c\nd\ne\n";

/// Starts `torov` with `words`, and gives it `input`.
fn start(words: &[&str], input: &[u8]) -> Child {
    let mut command = Command::new(torov());
    command.args(words).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("torov can be started");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    // It may have ended by now: its status says so.
    let _ = stdin.write_all(input);
    child
}

fn run(words: &[&str], input: &[u8]) -> Output {
    let child = start(words, input);
    child.wait_with_output().expect("it is our child")
}

/// The words that show `data` to a program.
fn mount(data: &Path) -> String {
    format!("{}:/data:rw", data.display())
}

/// Keeps the program in `folder/kept`, before it reads for the third time, and returns the file's name.
fn keep(folder: &Path) -> String {
    let file = folder.join("kept").display().to_string();
    let (mount, kept) = (mount(folder), guest("kept.c").display().to_string());
    let words = [
        "snapshot", "--at", "read:3", "-o", &file, "-a", "@files", "-m", &mount, &kept,
    ];
    let output = run(&words, BEFORE);
    check(&output, 0, &lines(1..3));
    file
}

/// What the program says in those rounds.
fn lines(rounds: std::ops::Range<u16>) -> String {
    let line = |round: u16| {
        let product = 1.5 * 1.25_f64.powi(round.into());
        let letter = char::from(b"_abcde"[usize::from(round)]);
        let sum = u32::from(round) * 100_000;
        let (handled, own, offset) = (10 * round, 7 + round, 5 + round);
        format!("{round} {letter} {product:.6} {sum} {handled} {own} 1 {offset}\n")
    };
    rounds.map(line).collect()
}

fn a_program_goes_on_from_its_snapshot() {
    let folder = folder("snapshot");
    let (file, mount) = (keep(&folder), mount(&folder));
    let start = |ring: &str| {
        start(
            &[
                "restore", "--ring", ring, "-a", "@files", "-m", &mount, &file,
            ],
            BEHIND,
        )
    };
    // All at once, and from the same pages.
    let children = ["off", "on", "auto", "on"].map(start);
    for child in children {
        let output = child.wait_with_output().expect("it is our child");
        check(&output, 3, &lines(3..6));
    }
    let log = fs::read_to_string(folder.join("log")).expect("the program wrote it");
    assert_eq!(log, "startabcde");
    // The end of the input comes at once.
    check(
        &run(&["restore", "-a", "@files", "-m", &mount, &file], b""),
        3,
        "",
    );
}

/// Keeps the program that has everything, and returns the file's name.
fn keep_whole(folder: &Path, mode: &str) -> String {
    let file = folder.join("whole").display().to_string();
    let whole = guest("whole.c").display().to_string();
    let words = [
        "snapshot",
        "--at",
        "getppid",
        "-o",
        &file,
        "-a",
        "@files,@poll",
        &whole,
        mode,
    ];
    check(&run(&words, b""), 0, "before\n");
    file
}

fn threads_pipes_and_timers_go_on() {
    let folder = folder("snapshot-whole");
    for _ in 0..2 {
        let file = keep_whole(&folder, "");
        let start = |ring: &str| {
            let words = ["restore", "--ring", ring, "-a", "@files,@poll", &file];
            start(&words, b"")
        };
        for child in ["off", "on", "auto"].map(start) {
            let output = child.wait_with_output().expect("it is our child");
            check(&output, 7, "behind\n");
        }
    }
    let file = keep_whole(&folder, "");
    let tight = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).expect("the folder is ours");
        path.display().to_string()
    };
    for (limits, calls, why) in [
        ("", "\"@start\"", "the profile allows no `clone`"),
        (
            "",
            "\"@start\", \"@threads\"",
            "the profile allows no `setitimer`",
        ),
        (
            "",
            "\"@start\", \"@threads\", \"@signals\"",
            "the profile allows no `pipe2`",
        ),
        (
            "threads = 4",
            "\"@start\", \"@threads\", \"@signals\", \"@poll\"",
            "it has 5 threads, which is beyond the limit",
        ),
    ] {
        let text = format!("[limits]\n{limits}\n[syscalls]\nallow = [{calls}]\n");
        let profile = tight("tight.toml", &text);
        check_error(&run(&["restore", &profile, &file], b""), 126, why);
    }
    // Who may not ask for the time finds functions that make the call, which is denied.
    let calls = "\"@start\", \"@stdio\", \"@threads\", \"@signals\", \"@poll\", \"getppid\"";
    let profile = tight("timeless.toml", &format!("[syscalls]\nallow = [{calls}]\n"));
    let output = run(&["restore", &profile, &file], b"");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("clock_gettime(clock, &time) == 0 (errno 1)"),
        "{text}"
    );
}

/// What gdb says to `commands` about the program that has everything. `None` if there is no gdb.
fn gdb(commands: &[&str], more: &[&str]) -> Option<String> {
    // Whatever becomes of it, it ends.
    let mut gdb = Command::new("timeout");
    gdb.args(["120", "gdb", "-nx", "-batch", "-ex"])
        .arg("set debuginfod enabled off");
    commands.iter().for_each(|command| {
        gdb.args(["-ex", command]);
    });
    gdb.arg(guest("whole.c")).args(more).stdin(Stdio::null());
    let output = gdb.output().ok()?;
    let is_there = output.status.code() != Some(127);
    is_there.then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn debuggers_see_restored_programs() {
    if gdb(&["show version"], &[]).is_none() {
        println!("skipped: no gdb here");
        return;
    }
    let folder = folder("snapshot-debugged");
    let file = keep_whole(&folder, "");
    let words = [
        "restore",
        "--gdb",
        "127.0.0.1:0",
        "-a",
        "@files,@poll",
        &file,
    ];
    let mut child = start(&words, b"");
    let mut errors = BufReader::new(child.stderr.take().expect("it is a pipe"));
    let mut line = String::new();
    errors.read_line(&mut line).expect("it waits for gdb");
    let address = line.trim().rsplit(' ').next().unwrap_or_default();
    let target = format!("target remote {address}");
    let commands = [
        &target,
        "info threads",
        "print ready",
        "break puts",
        "continue",
        "delete",
        "continue",
    ];
    let text = gdb(&commands, &[]).expect("it was there a moment ago");
    let ended = child.wait_with_output().expect("it is our child");
    for piece in ["$1 = 4", "Breakpoint 1, ", "exited with code 07"] {
        assert!(text.contains(piece), "no {piece} in: {text}");
    }
    check(&ended, 7, "behind\n");
    // A core file has all threads, and the vector by which gdb finds its way.
    let file = keep_whole(&folder, "abort");
    let core = folder.join("core").display().to_string();
    let words = ["restore", "--core", &core, "-a", "@files,@poll", &file];
    check_error(&run(&words, b""), 134, "ended by SIGABRT");
    let text = gdb(&["info threads", "backtrace", "info auxv"], &[&core]);
    let text = text.expect("it was there a moment ago");
    for piece in ["abort", "main (", "AT_SYSINFO_EHDR"] {
        assert!(text.contains(piece), "no {piece} in: {text}");
    }
    assert!(text.matches("LWP ").count() >= 5, "{text}");
}

fn a_snapshot_grants_nothing() {
    let folder = folder("snapshot-grants");
    let (file, mount) = (keep(&folder), mount(&folder));
    let output = run(&["restore", &file], BEHIND);
    check_error(
        &output,
        126,
        "the profile allows no `openat` with path = \"/data/log\"",
    );
    let output = run(&["restore", "-a", "@files", &file], BEHIND);
    check_error(&output, 126, "/data/log: ENOENT");
    let read_only = mount.trim_end_matches(":rw");
    let output = run(&["restore", "-a", "@files", "-m", read_only, &file], BEHIND);
    check_error(&output, 126, "/data/log: EROFS");
    // A profile that lets the program read and open, and write no more.
    let profile = folder.join("tight.toml");
    let text = "[syscalls]\nallow = [\"@start\", \"@signals\", \"openat\", \"read\", \"lseek\"]\n";
    fs::write(&profile, text).expect("the folder is ours");
    let profile = profile.display().to_string();
    let output = run(&["restore", "-m", &mount, &profile, &file], BEHIND);
    check(&output, 3, "");
}

fn a_listener_listens_again() {
    let folder = folder("snapshot-listener");
    let file = folder.join("kept").display().to_string();
    let kept = guest("kept.c").display().to_string();
    // An address of this run alone: nobody else takes the port in between.
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = format!("127.77.{high}.{}", low.max(1));
    let words = [
        "snapshot",
        "--at",
        "write",
        "-o",
        &file,
        "-a",
        "@net-server",
        &kept,
        &address,
    ];
    check(&run(&words, b""), 0, "");
    let output = run(&["restore", &file], b"");
    check_error(&output, 126, "the profile allows no `bind` with addr = ");
    let mut child = start(&["restore", "-a", "@net-server", &file], b"");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is a pipe");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("the program says where it listens");
    let said = line
        .trim()
        .rsplit(' ')
        .next()
        .and_then(|text| text.parse().ok());
    let said: SocketAddr = said.unwrap_or_else(|| panic!("it says `{line}`"));
    let mut stream = TcpStream::connect(said).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("it is not zero");
    let mut bytes = String::new();
    stream.read_to_string(&mut bytes).expect("it answers");
    assert_eq!(bytes, "kept");
    assert_eq!(child.wait().expect("it is our child").code(), Some(0));
}

fn connections_get_programs_that_are_ready() {
    let folder = folder("snapshot-pool");
    let (file, mount) = (keep(&folder), mount(&folder));
    let words = [
        "restore",
        "--listen",
        "127.0.0.1:0",
        "--spare",
        "2",
        "-a",
        "@files",
        "-m",
        &mount,
        &file,
    ];
    let mut keeper = start(&words, b"");
    let mut errors = BufReader::new(keeper.stderr.take().expect("it is a pipe"));
    let mut line = String::new();
    errors
        .read_line(&mut line)
        .expect("it says where it listens");
    let address = line
        .trim()
        .rsplit(' ')
        .next()
        .and_then(|text| text.parse().ok());
    let address: SocketAddr = address.unwrap_or_else(|| panic!("it says `{line}`"));
    // More at once than machines are spare.
    let connect = |_| {
        let stream = TcpStream::connect(address).expect("it listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("it is not zero");
        stream
    };
    let streams: Vec<TcpStream> = (0..6).map(connect).collect();
    for mut stream in streams {
        stream.write_all(BEHIND).expect("the program reads");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("the program answers");
        assert_eq!(answer, lines(3..6));
    }
    keeper.kill().expect("it is our child");
    keeper.wait().expect("it is our child");
    // Those that waited go, too: nobody holds the socket then.
    let patience = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < patience, "somebody still listens");
        thread::yield_now();
    }
}

fn what_cannot_be_kept_is_named() {
    let folder = folder("snapshot-refused");
    let file = folder.join("kept").display().to_string();
    let kept = guest("kept.c").display().to_string();
    let whole = guest("whole.c").display().to_string();
    for (mode, why) in [
        ("socket", "is a socket that does not listen"),
        ("packets", "is an end of a pipe of packets"),
        ("once", "is a set that waits once for descriptor"),
    ] {
        let allow = "@files,@poll,socketpair";
        let words = [
            "snapshot", "--at", "getppid", "-o", &file, "-a", allow, &whole, mode,
        ];
        check_error(&run(&words, b""), 125, why);
    }
    let never = ["snapshot", "--at", "accept", "-o", &file, &kept];
    check_error(&run(&never, b""), 125, "no snapshot was written");
    let nothing = ["snapshot", "--at", "fly", "-o", &file, &kept];
    check_error(&run(&nothing, b""), 125, "write --at CALL");
}

fn damaged_snapshots_are_refused() {
    let folder = folder("snapshot-damaged");
    let file = keep(&folder);
    let whole = fs::read(&file).expect("it was written");
    let mut flipped = whole.clone();
    flipped[200] ^= 4;
    for (bytes, why) in [
        (&whole[..whole.len() - 1], "it is damaged: its length"),
        (&whole[..20], "it is no snapshot: it is too short"),
        (&flipped[..], "it is damaged: its checksum"),
        (b"".as_slice(), "it is no snapshot"),
    ] {
        fs::write(&file, bytes).expect("the folder is ours");
        check_error(&run(&["restore", &file], b""), 126, why);
    }
    check_error(
        &run(&["restore", &file, "more"], b""),
        125,
        "takes a snapshot and nothing else",
    );
}

/// FNV-1a, as `snapshot.rs` has it: whoever changes a file on purpose makes it right.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Words of a snapshot are changed to what hurts most. The program may do or die as it likes, and the monitor may refuse it.
fn malicious_snapshots_harm_only_themselves() {
    let folder = folder("snapshot-malice");
    let mount = mount(&folder);
    harm(&keep(&folder), &mount, (24, 0));
    // Of this one the end, where timers, pipes and descriptors are.
    harm(&keep_whole(&folder, ""), &mount, (12, 300));
}

/// Runs as many `rounds` with a word changed each, among the last so many that are told, or among all.
fn harm(file: &str, mount: &str, (rounds, last): (usize, usize)) {
    const HEADER: usize = 48;
    let whole = fs::read(file).expect("it was written");
    let told: [u8; 8] = whole[16..24].try_into().expect("it is a word");
    let words = usize::try_from(u64::from_le_bytes(told)).expect("it is short") / 8;
    let values = [
        0,
        1,
        u64::MAX,
        1 << 63,
        0x7fff_ffff_e000,
        0xffff_8000_0000_0000,
    ];
    let mut chance = 88_172_645_463_325_252_u64;
    let first = if last == 0 { 0 } else { words - last };
    for round in 0..rounds {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let mut bytes = whole.clone();
        // Texts are not whole words long: some changes lie across two.
        let word = usize::try_from(chance >> 8).expect("it fits") % (words - 1 - first);
        let at = HEADER + 8 * (first + word) + round % 8;
        bytes[at..at + 8].copy_from_slice(&values[round % values.len()].to_le_bytes());
        let sum = checksum(
            &bytes
                [HEADER..HEADER + usize::try_from(u64::from_le_bytes(told)).expect("it is short")],
        );
        bytes[24..32].copy_from_slice(&sum.to_le_bytes());
        fs::write(file, &bytes).expect("the folder is ours");
        let allow = "@files,@poll";
        let words = ["restore", "--wall", "2s", "-a", allow, "-m", mount, file];
        let output = run(&words, BEHIND);
        let errors = String::from_utf8_lossy(&output.stderr);
        let status = output.status.code();
        assert!(
            status.is_some() && !errors.contains("panicked"),
            "{round}: {status:?} {errors}"
        );
    }
}
