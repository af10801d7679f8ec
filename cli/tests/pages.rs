//! The commands that README and guides show are ones that `watt` takes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use chain::{hash::Hash32, id::Address};
use clap::Parser as _;
use cli::command::Watt;

/// The commands of `watt` in a page's blocks, with real values for what stands for one.
fn shown(page: &str) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside {
            // Remarks stand behind a hash, and a shell keeps what follows a bar or an arrow for itself.
            let bare = line.split('#').next().unwrap_or_default().trim_end();
            let parts = bare.split(" && ").filter_map(|part| part.find("watt ").map(|at| part.split_at(at)));
            let ours = parts.filter(|(before, _)| before.is_empty() || before.ends_with(' ')).map(|(_, command)| command);
            found.extend(ours.map(|command| command.split([';', '|', '>', ')']).next().unwrap_or_default().trim().to_owned()));
        }
    }
    let (address, hash) = (Address([8; 32]).to_string(), Hash32([7; 32]).to_string());
    let checkpoint = format!("8:{hash}");
    let real = [("watt1…", &address), ("HEIGHT:HASH", &checkpoint), ("CHAIN_ID", &hash), ("HASH", &hash)];
    found.into_iter().map(|line| real.iter().fold(line, |line, (name, value)| line.replace(name, value))).collect()
}

#[test]
fn what_the_guides_show_is_taken() {
    let docs = std::path::Path::new("..");
    for (name, least) in [("README.md", 20), ("docs/operate.md", 17), ("docs/verify.md", 5), ("docs/cli.md", 8)] {
        let commands = shown(&std::fs::read_to_string(docs.join(name)).unwrap());
        assert!(commands.len() >= least, "{name} shows {} commands: {commands:#?}", commands.len());
        for command in commands {
            let words = command.split_whitespace().map(|word| word.trim_matches('"'));
            if let Err(error) = Watt::try_parse_from(words) {
                panic!("{name} shows `{command}`, which is refused: {error}");
            }
        }
    }
}
