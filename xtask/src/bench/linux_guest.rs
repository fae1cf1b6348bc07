//! The references: nginx, redis-server and programs of ours on a Linux kernel, each in a VM that holds nothing else.
//!
//! Everything but those programs (`linux_io.c`, `linux_epoll.c`) comes from Debian packages, fetched with `apt-get download` and unpacked in a folder of our
//! own, so the machine itself stays as it is. The first file system holds the server, its libraries, the modules of
//! its devices and file systems and a small first program (`linux_init.c`). Made once, then kept.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::content;
use super::cpio::Archive;
use super::linux_kernel::Kernel;
use super::pages::{self, Page};
use crate::packages;
use crate::process;

const INIT: &str = include_str!("linux_init.c");
/// Moves data as `appliances/bench-io` does.
const IO: &str = include_str!("linux_io.c");
/// Answers every request with one page.
const EPOLL: &str = include_str!("linux_epoll.c");

/// A fair nginx: no log, files kept open, small files with `write` and large ones with `sendfile`.
const NGINX_CONF: &str = "\
user root; worker_processes 1; daemon off; pid /run/nginx.pid; error_log /dev/null crit;
events { worker_connections 2048; use epoll; multi_accept on; }
http {
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; server_tokens off;
  keepalive_timeout 65s; keepalive_requests 1000000;
  open_file_cache max=64 inactive=60s; open_file_cache_valid 60s;
  types { text/html html; application/octet-stream bin; }
  server { listen 80 backlog=1024; root /srv; location / { sendfile off; } location /1m.bin { } }
}
";

/// A fair redis-server: nothing is written to a disk.
const REDIS_CONF: &str = "\
bind 0.0.0.0
port 6379
protected-mode no
save \"\"
appendonly no
tcp-backlog 511
daemonize no
loglevel warning
logfile \"\"
dir /tmp
";

/// The server in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Nginx,
    Redis,
    /// The program of ours that moves data.
    Io,
    /// The program of ours that serves a page.
    Epoll,
}

impl Server {
    /// The Debian package, and the program in it; none for what we compile.
    fn package(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Nginx => Some(("nginx", "usr/sbin/nginx")),
            // `redis-server` is a link to this one, which goes by its name.
            Self::Redis => Some(("redis-server", "usr/bin/redis-check-rdb")),
            Self::Io | Self::Epoll => None,
        }
    }

    fn configuration(self) -> &'static str {
        match self {
            Self::Nginx => NGINX_CONF,
            Self::Redis => REDIS_CONF,
            Self::Io | Self::Epoll => "",
        }
    }

    /// How it is called, a word in each line.
    fn command(self) -> &'static str {
        match self {
            Self::Nginx => "nginx\n-c\n/server.conf\n",
            Self::Redis => "redis-server\n/server.conf\n",
            Self::Io => "io\n",
            Self::Epoll => "epoll\n",
        }
    }

    /// What is compiled for it.
    fn source(self) -> &'static str {
        match self {
            Self::Nginx | Self::Redis => "",
            Self::Io => IO,
            Self::Epoll => EPOLL,
        }
    }

    /// The modules that it needs, in the order in which they must be loaded.
    fn modules(self) -> impl Iterator<Item = &'static str> {
        let more: &[&str] = match self {
            Self::Nginx | Self::Redis | Self::Epoll => &[],
            Self::Io => &IO_MODULES,
        };
        MODULES.iter().chain(more).copied()
    }

    /// The files below its root that it serves.
    fn files(self) -> Vec<Page> {
        match self {
            Self::Nginx | Self::Redis | Self::Epoll => pages::all().into(),
            Self::Io => content::all(),
        }
    }

    /// Where these files are.
    fn root(self) -> &'static str {
        match self {
            Self::Nginx | Self::Redis | Self::Epoll => "srv/",
            Self::Io => "",
        }
    }
}

/// In the order in which they must be loaded; what a kernel has built in is skipped.
const MODULES: [&str; 9] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "drivers/virtio/virtio_mmio",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
];

/// Those of disks, sockets to the host and file systems.
const IO_MODULES: [&str; 15] = [
    "drivers/block/virtio_blk",
    "net/vmw_vsock/vsock",
    "net/vmw_vsock/vmw_vsock_virtio_transport_common",
    "net/vmw_vsock/vmw_vsock_virtio_transport",
    "fs/fuse/fuse",
    "fs/fuse/virtiofs",
    "fs/nls/nls_cp437",
    "fs/nls/nls_ascii",
    "fs/fat/fat",
    "fs/fat/vfat",
    "lib/crc16",
    "fs/mbcache",
    "fs/jbd2/jbd2",
    "crypto/crc32c_generic",
    "fs/ext4/ext4",
];

/// What the guest consists of.
#[derive(Debug, Clone)]
pub(crate) struct LinuxGuest {
    /// The uncompressed kernel, which QEMU enters by its PVH note.
    pub(crate) kernel: PathBuf,
    /// The first file system.
    pub(crate) initrd: PathBuf,
}

impl LinuxGuest {
    /// The guest in `folder`, made there if it is not.
    pub(crate) fn prepare(folder: &Path, server: Server, kernel: Kernel) -> Result<Self> {
        let guest = Self {
            kernel: folder.join("vmlinux"),
            initrd: folder.join("initrd.cpio"),
        };
        let (stamp, recipe) = (
            folder.join("recipe"),
            format!(
                "{INIT}{}{}{}{}{}padded\n",
                kernel.recipe(),
                server.source(),
                server.modules().collect::<Vec<_>>().join("\n"),
                server.configuration(),
                server.command()
            ),
        );
        if fs::read_to_string(&stamp).is_ok_and(|old| old == recipe) {
            return Ok(guest);
        }
        eprintln!("preparing the Linux guest in {} (once)", folder.display());
        fs::create_dir_all(folder)?;
        let kernel_tree = kernel.make(folder, &guest.kernel)?;
        let package = server.package();
        let server_tree = package.map(|(package, _)| packages::server(folder, package));
        let server_tree = server_tree.transpose()?;
        fs::write(
            &guest.initrd,
            file_system(
                folder,
                server,
                kernel_tree.as_deref(),
                server_tree.as_deref(),
            )?,
        )?;
        fs::write(&stamp, &recipe)?;
        Ok(guest)
    }

    /// The kernel's command line for a guest at `address`, on a machine with PCI or without.
    pub(crate) fn command_line(address: &str, pci: bool) -> String {
        let bus = if pci { "pci" } else { "mmio" };
        let clock = tsc_khz().map_or(String::new(), |khz| format!("tsc_early_khz={khz} "));
        format!(
            "{clock}console=ttyS0 quiet loglevel=3 panic=-1 reboot=t tsc=reliable no_timer_check \
             rcupdate.rcu_expedited=1 cryptomgr.notests 8250.nr_uarts=1 random.trust_cpu=on \
             i8042.noaux i8042.nopnp net.ifnames=0 audit=0 toro_bus={bus} toro_ip={address}"
        )
    }
}

/// The rate of the time stamp counter, if the machine tells it; it saves the guest its calibration.
///
/// Where the frequency is managed, `cpu MHz` is the current one and no measure of the counter.
fn tsc_khz() -> Option<u64> {
    if Path::new("/sys/devices/system/cpu/cpu0/cpufreq").exists() {
        return None;
    }
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = cpuinfo.lines().find(|line| line.starts_with("cpu MHz"))?;
    let (whole, thousandths) = line.split_once(": ")?.1.trim().split_once('.')?;
    Some(
        whole.parse::<u64>().ok()? * 1000
            + format!("{thousandths:0<3}")[..3].parse::<u64>().ok()?,
    )
}

/// The archive that the kernel unpacks as its root.
fn file_system(
    folder: &Path,
    server: Server,
    modules: Option<&Path>,
    tree: Option<&Path>,
) -> Result<Vec<u8>> {
    let mut root = Archive::default();
    for path in [
        "dev",
        "proc",
        "run",
        "tmp",
        "etc",
        "bin",
        "srv",
        "lib64",
        "lib",
        "modules.d",
        content::FOLDER,
    ] {
        root.folder(path);
    }
    for path in [
        "var",
        "var/lib",
        "var/lib/nginx",
        "var/log",
        "var/log/nginx",
    ] {
        root.folder(path);
    }
    root.file("init", &compile(folder, "init", INIT)?);
    root.file("server.conf", server.configuration().as_bytes());
    root.file("command", server.command().as_bytes());
    root.file("etc/passwd", b"root:x:0:0:root:/:/bin/false\n");
    root.file("etc/group", b"root:x:0:\n");
    for page in server.files() {
        root.file(&format!("{}{}", server.root(), page.name), &page.content);
    }
    match modules {
        Some(modules) => add_modules(&mut root, modules, server)?,
        // All is built in.
        None => root.file("modules", b""),
    }
    match server.package().zip(tree) {
        Some(((_, program), tree)) => add_server(&mut root, &tree.join(program), tree)?,
        None => root.file("bin/server", &compile(folder, "server", server.source())?),
    }
    Ok(root.finish())
}

fn compile(folder: &Path, name: &str, text: &str) -> Result<Vec<u8>> {
    let (source, program) = (folder.join(format!("{name}.c")), folder.join(name));
    fs::write(&source, text)?;
    process::run(
        Command::new("gcc")
            .args(["-O2", "-static", "-s", "-o"])
            .arg(&program)
            .arg(&source),
    )?;
    Ok(fs::read(program)?)
}

fn add_modules(root: &mut Archive, tree: &Path, server: Server) -> Result<()> {
    let all = process::output(Command::new("find").arg(tree).args(["-name", "*.ko*"]))?;
    let mut list = String::new();
    for module in server.modules() {
        let ending = |path: &&str| path.ends_with(".ko") || path.ends_with(".ko.xz");
        let named = |path: &&str| path.contains(&format!("/{module}.ko"));
        let Some(path) = all.lines().filter(ending).find(named) else {
            continue;
        };
        let content = if path.ends_with(".xz") {
            Command::new("xz").args(["-dc", path]).output()?.stdout
        } else {
            fs::read(path)?
        };
        let name = module.rsplit('/').next().expect("a path has a last part");
        root.file(&format!("modules.d/{name}.ko"), &content);
        list.push_str(&format!("/modules.d/{name}.ko\n"));
    }
    root.file("modules", list.as_bytes());
    Ok(())
}

/// Adds the server, the dynamic loader and the libraries that it names, all from the unpacked packages.
fn add_server(root: &mut Archive, program: &Path, tree: &Path) -> Result<()> {
    let library_folders = ["lib", "usr/lib"].map(|lib| tree.join(lib).join("x86_64-linux-gnu"));
    let loader = library_folders
        .iter()
        .map(|lib| lib.join("ld-linux-x86-64.so.2"));
    let loader = loader
        .into_iter()
        .find(|path| path.exists())
        .context("libc6 has no loader")?;
    let search = library_folders
        .map(|path| path.display().to_string())
        .join(":");
    let mut list = Command::new(&loader);
    list.args(["--library-path", &search, "--list"])
        .arg(program);
    let listed = process::output(&mut list)?;
    let paths: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.split_once("=> ")?.1.split(' ').next())
        .collect();
    for path in paths {
        ensure!(
            Path::new(path).starts_with(tree),
            "{path} is missing from the packages"
        );
        let name = path.rsplit('/').next().expect("a path has a last part");
        root.file(&format!("lib/{name}"), &fs::read(path)?);
    }
    root.file("lib64/ld-linux-x86-64.so.2", &fs::read(&loader)?);
    root.file("bin/server", &fs::read(program)?);
    Ok(())
}
