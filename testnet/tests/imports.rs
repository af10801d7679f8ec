//! Who may import whom: the crates, and the parts of the node. The allowed edges are in ARCHITECTURE.md; a new one needs a record in docs/adr.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn workspace() -> PathBuf {
    PathBuf::from("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The names of a manifest's dependencies, those for tests apart.
fn dependencies(manifest: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut normal, mut dev) = (BTreeSet::new(), BTreeSet::new());
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if let Some((name, _)) = line.split_once(['.', '=', ' ']) {
            match section {
                "[dependencies]" => normal.insert(name.to_owned()),
                "[dev-dependencies]" => dev.insert(name.to_owned()),
                _ => false,
            };
        }
    }
    (normal, dev)
}

#[test]
fn crates_import_only_what_the_architecture_allows() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("chain", [].as_slice()),
        ("contracts", &["chain"]),
        ("node", &["chain", "contracts", "consensus", "firmware-core"]),
        ("node/consensus", &["chain"]),
        ("node/sim", &["chain", "contracts", "consensus", "node"]),
        ("cli", &["chain", "contracts"]),
        ("testnet", &["chain", "contracts", "cli", "firmware-core"]),
        ("firmware/core", &[]),
        ("testnet/fuzz", &["chain", "contracts", "consensus", "node", "cli", "testnet", "firmware-core"]),
    ]);
    let ours = ["chain", "contracts", "consensus", "node", "sim", "cli", "testnet", "firmware-core", "fuzz"];
    for (folder, may) in allowed {
        let (normal, dev) = dependencies(&read(&workspace().join(folder).join("Cargo.toml")));
        assert!(
            folder == "firmware/core" || !normal.is_empty(),
            "{folder}: no dependency was found, so this test reads the manifest wrongly"
        );
        for name in normal.union(&dev).filter(|name| ours.contains(&name.as_str())) {
            assert!(may.contains(&name.as_str()), "{folder} must not import {name}");
        }
    }
    let (firmware, _) = dependencies(&read(&workspace().join("firmware/core/Cargo.toml")));
    let allowed = BTreeSet::from(["embedded-hal".to_owned()]);
    assert_eq!(firmware, allowed, "firmware/core imports traits alone; the unit has no room for more");
}

#[test]
fn parts_of_the_node_import_only_what_the_architecture_allows() {
    // Leaves that every part may import, and what each part may import besides.
    let leaves = ["clock", "keys", "telemetry", "config", "seal"];
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("api", ["app"].as_slice()),
        ("gateway", &["app"]),
        ("scheduler", &["app"]),
        ("app", &["store", "mempool"]),
        ("store", &[]),
        ("mempool", &[]),
        ("export", &["store", "app"]),
        ("clock", &[]),
        ("keys", &[]),
        ("telemetry", &[]),
        ("config", &[]),
        ("seal", &[]),
    ]);
    let source = workspace().join("node/src");
    let mut seen = BTreeSet::new();
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).expect("below the source");
        let part = relative.components().next().expect("a name").as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let Some(may) = allowed.get(part.as_str()) else { continue };
        seen.insert(part.clone());
        for (number, line) in read(&file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for import in code.split("crate::").skip(1) {
                let name: String = import.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let fine =
                    name == part || leaves.contains(&name.as_str()) || may.contains(&name.as_str()) || !allowed.contains_key(name.as_str());
                assert!(fine, "node/src/{}:{}: {part} must not import {name}", relative.display(), number + 1);
            }
        }
    }
    for part in ["api", "app", "gateway", "scheduler", "store"] {
        assert!(seen.contains(part), "node/src/{part} was not found, so this test looks at the wrong place");
    }
}

#[test]
fn one_file_names_the_codec_and_only_consensus_and_what_tries_it_name_the_consensus_library() {
    let root = workspace();
    for folder in ["chain", "contracts", "node", "node/consensus", "node/sim", "cli", "testnet", "firmware/core", "testnet/fuzz"] {
        for file in rust_files(&root.join(folder).join("src")) {
            let relative = file.strip_prefix(&root).expect("below the workspace").to_string_lossy().replace('\\', "/");
            let text: String = read(&file).lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
            assert!(!text.contains("bincode::") || relative == "chain/src/codec.rs", "{relative} names the codec's crate");
            let consensus = ["malachitebft", "libp2p"].iter().any(|name| text.contains(name));
            let allowed = ["node/consensus/", "node/sim/", "testnet/fuzz/"].iter().any(|folder| relative.starts_with(folder));
            assert!(!consensus || allowed, "{relative} names the consensus library or its network");
        }
    }
}

#[test]
fn dependencies_that_the_design_names_are_used() {
    let root = workspace();
    let mut sources = String::new();
    for folder in ["chain", "contracts", "node", "node/consensus", "cli", "testnet"] {
        for file in rust_files(&root.join(folder).join("src")) {
            sources.push_str(&read(&file));
        }
    }
    for name in ["libp2p", "tokio", "rocksdb", "ed25519_dalek", "blake3", "serde", "bincode", "axum", "clap", "rand"] {
        assert!(sources.contains(&format!("{name}::")), "{name} is declared but not used");
    }
}

/// Whoever scores a case study must not know what was planned, and whoever plans it must not know how it is scored.
#[test]
fn what_scores_the_case_study_knows_nothing_of_what_draws_it() {
    let folder = workspace().join("testnet/src/casestudy");
    let code = |file: &Path| read(file).lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    for (part, others) in [("score", ["draw", "world", "sensor", "garage"].as_slice()), ("draw", &["score", "world", "sensor", "garage"])] {
        let mut files = rust_files(&folder.join(part));
        assert!(files.len() >= 2, "{part} was not found, so this test looks at the wrong place");
        files.push(folder.join(format!("{part}.rs")));
        for file in files {
            let text = code(&file);
            let imports = text.split("crate::").chain(text.split("super::")).skip(1);
            for import in imports {
                let name: String = import.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                assert!(!others.contains(&name.as_str()), "{} must not import {name}", file.display());
            }
            assert!(!text.contains("crate::"), "{}: nothing else of this crate is needed here", file.display());
        }
    }
}
