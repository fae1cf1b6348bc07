//! Floors: a crate depends only on crates of a strictly lower floor.

use std::collections::BTreeMap;

use super::Finding;
use crate::workspace::{Dependency, Package};

/// Finds crates without a floor and dependencies that do not go down.
///
/// What only tests need is exempt: a test may stand on anything.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let floors = floors(packages);
    let lost = packages
        .iter()
        .filter(|package| package.toro().floor.is_none());
    let lost = lost.map(|package| Finding {
        place: package.manifest_path.display().to_string(),
        message: "the crate says no floor in [package.metadata.toro]".to_owned(),
    });
    let edges = edges(packages).filter(|(_, dependency)| dependency.kind.is_none());
    let up = edges.filter_map(|(package, dependency)| {
        let (own, other) = (floors.get(&package.name)?, floors.get(&dependency.name)?);
        (other >= own).then(|| Finding {
            place: package.name.clone(),
            message: format!(
                "floor {own} depends on {} on floor {other}; only lower floors are allowed",
                dependency.name
            ),
        })
    });
    lost.chain(up).collect()
}

/// The dependencies that only tests have and that do not go down.
pub(super) fn dev_edges(packages: &[Package]) -> Vec<String> {
    let floors = floors(packages);
    edges(packages)
        .filter(|(_, dependency)| dependency.kind.as_deref() == Some("dev"))
        .filter(|(package, dependency)| floors.get(&dependency.name) >= floors.get(&package.name))
        .map(|(package, dependency)| format!("{} -> {}", package.name, dependency.name))
        .collect()
}

fn floors(packages: &[Package]) -> BTreeMap<String, u32> {
    packages
        .iter()
        .filter_map(|p| Some((p.name.clone(), p.toro().floor?)))
        .collect()
}

/// Every dependency on a member of the workspace.
fn edges(packages: &[Package]) -> impl Iterator<Item = (&Package, &Dependency)> {
    let is_member = |name: &str| packages.iter().any(|package| package.name == name);
    packages
        .iter()
        .flat_map(|package| {
            package
                .dependencies
                .iter()
                .map(move |dependency| (package, dependency))
        })
        .filter(move |(_, dependency)| is_member(&dependency.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{check, dev_edges};
    use crate::workspace::Package;

    /// `toro-net` on floor 5 with one dependency of that kind on a crate on `floor`.
    fn packages(floor: u32, kind: Option<&str>) -> Vec<Package> {
        serde_json::from_value(json!([
            {
                "name": "toro-net", "manifest_path": "/w/crates/toro-net/Cargo.toml",
                "dependencies": [
                    { "name": "toro-other", "kind": kind },
                    { "name": "smoltcp", "kind": null },
                ],
                "metadata": { "toro": { "floor": 5 } },
            },
            {
                "name": "toro-other", "manifest_path": "/w/crates/toro-other/Cargo.toml",
                "dependencies": [], "metadata": { "toro": { "floor": floor, "unsafe": true } },
            },
        ]))
        .unwrap()
    }

    #[test]
    fn dependencies_go_strictly_down() {
        assert_eq!(check(&packages(4, None)), []);
        for floor in [5, 6] {
            let findings = check(&packages(floor, None));
            assert_eq!(findings.len(), 1);
            assert!(
                findings[0].to_string().contains("toro-other"),
                "{}",
                findings[0]
            );
        }
    }

    #[test]
    fn what_tests_need_is_exempt_but_listed() {
        assert_eq!(check(&packages(6, Some("dev"))), []);
        assert_eq!(
            dev_edges(&packages(6, Some("dev"))),
            ["toro-net -> toro-other"]
        );
        assert!(dev_edges(&packages(4, Some("dev"))).is_empty());
    }

    #[test]
    fn every_crate_says_its_floor() {
        let package = json!([{
            "name": "stray", "manifest_path": "/w/stray/Cargo.toml", "dependencies": [], "metadata": null,
        }]);
        let packages: Vec<Package> = serde_json::from_value(package).unwrap();
        assert_eq!(check(&packages).len(), 1);
    }
}
