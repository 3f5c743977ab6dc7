//! Who may depend on whom.
//!
//! The table of `docs/architecture.md` stands here in code and is compared
//! with `cargo metadata`. It fails closed: a crate or an edge that the table
//! does not name is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, Metadata, PackageId};

use crate::failure::{Context as _, Failure, Result};
use crate::workspace;

/// What a crate of ours may use of ours.
enum MayUse {
    /// These and no other.
    Only(&'static [&'static str]),
    /// Whatever it likes: nothing depends on it.
    Any,
}
use MayUse::{Any, Only};

/// The whole of it, in the order of the layers.
const TABLE: &[(&str, MayUse)] = &[
    ("antiphon-types", Only(&[])),
    ("antiphon-wire", Only(&["antiphon-types"])),
    ("antiphon-handshake", Only(&["antiphon-types"])),
    ("antiphon-store", Only(&["antiphon-types"])),
    ("antiphon-media", Only(&["antiphon-types"])),
    ("antiphon-playback", Only(&["antiphon-types"])),
    ("antiphon-mesh", Only(&["antiphon-types"])),
    ("antiphon-tracker", Only(&["antiphon-types"])),
    ("antiphon-catalog", Only(&["antiphon-types"])),
    ("antiphon-listener", Only(&["antiphon-types", "antiphon-playback", "antiphon-mesh"])),
    ("antiphon-net", Only(&["antiphon-types", "antiphon-wire", "antiphon-handshake"])),
    (
        "antiphon-client",
        Only(&[
            "antiphon-types",
            "antiphon-wire",
            "antiphon-net",
            "antiphon-store",
            "antiphon-media",
            "antiphon-listener",
            "antiphon-playback",
            "antiphon-mesh",
        ]),
    ),
    (
        "antiphon-server",
        Only(&[
            "antiphon-types",
            "antiphon-wire",
            "antiphon-net",
            "antiphon-store",
            "antiphon-media",
            "antiphon-tracker",
            "antiphon-catalog",
        ]),
    ),
    (
        "antiphon-sim",
        Only(&[
            "antiphon-types",
            "antiphon-store",
            "antiphon-listener",
            "antiphon-playback",
            "antiphon-mesh",
            "antiphon-tracker",
        ]),
    ),
    (
        "antiphon-fuzz-targets",
        Only(&[
            "antiphon-types",
            "antiphon-wire",
            "antiphon-handshake",
            "antiphon-net",
            "antiphon-store",
            "antiphon-media",
            "antiphon-tracker",
        ]),
    ),
    ("xtask", Any),
];

/// Rows whose crate is planned but not made.
const NOT_YET_MADE: &[&str] = &["antiphon-sim"];

/// Plain state machines: what brings sockets, tasks or clocks is out of their
/// reach, however many crates lie between.
const SANS_IO: &[&str] = &[
    "antiphon-types",
    "antiphon-wire",
    "antiphon-handshake",
    "antiphon-playback",
    "antiphon-mesh",
    "antiphon-tracker",
    "antiphon-listener",
];
const OUT_OF_REACH_OF_SANS_IO: &[&str] =
    &["async-io", "async-std", "mio", "quinn", "quinn-udp", "smol", "socket2", "tokio"];

/// The lint file that keeps clocks and global randomness out; every sans-IO
/// crate carries a copy of it.
const SANS_IO_CLIPPY: &str = "crates/types/clippy.toml";

/// One package as the checks see it.
#[derive(Debug, Default, Clone)]
struct Package {
    ours: bool,
    /// What its library and binaries link, by whatever path and feature.
    links: BTreeSet<String>,
    /// What its manifest names of ours, tests and build scripts included.
    names: BTreeSet<String>,
}

type Graph = BTreeMap<String, Package>;

/// Compares the table with `cargo metadata`, and the lint files of the sans-IO
/// crates with each other.
///
/// # Errors
///
/// Names every edge, crate and lint file that breaks the rules.
pub fn check() -> Result<()> {
    let mut faults = faults(&graph(&workspace::metadata()?)?);
    faults.extend(clippy_faults(workspace::root())?);
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::new(faults.join("\n")).hint(
        "turn the dependency round, or, if the design changed, change the table in \
         xtask/src/edges.rs and in docs/architecture.md in one commit",
    ))
}

/// Everything in `graph` that the table does not allow.
fn faults(graph: &Graph) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, package) in graph.iter().filter(|(_, package)| package.ours) {
        match TABLE.iter().find(|(row, _)| row == name) {
            None => faults.push(format!("`{name}` is not in the table of crate edges")),
            Some((_, Any)) => {}
            Some((_, Only(allowed))) => {
                let refused = package.names.iter().filter(|used| !allowed.contains(&used.as_str()));
                faults.extend(refused.map(|used| format!("`{name}` may not depend on `{used}`")));
            }
        }
    }
    for (row, _) in TABLE {
        if !graph.contains_key(*row) && !NOT_YET_MADE.contains(row) {
            faults.push(format!("`{row}` is in the table of crate edges but not in the workspace"));
        }
    }
    for core in SANS_IO {
        let reached = reachable(graph, core);
        for refused in OUT_OF_REACH_OF_SANS_IO.iter().filter(|name| reached.contains(**name)) {
            faults.push(format!("`{core}` is sans-IO but `{refused}` is in its dependencies"));
        }
    }
    faults
}

/// All packages that `from` links, directly or through others.
fn reachable<'graph>(graph: &'graph Graph, from: &'graph str) -> BTreeSet<&'graph str> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(name) = open.pop() {
        for used in graph.get(name).iter().flat_map(|package| &package.links) {
            if seen.insert(used.as_str()) {
                open.push(used);
            }
        }
    }
    seen
}

/// What `cargo metadata` says, by names. Two versions of one package are one
/// node here, which can only make a check stricter.
fn graph(metadata: &Metadata) -> Result<Graph> {
    let resolve = metadata
        .resolve
        .as_ref()
        .ok_or_else(|| Failure::new("cargo metadata holds no dependency graph"))?;
    let names: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let ours: BTreeSet<&str> =
        metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();

    let mut graph = Graph::new();
    for package in &metadata.packages {
        let entry = graph.entry(package.name.to_string()).or_default();
        entry.ours |= ours.contains(package.name.as_str());
        let named = package.dependencies.iter().map(|dependency| &dependency.name);
        entry.names.extend(named.filter(|name| ours.contains(name.as_str())).cloned());
    }
    for node in &resolve.nodes {
        let linked = node.deps.iter().filter(|dependency| {
            let mut kinds = dependency.dep_kinds.iter();
            dependency.dep_kinds.is_empty()
                || kinds.any(|kind| kind.kind != DependencyKind::Development)
        });
        let linked: Vec<String> = linked.map(|used| names[&used.pkg].to_owned()).collect();
        graph.entry(names[&node.id].to_owned()).or_default().links.extend(linked);
    }
    Ok(graph)
}

/// Sans-IO crates whose lint file is missing or says something else.
fn clippy_faults(root: &Path) -> Result<Vec<String>> {
    let model = fs::read_to_string(root.join(SANS_IO_CLIPPY))
        .context(|| format!("read {SANS_IO_CLIPPY}"))?;
    let mut faults = Vec::new();
    for core in SANS_IO {
        let path = format!("crates/{}/clippy.toml", core.trim_start_matches("antiphon-"));
        if !fs::read_to_string(root.join(&path)).is_ok_and(|text| text == model) {
            faults.push(format!("{path} is not the same as {SANS_IO_CLIPPY}"));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real_graph() -> Graph {
        graph(&workspace::metadata().unwrap()).unwrap()
    }

    #[test]
    fn the_workspace_keeps_to_the_table() {
        check().unwrap();
    }

    #[test]
    fn an_edge_that_the_table_does_not_list_is_caught() {
        let mut graph = real_graph();
        let store = graph.get_mut("antiphon-store").unwrap();
        store.names.insert("antiphon-mesh".to_owned());
        assert_eq!(faults(&graph), ["`antiphon-store` may not depend on `antiphon-mesh`"]);
    }

    #[test]
    fn a_crate_that_the_table_does_not_list_is_caught() {
        let mut graph = real_graph();
        graph.insert("antiphon-extra".to_owned(), Package { ours: true, ..Package::default() });
        assert_eq!(faults(&graph), ["`antiphon-extra` is not in the table of crate edges"]);
    }

    #[test]
    fn a_row_without_its_crate_is_caught_unless_it_is_planned() {
        let mut graph = real_graph();
        graph.remove("antiphon-sim");
        assert!(faults(&graph).is_empty());
        graph.remove("antiphon-catalog");
        assert_eq!(
            faults(&graph),
            ["`antiphon-catalog` is in the table of crate edges but not in the workspace"]
        );
    }

    #[test]
    fn sockets_below_a_sans_io_crate_are_caught_through_other_crates() {
        let mut graph = real_graph();
        graph.get_mut("bytes").unwrap().links.insert("tokio".to_owned());
        let found = faults(&graph);
        let expected = "`antiphon-wire` is sans-IO but `tokio` is in its dependencies";
        assert!(found.iter().any(|fault| fault == expected), "{found:?}");
    }

    #[test]
    fn a_sans_io_crate_without_its_lint_file_is_caught() {
        let root = tempfile::tempdir().unwrap();
        for core in SANS_IO {
            let folder = root.path().join("crates").join(core.trim_start_matches("antiphon-"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("clippy.toml"), "model").unwrap();
        }
        assert!(clippy_faults(root.path()).unwrap().is_empty());
        fs::remove_file(root.path().join("crates/mesh/clippy.toml")).unwrap();
        let found = clippy_faults(root.path()).unwrap();
        assert_eq!(found, ["crates/mesh/clippy.toml is not the same as crates/types/clippy.toml"]);
    }
}
