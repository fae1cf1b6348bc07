//! Transfers between two machines over a wire that does everything wrong.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::build::{self, Extras, Image, Profile};
use crate::qemu::{Machine, Net, Running, Verdict};
use crate::run::Wish;
use crate::test::Depth;
use crate::test::relay::{Relay, Weather};
use crate::test::tally::Tally;
use crate::workspace::Workspace;

/// How long all transfers of a case may take: far more than they do, for a host may be busy.
const TIMEOUT: Duration = Duration::from_secs(2 * 3600);

/// Who answers, and who asks.
const IMAGES: [&str; 2] = ["echo", "transfers"];

/// The first machine's addresses: of IPv4, and the one of IPv6 that follows from its card.
const FOUR: &str = "10.0.3.1";
const SIX: &str = "fe80::5054:ff:fe12:3401";

/// The one case in which the wire takes only shorter packets in its middle, and how long those may be.
const NARROW: &str =
    "e2e: transfers arrive where packets of 1,300 bytes pass and longer ones do not";
const LONGEST: u16 = 1300;

/// Weathers by their names: how many frames of a thousand are lost, how many milliseconds each takes, and the way to the echo.
const CASES: [(&str, u64, u64, &str); 6] = [
    (
        "e2e: transfers arrive where 1 % is lost and frames take 20 ms",
        10,
        20,
        FOUR,
    ),
    (
        "e2e: transfers arrive where 1 % is lost and frames take 50 ms",
        10,
        50,
        FOUR,
    ),
    (
        "e2e: transfers arrive where 5 % is lost and frames take 20 ms",
        50,
        20,
        FOUR,
    ),
    (
        "e2e: transfers arrive where 5 % is lost and frames take 50 ms",
        50,
        50,
        FOUR,
    ),
    (
        "e2e: transfers arrive over IPv6 where 1 % is lost and frames take 20 ms",
        10,
        20,
        SIX,
    ),
    (NARROW, 10, 20, FOUR),
];

/// Runs all of them, with a thousand transfers of 1 MiB each way if `depth` is deep.
pub(super) fn run(workspace: &Workspace, tally: &mut Tally, depth: Depth, seed: Option<u64>) {
    let words = depth.pick(
        "count=8 at-once=8 len=65536",
        "count=16 at-once=16 len=65536",
        "count=250 at-once=50 len=1048576",
    );
    let seed = seed.unwrap_or(1);
    let wanted: Vec<_> = CASES
        .iter()
        .filter(|(name, ..)| tally.wants(name))
        .collect();
    if wanted.is_empty() {
        return;
    }
    let built = images(workspace, wanted.iter().any(|(.., to)| *to == SIX));
    for &(name, lose, delay, to) in wanted {
        let images = match &built {
            Ok([four, six, transfers]) => {
                let echo = if to == SIX { six } else { four };
                [echo.clone(), transfers.clone()]
            }
            Err(error) => {
                tally.record(name, Err(anyhow!("{error:#}")));
                continue;
            }
        };
        let (workspace, words) = (workspace.clone(), format!("to={to} {words}"));
        let weather = Weather {
            lose,
            repeat: 10,
            corrupt: 5,
            hold: 20,
            delay: Duration::from_millis(delay),
            longest: (name == NARROW).then_some(LONGEST),
        };
        tally.case(name, TIMEOUT, move || {
            let relay = Relay::start(weather, seed)?;
            transfers_arrive(&workspace, &images, &words, &relay)
                .with_context(|| format!("seed {seed}, {:?}", relay.counts()))?;
            let refused = relay.counts().refused.load(Ordering::Relaxed);
            ensure!(
                weather.longest.is_none() || refused > 0,
                "nobody has sent a long packet"
            );
            Ok(())
        });
    }
}

/// The echo, the echo with IPv6 if there is need, and who sends to it.
fn images(workspace: &Workspace, has_six: bool) -> Result<[Image; 3]> {
    let build = |name, ipv6| {
        let extras = Extras {
            ipv6,
            ..Extras::default()
        };
        build::build_with(workspace, name, Profile::Release, extras)
    };
    let [echo, transfers] = IMAGES;
    Ok([
        build(echo, false)?,
        build(echo, has_six)?,
        build(transfers, false)?,
    ])
}

fn transfers_arrive(
    workspace: &Workspace,
    images: &[Image],
    words: &str,
    relay: &Relay,
) -> Result<()> {
    let machine = |index: usize, words: &str| {
        let package = workspace.appliance(IMAGES[index])?;
        let mut wish = Wish::of(package, Machine::Pc)?;
        let own = index + 1;
        wish.append = format!("ip=10.0.3.{own}/24 {} {words}", wish.append);
        let mut vm = wish.vm(workspace, package, &images[index])?;
        vm.net = Net::Wire {
            end: relay.end(index),
            mac: format!("52:54:00:12:34:{own:02x}"),
        };
        Running::start(&vm.command())
    };
    let mut echo = machine(0, "")?;
    // Nobody may be told that nobody listens.
    echo.wait_for(0, "echo: listening")?;
    let mut transfers = machine(1, &format!("-- {words}"))?;
    let verdict = transfers.wait(TIMEOUT)?;
    let said = || format!("{verdict}\n{}\n{}", echo.tail(), transfers.tail());
    ensure!(verdict == Verdict::Success, "{}", said());
    echo.check_alive().context("the echo")?;
    let counts = relay.counts();
    let happened = |counter: &AtomicU64| counter.load(Ordering::Relaxed) > 0;
    let all = [
        &counts.passed,
        &counts.lost,
        &counts.repeated,
        &counts.corrupted,
        &counts.held,
    ];
    ensure!(all.into_iter().all(happened), "too fair a weather");
    Ok(())
}
