//! Programs without a machine: a script makes the calls, the handlers are the real ones.

use std::fs::File;
use std::sync::{Arc, Mutex};

use torov_abi::{Errno, Signal};
use torov_calls::{Class, Descriptor, Ending, Limits, Mounts, Observer, Process, Settings, thread};
use torov_memory::{Layout, Memory, Place, Rights, Slots};
use torov_policy::{Policy, Profile, Subject};
use torov_vcpu::script::Script;
use torov_vcpu::{Exit, Fault, Machine, Registers, Vcpu, VcpuError};

struct NoMachine;

impl Slots for NoMachine {
    fn add(&mut self, _: u64, _: u64, _: u64) -> Result<(), Errno> {
        Ok(())
    }
}

impl Machine for NoMachine {
    fn add_vcpu(&self, _: &Registers, _: u64) -> Result<Box<dyn Vcpu>, VcpuError> {
        Err(VcpuError("there is no machine".to_owned()))
    }
}

/// What was seen.
#[derive(Clone, Default)]
struct Seen {
    ending: Arc<Mutex<Option<Ending>>>,
    denied: Arc<Mutex<Vec<(u64, String)>>>,
    results: Arc<Mutex<Vec<u64>>>,
}

impl Observer for Seen {
    fn called(&self, _: i32, _: &torov_abi::Call, result: u64, _: std::time::Duration) {
        self.results.lock().expect("no panic").push(result);
    }

    fn wants_calls(&self) -> bool {
        true
    }

    fn denied(&self, number: u64, subject: Subject<'_>) {
        let mut denied = self.denied.lock().expect("no panic");
        denied.push((number, subject.to_string()));
    }

    fn ended(&self, _: &Process, ending: &Ending) {
        *self.ending.lock().expect("no panic") = Some(ending.clone());
    }
}

/// Where every test's memory to play with lies, and how long it is.
const SCRATCH: u64 = 0x50_0000;
const SCRATCH_LEN: u64 = 0x1_0000;

fn settings(policy: Policy, limits: Limits, seen: &Seen) -> Settings {
    let layout = Layout {
        limit: 16 << 20,
        mmap_top: 0x7000_0000_0000,
    };
    let memory = Memory::try_new(layout, Box::new(NoMachine)).expect("the host has the memory");
    let place = Place::Exactly(SCRATCH);
    let made = memory.map(place, SCRATCH_LEN, Rights::READ_WRITE, "test");
    made.expect("there is room");
    memory.set_heap(0x60_0000);
    Settings {
        memory: Arc::new(memory),
        machine: Arc::new(NoMachine),
        policy,
        mounts: Mounts::default(),
        limits,
        cwd: "/".to_owned(),
        executable: "/test".to_owned(),
        observer: Box::new(seen.clone()),
        debug: None,
        ring: None,
        clock: None,
        learn: false,
        freeze_at: None,
    }
}

/// Runs a script and returns how it ended.
fn run(settings: Settings, seen: &Seen, script: Script) -> Ending {
    let process = Arc::new(Process::new(settings));
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.expect("every host has it");
    let descriptor = Descriptor::new(null.into(), Class::File, String::new());
    let put = process.descriptors().put(1, Arc::new(descriptor), false);
    put.expect("the table is empty");
    thread::run(&process, Box::new(script));
    let ending = seen.ending.lock().expect("no panic").clone();
    ending.expect("the program has ended")
}

fn calls(calls: Vec<(u64, [u64; 6])>) -> (Vec<u64>, Ending) {
    let seen = Seen::default();
    let settings = settings(Policy::everything(), Limits::default(), &seen);
    let ending = run(settings, &seen, Script::calls(calls));
    let results = seen.results.lock().expect("no panic").clone();
    (results, ending)
}

const WRITE: u64 = 1;
const GETPID: u64 = 39;
const EXIT_GROUP: u64 = 231;

#[test]
fn a_program_exits_with_its_status() {
    let (results, ending) = calls(vec![
        (WRITE, [1, SCRATCH, 5, 0, 0, 0]),
        (EXIT_GROUP, [0x1_0007, 0, 0, 0, 0, 0]),
    ]);
    assert_eq!(results[0], 5);
    assert_eq!(ending, Ending::Exit(7));
}

#[test]
fn errors_are_negative_numbers_in_the_register() {
    let bad = [
        ((WRITE, [9, SCRATCH, 1, 0, 0, 0]), Errno::EBADF),
        ((WRITE, [1, 0, 1, 0, 0, 0]), Errno::EFAULT),
        (
            (WRITE, [1, SCRATCH + SCRATCH_LEN - 1, 2, 0, 0, 0]),
            Errno::EFAULT,
        ),
        ((57, [0; 6]), Errno::ENOSYS),
        ((58, [0; 6]), Errno::ENOSYS),
        ((59, [SCRATCH, 0, 0, 0, 0, 0]), Errno::ENOSYS),
        ((56, [17, 0, 0, 0, 0, 0]), Errno::ENOSYS),
        ((435, [SCRATCH, 88, 0, 0, 0, 0]), Errno::ENOSYS),
        ((101, [0; 6]), Errno::ENOSYS),
    ];
    let mut list: Vec<_> = bad.iter().map(|(call, _)| *call).collect();
    list.push((EXIT_GROUP, [0; 6]));
    let (results, _) = calls(list);
    for (result, (call, error)) in results.iter().zip(bad) {
        assert_eq!(*result, error.to_register(), "{call:?}");
    }
}

#[test]
fn numbers_that_no_call_has_are_denied_and_told() {
    let seen = Seen::default();
    let profile = Profile::parse("[syscalls]\nallow = [\"exit_group\"]").expect("a profile");
    let policy = Policy::new(&profile).expect("a policy");
    let odd = [GETPID, 511, 512, 1 << 32 | 231, 1 << 63, u64::MAX];
    let mut list: Vec<_> = odd.iter().map(|number| (*number, [0; 6])).collect();
    list.push((EXIT_GROUP, [0; 6]));
    let ending = run(
        settings(policy, Limits::default(), &seen),
        &seen,
        Script::calls(list),
    );
    assert_eq!(ending, Ending::Exit(0));
    let results = seen.results.lock().expect("no panic").clone();
    assert!(
        results[..6]
            .iter()
            .all(|result| *result == Errno::EPERM.to_register())
    );
    let denied: Vec<u64> = seen
        .denied
        .lock()
        .expect("no panic")
        .iter()
        .map(|(number, _)| *number)
        .collect();
    assert_eq!(denied, odd);
}

#[test]
fn a_profile_may_answer_with_death() {
    let seen = Seen::default();
    let profile = Profile::parse("[syscalls]\ndenied = \"kill\"").expect("a profile");
    let policy = Policy::new(&profile).expect("a policy");
    let script = Script::calls(vec![(GETPID, [0; 6])]);
    let ending = run(settings(policy, Limits::default(), &seen), &seen, script);
    assert_eq!(ending, Ending::Denied("getpid".to_owned()));
    assert_eq!(ending.status(), 159);
}

#[test]
fn the_limit_of_output_ends_the_program() {
    let seen = Seen::default();
    let limits = Limits {
        output: 100,
        ..Limits::default()
    };
    let script = Script::calls(vec![(WRITE, [1, SCRATCH, 60, 0, 0, 0]); 9]);
    let ending = run(settings(Policy::everything(), limits, &seen), &seen, script);
    assert_eq!(ending, Ending::Limit("output", 137));
    assert_eq!(seen.results.lock().expect("no panic").len(), 2);
}

#[test]
fn faults_become_signals() {
    let fault = |vector, error, address| {
        let seen = Seen::default();
        let script = Script::new(move |_| {
            Some(Exit::Fault(Fault {
                vector,
                error,
                address,
            }))
        });
        match run(
            settings(Policy::everything(), Limits::default(), &seen),
            &seen,
            script,
        ) {
            Ending::Fault(report) => (report.signal, report.what),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fault(0, 0, 0).0, Signal::SIGFPE);
    assert_eq!(fault(6, 0, 0).0, Signal::SIGILL);
    assert_eq!(fault(3, 0, 0).0, Signal::SIGTRAP);
    assert_eq!(fault(13, 0, 0).0, Signal::SIGSEGV);
    assert_eq!(fault(17, 0, 0).0, Signal::SIGBUS);
    assert!(fault(14, 6, 0).1.contains("null pointer"));
    assert!(fault(14, 0x15, SCRATCH).1.contains("rw-"));
    assert!(fault(14, 4, u64::MAX).1.contains("where nothing is"));
}

#[test]
fn a_machine_that_fails_is_told_of() {
    let (_, ending) = calls(Vec::new());
    assert_eq!(ending, Ending::Machine("the script has ended".to_owned()));
}

/// Calls that end the program or wait for what never comes.
const NOT_AT_RANDOM: [&str; 38] = [
    "exit",
    "exit_group",
    "kill",
    "tkill",
    "tgkill",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigreturn",
    "pause",
    "alarm",
    "setitimer",
    "timer_settime",
    "read",
    "readv",
    "pread64",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "nanosleep",
    "clock_nanosleep",
    "futex",
    "accept",
    "accept4",
    "recvfrom",
    "recvmsg",
    "connect",
    "pipe",
    "pipe2",
    "eventfd",
    "eventfd2",
    "socketpair",
    "epoll_wait",
    "epoll_pwait",
    "dup2",
    "dup3",
];

#[test]
fn calls_at_random_do_no_harm() {
    at_random(1, 200_000);
}

/// Ten million.
#[test]
#[ignore = "takes minutes"]
fn very_many_calls_at_random_do_no_harm() {
    for seed in 2..12 {
        at_random(seed, 1_000_000);
    }
}

fn at_random(seed: u64, calls: u32) {
    let never: Vec<u64> = NOT_AT_RANDOM
        .iter()
        .filter_map(|name| torov_abi::number_of(name).map(u64::from))
        .collect();
    let mut state = seed;
    let mut draw = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 32
    };
    let mut left = calls;
    let script = Script::new(move |registers| {
        if left == 0 {
            Script::ask(registers, EXIT_GROUP, [0; 6]);
            return Some(Exit::Call);
        }
        left -= 1;
        let mut argument = || {
            let chance = draw();
            match chance % 8 {
                0 => chance >> 3,
                1 => SCRATCH + (chance >> 3) % SCRATCH_LEN,
                2 => (chance << 32).wrapping_add(chance),
                3 => (chance >> 3) % 5,
                4 => ((chance >> 3) % 300).wrapping_neg(),
                5 => 1 << ((chance >> 3) % 64),
                6 => 0,
                _ => 4096 * ((chance >> 3) % 4096),
            }
        };
        let args = [0; 6].map(|_: u64| argument());
        let number = match argument() % 3 {
            0 => argument(),
            _ => (argument() ^ argument() >> 3) % 460,
        };
        let number = if never.contains(&number) {
            GETPID
        } else {
            number
        };
        Script::ask(registers, number, args);
        Some(Exit::Call)
    });
    let seen = Seen::default();
    let ending = run(
        settings(Policy::everything(), Limits::default(), &seen),
        &seen,
        script,
    );
    assert_eq!(ending, Ending::Exit(0));
    let results = seen.results.lock().expect("no panic");
    assert_eq!(results.len(), usize::try_from(calls).expect("it fits") + 1);
    let fine = results
        .iter()
        .filter(|result| result.cast_signed() >= 0)
        .count();
    assert!(fine > 1000, "{fine} calls did something");
}
