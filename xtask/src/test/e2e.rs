//! Ring 4: whole images, driven from outside as their users would.
//!
//! User networking stalls with more than a few connections at a time, so what needs many goes over a tap, in a
//! network namespace of our own, which takes root.

mod balloon;
mod boot;
mod capture;
mod cards;
mod cores;
mod crowd;
mod deadlock;
mod debugger;
mod durable;
mod entropy;
mod errors;
mod files;
mod flood;
mod liars;
mod load;
mod malformed;
mod mappings;
mod memory;
mod metrics;
mod multiqueue;
mod operator;
mod placement;
mod post_mortem;
mod protocol;
mod services;
mod share;
mod shutdown;
mod silent_core;
mod timestamps;
mod torov;
mod trace;
mod weather;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::cells::{self, Cell};
use super::server::{self, Server, Setting};
use super::sides::{self, Group};
use super::tally::Tally;
use super::{Depth, tree};
use crate::build::{self, Profile};
use crate::netns::Lab;
use crate::qemu::{Machine, Memory};
use crate::setup;
use crate::workspace::Workspace;

/// A case may take so long.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// A case against a server that runs.
type ServerCase = (&'static str, fn(SocketAddr, Depth) -> Result<()>);

/// Over user networking.
const USER: &[ServerCase] = &[
    ("e2e: serves its index page", protocol::index),
    ("e2e: answers HEAD without a body", protocol::head),
    (
        "e2e: answers pipelined requests in order",
        protocol::pipelining,
    ),
    ("e2e: answers byte ranges", protocol::ranges),
    (
        "e2e: answers 304 to a client that has the file",
        protocol::not_modified,
    ),
    ("e2e: closes when the client asks", protocol::close),
    ("e2e: keeps to its folder", protocol::escapes),
    (
        "e2e: refuses malformed requests and lives on",
        malformed::corpus,
    ),
    (
        "e2e: lives through connections that end anywhere",
        malformed::cut_off,
    ),
    (
        "e2e: answers many requests on kept connections",
        load::keep_alive,
    ),
    ("e2e: takes many connections in a row", load::connections),
];

/// Over a tap.
const TAP: &[ServerCase] = &[("e2e: keeps data sent before accept", load::early_data)];

/// Runs all of them.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, depth: Depth, seed: Option<u64>) {
    eprintln!("ring 4: whole images");
    // What takes long is first, so that both sides end together.
    let groups: Vec<Group<'_>> = vec![
        Box::new(move |workspace, tally| {
            if let Err(error) = web_server(workspace, tally, depth) {
                tally.record("e2e: web-server starts", Err(error));
            }
        }),
        Box::new(verbs),
        Box::new(move |workspace, tally| liars::run(workspace, tally, depth)),
        Box::new(move |workspace, tally| durable::run(workspace, tally, depth)),
        Box::new(move |workspace, tally| debugger::run(workspace, tally, depth)),
        Box::new(move |workspace, tally| weather::run(workspace, tally, depth, seed)),
        Box::new(services::run),
        Box::new(metrics::run),
        Box::new(post_mortem::run),
        Box::new(share::run),
        Box::new(move |workspace, tally| multiqueue::run(workspace, tally, depth)),
        Box::new(cards::run),
        Box::new(timestamps::run),
        Box::new(balloon::run),
        Box::new(cores::run),
        Box::new(silent_core::run),
        Box::new(operator::run),
        Box::new(entropy::run),
        Box::new(placement::run),
        Box::new(move |workspace, tally| boot::run(workspace, tally, depth)),
    ];
    sides::run(workspace, tally, groups);
}

/// What calls this program as people do: such a call does not know of sides, so all of them are on one.
fn verbs(workspace: &Workspace, tally: &mut Tally) {
    errors::run(tally);
    tally.case(deadlock::NAME, TIMEOUT, deadlock::is_seen);
    shutdown::run(workspace, tally);
    let shared = workspace.clone();
    tally.case(capture::NAME, TIMEOUT, move || capture::is_read(&shared));
    let shared = workspace.clone();
    tally.case(capture::ANEW, TIMEOUT, move || {
        capture::begins_anew(&shared)
    });
    trace::run(workspace, tally);
    torov::run(tally);
}

/// The cases of the web server, with as few boots as they take.
fn web_server(workspace: &Workspace, tally: &mut Tally, depth: Depth) -> Result<()> {
    let mut user: Vec<&str> = USER.iter().map(|(name, _)| *name).collect();
    user.extend([files::NAME, boot::IDLE]);
    let mut tap: Vec<&str> = TAP.iter().map(|(name, _)| *name).collect();
    tap.extend([memory::NAME, flood::NAME, crowd::NAME]);
    let boots = boots();
    let wants = |names: &[&str]| names.iter().any(|name| tally.wants(name));
    let (wants_user, wants_tap) = (wants(&user), wants(&tap));
    let cards = cards(depth);
    let wants_boots = boots.iter().any(|(name, _, _)| tally.wants(name))
        || cards.iter().any(|(name, _, _)| tally.wants(name))
        || mappings::wanted(tally)
        || (depth == Depth::Deep && tally.wants(boot::IDLE_MINUTE));
    if !(wants_user || wants_tap || wants_boots) {
        return Ok(());
    }
    let image = build::build(workspace, server::NAME, Profile::Release)?;
    let setting = Setting {
        image,
        machine: Machine::Pc,
        memory: None,
        cell: Cell::PLAIN,
        archive: None,
        share: None,
        tap: None,
        monitor: None,
    };
    mappings::run(workspace, &setting, tally);
    for (name, machine, memory) in boots {
        let (workspace, setting) = (workspace.clone(), setting.clone());
        tally.case(&name, TIMEOUT, move || {
            Server::start(
                &workspace,
                &Setting {
                    machine,
                    memory,
                    ..setting
                },
            )?
            .check_alive()
        });
    }
    for (name, machine, cell) in cards {
        let (workspace, setting) = (workspace.clone(), setting.clone());
        tally.case(&name, TIMEOUT, move || {
            let setting = Setting {
                machine,
                cell,
                ..setting
            };
            with_card(&workspace, setting)
        });
    }
    if depth == Depth::Deep {
        let (workspace, setting) = (workspace.clone(), setting.clone());
        tally.case(boot::IDLE_MINUTE, TIMEOUT, move || {
            let cell = cells::TWO_CORES;
            let server = Server::start(&workspace, &Setting { cell, ..setting })?;
            boot::idles(server.running.pid(), Duration::from_secs(60), 1)
        });
    }
    if wants_user {
        over_user_networking(workspace, &setting, tally, depth)?;
    }
    if wants_tap && !setup::is_root() {
        tap.iter()
            .for_each(|name| tally.skip(name, "only root can make a tap"));
    } else if wants_tap {
        // The namespace is that of a thread, so that this one stays outside.
        thread::scope(|scope| {
            let inside = scope.spawn(|| over_tap(workspace, setting, tally, depth));
            inside.join().expect("cases run on threads of their own")
        })?;
    }
    Ok(())
}

/// Where the web server must serve its own pages.
fn boots() -> Vec<(String, Machine, Option<Memory>)> {
    let on = |machine: Machine| {
        (
            format!("e2e: web-server on {}", machine.name()),
            machine,
            None,
        )
    };
    let mut boots: Vec<_> = Machine::ALL.into_iter().map(on).collect();
    let small = "e2e: web-server serves in 4 MiB".to_owned();
    boots.push((small, Machine::Pc, Some(Memory::MIB * 4)));
    boots
}

/// The special cards over which every file of a tree must arrive.
fn cards(depth: Depth) -> Vec<(String, Machine, Cell)> {
    let cards: &[(Machine, Cell)] = match depth {
        Depth::Quick => &[(Machine::Pc, cells::NO_OFFLOADS)],
        Depth::Normal | Depth::Deep => &[
            (Machine::Pc, cells::NO_OFFLOADS),
            (Machine::Microvm, cells::NO_OFFLOADS),
            (Machine::Q35, cells::LINES),
        ],
    };
    let named = |&(machine, cell): &(Machine, Cell)| {
        let name = format!("e2e: web-server on {} with {}", machine.name(), cell.name);
        (name, machine, cell)
    };
    cards.iter().map(named).collect()
}

fn with_card(workspace: &Workspace, setting: Setting) -> Result<()> {
    let tree = tree::write(&workspace.target("test")?.join("tree"))?;
    let setting = Setting {
        archive: Some(tree.folder.clone()),
        ..setting
    };
    let mut server = Server::start(workspace, &setting)?;
    files::fetch_all(server.address, &tree)?;
    server.check_alive()
}

fn over_user_networking(
    workspace: &Workspace,
    setting: &Setting,
    tally: &mut Tally,
    depth: Depth,
) -> Result<()> {
    let tree = tree::write(&workspace.target("test")?.join("tree"))?;
    let setting = Setting {
        archive: Some(tree.folder.clone()),
        ..setting.clone()
    };
    let mut server = Server::start(workspace, &setting)?;
    let address = server.address;
    tally.case(files::NAME, TIMEOUT, move || {
        files::fetch_all(address, &tree)
    });
    server_cases(USER, tally, &mut server, depth);
    let pid = server.running.pid();
    tally.case(boot::IDLE, TIMEOUT, move || {
        boot::idles(pid, Duration::from_secs(5), 2)
    });
    Ok(())
}

fn over_tap(
    workspace: &Workspace,
    setting: Setting,
    tally: &mut Tally,
    depth: Depth,
) -> Result<()> {
    let lab = Lab::enter(1)?;
    let setting = Setting {
        tap: Some(lab.tap(0)),
        ..setting
    };
    if tally.wants(crowd::NAME) {
        tally.record(crowd::NAME, crowded(workspace, &setting, depth));
    }
    let mut server = Server::start(workspace, &setting).context("over a tap")?;
    server_cases(TAP, tally, &mut server, depth);
    if tally.wants(memory::NAME) {
        tally.record(memory::NAME, memory::comes_back(&server, depth));
    }
    if tally.wants(flood::NAME) {
        let outcome = flood::lets_clients_in(&server, lab.tap(0), depth);
        let outcome = outcome.and_then(|()| server.check_alive());
        tally.record(flood::NAME, outcome);
    }
    Ok(())
}

/// A server of its own, with little memory, and its crowd.
fn crowded(workspace: &Workspace, setting: &Setting, depth: Depth) -> Result<()> {
    let memory = Some(crowd::memory(depth));
    let mut server = Server::start(
        workspace,
        &Setting {
            memory,
            ..setting.clone()
        },
    )?;
    crowd::holds(&server, depth)?;
    server.check_alive()
}

/// Runs the cases in order; each includes that the server answers afterwards.
fn server_cases(cases: &[ServerCase], tally: &mut Tally, server: &mut Server, depth: Depth) {
    let address = server.address;
    let timeout = depth.pick(TIMEOUT, TIMEOUT, TIMEOUT * 10);
    for &(name, case) in cases {
        tally.case(name, timeout, move || {
            case(address, depth)?;
            server::check_answers(address)
        });
    }
    let name = format!("e2e: the server at {} outlives its tests", address.ip());
    if tally.wants(&name) {
        tally.record(&name, server.check_alive());
    }
}
