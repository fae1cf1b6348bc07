//! What cargo and the manifests say: where the workspace lies, its packages, the machine of an appliance.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::process;

/// Crates that only an image can link, besides the appliances.
const RUNTIME: &[&str] = &["toro", "toro-rt", "toro-test"];

/// The output of `cargo metadata`, as far as it is used.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Workspace {
    /// All members.
    pub(crate) packages: Vec<Package>,
    /// The folder of the workspace.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// The side of a run of tests that this is for, if there are several.
    #[serde(skip)]
    side: Option<usize>,
}

/// One member of the workspace.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// `[package.metadata]`.
    #[serde(default, deserialize_with = "null_as_default")]
    metadata: Metadata,
}

/// One entry of a package's dependency tables.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for an ordinary dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// The features that it asks for.
    #[serde(default)]
    features: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    toro: Toro,
}

/// `[package.metadata.toro]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Toro {
    /// The floor of the crate: it depends only on lower ones.
    pub(crate) floor: Option<u32>,
    /// Whether the crate may hold unsafe code.
    #[serde(default, rename = "unsafe")]
    pub(crate) holds_unsafe: bool,
    /// The machine that an appliance wants.
    #[serde(default)]
    pub(crate) machine: MachineWish,
    /// How a test image is booted.
    #[serde(default)]
    pub(crate) test: TestWish,
}

/// `[package.metadata.toro.test]`: how `cargo xtask test` boots a test image.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestWish {
    /// The numbers of cores that it is tested with, instead of the machine's.
    #[serde(default)]
    pub(crate) cores: Vec<u32>,
    /// Whether it wants the host at the other end of its network: its arguments then name the ports.
    #[serde(default)]
    pub(crate) peers: bool,
    /// An image that fails on purpose: a boot for each way, and a report only if `cores` are given.
    #[serde(default)]
    pub(crate) failures: Vec<Failure>,
}

/// A boot with an end of its own: most end as a failure.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Failure {
    /// The case.
    pub(crate) name: String,
    /// The kernel's command line.
    pub(crate) append: String,
    /// What the console must show, in this order.
    pub(crate) console: Vec<String>,
    /// What `symbolize` must make of the console, in this order.
    #[serde(default)]
    pub(crate) symbolized: Vec<String>,
    /// More arguments for QEMU.
    #[serde(default)]
    pub(crate) qemu: Vec<String>,
    /// Whether it has to power off, or be powered off, instead.
    #[serde(default)]
    pub(crate) powers_off: bool,
}

/// `[package.metadata.toro.machine]`: what `cargo xtask run` gives an appliance unless the command line says otherwise.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MachineWish {
    pub(crate) cores: Option<u32>,
    pub(crate) memory: Option<String>,
    /// Ports of the host and of the guest, as in `8080:80`.
    #[serde(default)]
    pub(crate) ports: Vec<String>,
    /// Whether it wants a network card even without ports.
    #[serde(default)]
    pub(crate) net: bool,
    /// Disks that are made for the run: sizes, with what else [`Recipe`](crate::qemu) takes, as in `64M` or `8M,fat16`.
    #[serde(default)]
    pub(crate) disks: Vec<String>,
    /// Names of console ports, each perhaps with its socket: `agent`, `agent=/tmp/agent.sock`.
    #[serde(default)]
    pub(crate) console_ports: Vec<String>,
    /// Whether it wants a folder of the host: an empty one, unless the command line names another.
    #[serde(default)]
    pub(crate) share: bool,
    /// Its context id, if it wants sockets to the host.
    pub(crate) vsock: Option<u32>,
    /// A folder of the package whose files become the archive.
    pub(crate) archive: Option<PathBuf>,
    /// Words of the kernel command line.
    #[serde(default)]
    pub(crate) append: String,
    /// Arguments of the service.
    #[serde(default)]
    pub(crate) args: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self> {
        Self::load_from(Path::new(env!("CARGO_MANIFEST_DIR")))
    }

    /// The workspace around `folder`.
    pub(crate) fn load_from(folder: &Path) -> Result<Self> {
        let output = process::cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(folder)
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        serde_json::from_slice(&output.stdout).context("cannot read what cargo metadata says")
    }

    /// The appliances, by name.
    pub(crate) fn appliances(&self) -> Vec<&Package> {
        let folder = self.root.join("appliances");
        let mut found: Vec<&Package> = self
            .packages
            .iter()
            .filter(|package| package.folder().starts_with(&folder))
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// The packages that only an image can link: they bring the panic handler of images, or need it.
    pub(crate) fn image_only(&self) -> Vec<&str> {
        let appliances = self.appliances();
        let is_image_only = |package: &&Package| {
            RUNTIME.contains(&package.name.as_str())
                || appliances
                    .iter()
                    .any(|appliance| appliance.name == package.name)
        };
        self.packages
            .iter()
            .filter(is_image_only)
            .map(|package| package.name.as_str())
            .collect()
    }

    /// The appliance of that name.
    pub(crate) fn appliance(&self, name: &str) -> Result<&Package> {
        let all = self.appliances();
        all.iter()
            .find(|package| package.name == name)
            .copied()
            .with_context(|| {
                let names: Vec<&str> = all.iter().map(|package| package.name.as_str()).collect();
                let likely = likely(name, &names)
                    .map_or_else(String::new, |likely| format!("; did you mean `{likely}`?"));
                format!(
                    "there is no appliance `{name}`{likely}; there are: {}",
                    names.join(", ")
                )
            })
    }

    /// A folder below the workspace's `target/`, made if it is not there; a [side](Self::side) has its own.
    pub(crate) fn target(&self, folder: &str) -> Result<PathBuf> {
        let target = self.root.join("target");
        let target = match self.side {
            Some(number) => target.join(format!("side-{number}")),
            None => target,
        };
        made(target.join(folder))
    }

    /// The folder in which images are compiled, made if it is not there: there is one for all.
    pub(crate) fn images(&self) -> Result<PathBuf> {
        made(self.root.join("target/image"))
    }

    /// The same for side number `number` of tests that run side by side: its disks, sockets and archives are not those of the others.
    pub(crate) fn side(&self, number: usize) -> Self {
        let side = Some(number);
        Self {
            side,
            ..self.clone()
        }
    }
}

/// Which of `names` somebody may have meant who wrote `name`.
fn likely<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    let nearest = names.iter().copied().min_by_key(distance)?;
    (distance(&nearest) <= name.len().div_ceil(4)).then_some(nearest)
}

fn made(folder: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    Ok(folder)
}

impl Package {
    /// The folder of the package.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path
            .parent()
            .expect("a manifest lies in a folder")
    }

    /// Whether an appliance picks that unit of the facade.
    pub(crate) fn picks(&self, unit: &str) -> bool {
        let is_facade =
            |dependency: &&Dependency| dependency.name == "toro" && dependency.kind.is_none();
        let picked = self.dependencies.iter().find(is_facade);
        picked.is_some_and(|facade| facade.features.iter().any(|feature| feature == unit))
    }

    /// What the manifest says to Toro's tools.
    pub(crate) fn toro(&self) -> &Toro {
        &self.metadata.toro
    }
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
