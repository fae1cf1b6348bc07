//! Programs that others have built, and other languages and libraries, as far as this machine has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Case, check, folder, run, scratch, sources};

pub(crate) const CASES: &[Case] = &[
    ("busybox_runs", busybox_runs),
    ("bash_runs", bash_runs),
    ("sash_runs", sash_runs),
    ("musl_programs_run", musl_programs_run),
    ("go_programs_run", go_programs_run),
];

const FILES: [&str; 5] = ["run", "-a", "@files,@change-files,@poll", "-m", ""];

/// A static program of the system, if it is there. Cases without theirs say so and pass.
fn program(path: &str) -> Option<PathBuf> {
    let is_static = fs::read(path).is_ok_and(|bytes| !wants_interpreter(&bytes));
    if !is_static {
        println!("no static {path} here: see cargo xtask setup");
    }
    is_static.then(|| path.into())
}

/// Whether an ELF file has a program header of the kind that names a dynamic linker.
fn wants_interpreter(file: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let half = |at: usize| usize::from(u16::from_le_bytes([file[at], file[at + 1]]));
    let mut table = [0; 8];
    table.copy_from_slice(&file[32..40]);
    let table = usize::try_from(u64::from_le_bytes(table)).expect("an offset in a file");
    let mut headers = file[table..].chunks_exact(half(54)).take(half(56));
    headers.any(|header| header.starts_with(&PT_INTERP.to_le_bytes()))
}

/// The words that run a program with `data` as its `/data`.
fn with_files(data: &Path) -> [String; 5] {
    let mut words = FILES.map(str::to_owned);
    words[4] = format!("{}:/data:rw", data.display());
    words
}

/// Runs `program` and checks what it prints.
fn prints(program: &Path, data: &Path, args: &[&str], expected: &str) {
    let words = with_files(data);
    let words = words.each_ref().map(String::as_str);
    check(&run(&words, program, args), 0, expected);
}

fn busybox_runs() {
    let Some(busybox) = program("/bin/busybox") else {
        return;
    };
    let data = folder("busybox");
    fs::write(data.join("words"), "zeta\nalpha\nmu\n").expect("the folder can be written");
    let prints = |args: &[&str], expected: &str| prints(&busybox, &data, args, expected);
    prints(&["sort", "/data/words"], "alpha\nmu\nzeta\n");
    prints(&["cp", "/data/words", "/data/copy"], "");
    prints(&["wc", "-l", "/data/copy"], "3 /data/copy\n");
    prints(&["mkdir", "-p", "/data/a/b"], "");
    prints(&["mv", "/data/copy", "/data/a/b/moved"], "");
    prints(&["find", "/data/a", "-type", "f"], "/data/a/b/moved\n");
    prints(&["tar", "cf", "/data/all.tar", "-C", "/data", "a"], "");
    prints(&["tar", "tf", "/data/all.tar"], "a/\na/b/\na/b/moved\n");
    prints(&["rm", "-r", "/data/a"], "");
    prints(&["ls", "/data"], "all.tar\nwords\n");
    prints(
        &["awk", "{ n += length($1) } END { print n }", "/data/words"],
        "11\n",
    );
    let script = "i=0; while [ $i -lt 3 ]; do i=$((i+1)); done; echo $i > /data/n; read n < /data/n; echo n=$n";
    prints(&["sh", "-c", script], "n=3\n");
}

fn bash_runs() {
    let Some(bash) = program("/bin/bash-static") else {
        return;
    };
    let script = "trap 'echo caught' USR1; kill -USR1 $$; declare -A a; a[x]=6; echo $((a[x] * 7)); \
                  printf '%s,' {1..4}; echo; while read -r word; do echo \"<$word>\"; done < /data/words; \
                  [[ abcde =~ b(.)d ]] && echo ${BASH_REMATCH[1]}";
    let data = folder("bash");
    fs::write(data.join("words"), "one\ntwo\n").expect("the folder can be written");
    let expected = "caught\n42\n1,2,3,4,\n<one>\n<two>\nc\n";
    prints(&bash, &data, &["-c", script], expected);
}

fn sash_runs() {
    let Some(sash) = program("/bin/sash") else {
        return;
    };
    let data = folder("sash");
    fs::write(data.join("file"), "text\n").expect("the folder can be written");
    prints(&sash, &data, &["-c", "-echo from sash"], "from sash\n");
    prints(&sash, &data, &["-c", "-mv /data/file /data/other"], "");
    assert!(data.join("other").exists());
}

/// Compiles `source` with `compiler`, if that is there.
fn compiled(compiler: &mut Command, source: &str) -> Option<PathBuf> {
    let binary = scratch().join(format!("{source}-other").replace('.', "-"));
    let command = compiler.arg("-o").arg(&binary).arg(sources().join(source));
    let Ok(output) = command.output() else {
        println!("no {} here", compiler.get_program().display());
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(binary)
}

/// Compiles `source` with musl, if that is there.
pub(crate) fn musl(source: &str) -> Option<PathBuf> {
    let mut gcc = Command::new("musl-gcc");
    gcc.args(["-O1", "-static", "-pthread"]);
    compiled(&mut gcc, source)
}

/// Compiles a program in Go, if there is Go.
pub(crate) fn go(source: &str) -> Option<PathBuf> {
    let cache = folder("go");
    let mut go = Command::new("go");
    go.args(["build"])
        .env("HOME", &cache)
        .env("GOCACHE", cache.join("cache"))
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", "0");
    compiled(&mut go, source)
}

fn musl_programs_run() {
    for (source, words, expected) in [
        ("threads.c", &["run"][..], "20000 20000 20000 4\n"),
        ("signals.c", &["run", "-a", "@poll"], "ok\n"),
    ] {
        if let Some(program) = musl(source) {
            check(&run(words, &program, &[]), 0, expected);
        }
    }
}

fn go_programs_run() {
    let Some(program) = go("concurrent.go") else {
        return;
    };
    let expected = "18720000 user defined signal 1\n\
                    runtime error: invalid memory address or nil pointer dereference\n";
    for ring in ["on", "off"] {
        let words = ["run", "-a", "@poll,@files", "--ring", ring];
        check(&run(&words, &program, &[]), 0, expected);
    }
}
