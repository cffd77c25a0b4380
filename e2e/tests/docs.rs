//! The promise: what README and docs say to type works, and prints what they show.
//!
//! One cluster, on which nothing is installed yet. README comes first, then the other pages by name; all of
//! them build on what README did. Blocks by their fence:
//!
//! - `sh`: played, and must succeed.
//! - `console`: lines after `$ ` are played, one by one, and must print the lines below them. `…` stands for
//!   anything in a line, and alone on a line for any lines. Version ids, times and ages need not be the same.
//! - `yaml apply`: given to `kubectl apply -f -`. Other `yaml` is to be read.
//!
//! `<!-- not played: REASON -->` on the line before the fence leaves a block out.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot set up must stop, and says how far it came"
)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;
use strongroom_e2e::{Size, Strongroom};
use support::Fixture;

/// How long a block may take, in seconds.
const TIMEOUT: &str = "240";

/// A fenced block of a page.
struct Block {
    page: String,
    line: usize,
    fence: String,
    /// Why it is not played.
    mark: Option<String>,
    text: String,
}

impl Block {
    fn is_played(&self) -> bool {
        matches!(self.fence.as_str(), "sh" | "console" | "yaml apply")
    }
}

fn root() -> PathBuf {
    fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
}

fn blocks(page: &str, text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut mark = None;
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(fence) = line.strip_prefix("```") {
            let body = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```");
            let text = body.map(|line| format!("{line}\n")).collect();
            found.push(Block {
                page: page.to_owned(),
                line: number + 1,
                fence: fence.to_owned(),
                mark: mark.take(),
                text,
            });
        } else {
            let marked = line
                .strip_prefix("<!-- not played: ")
                .and_then(|rest| rest.strip_suffix(" -->"));
            mark = marked.map(str::to_owned);
        }
    }
    found
}

/// The blocks of README and of each page of docs, in the order of play.
fn all_blocks() -> Vec<Block> {
    let mut pages: Vec<String> = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".md"))
        .collect();
    pages.sort();
    pages.insert(0, "README.md".to_owned());
    let read = |page: &String| blocks(page, &fs::read_to_string(root().join(page)).unwrap());
    pages.iter().flat_map(read).collect()
}

/// The commands of a console block, each with what is shown below it.
fn commands(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => found.push((command.to_owned(), String::new())),
            (None, Some((_, shown))) => shown.push_str(&format!("{line}\n")),
            (None, None) => panic!("a console block begins with `$ `: {line}"),
        }
    }
    found
}

/// What differs from one run to the next is made the same: version ids, times, ages, and the width of
/// columns.
fn without_what_varies(text: &str) -> String {
    [
        (r"v-[a-z0-9]{16}", "v-…"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
        (r"\b(\d+(\.\d+)?(ms|s|m|h|d))+\b", "<age>"),
        (r"[ \t]+", " "),
        (r" ?\n", "\n"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (pattern, with)| {
        Regex::new(pattern)
            .unwrap()
            .replace_all(&text, *with)
            .into_owned()
    })
}

/// Whether a command printed what is shown.
fn prints(shown: &str, printed: &str) -> bool {
    let lines = without_what_varies(shown)
        .lines()
        .fold(String::new(), |pattern, line| {
            pattern
                + &if line == "…" {
                    "(?:.*\n)*".to_owned()
                } else {
                    regex::escape(line).replace('…', ".*") + "\n"
                }
        });
    // The last line may be without its end.
    let printed = without_what_varies(printed.trim_end());
    let printed = if printed.is_empty() {
        printed
    } else {
        printed + "\n"
    };
    Regex::new(&format!("^{lines}$")).unwrap().is_match(&printed)
}

/// A terminal of somebody who follows the pages.
struct Terminal<'a> {
    f: &'a Fixture,
    folder: PathBuf,
    path: String,
}

impl<'a> Terminal<'a> {
    /// In a folder of its own, which looks like the repository's root.
    fn new(f: &'a Fixture) -> Self {
        let folder = f.keep.path().join("work");
        fs::create_dir(&folder).unwrap();
        for name in ["charts", "crds", "docs", "e2e"] {
            symlink(root().join(name), folder.join(name)).unwrap();
        }
        let bin = f.cluster.bin().unwrap();
        for program in ["strongroom", "kubectl-strongroom"] {
            symlink(Strongroom::binary().with_file_name(program), bin.join(program)).unwrap();
        }
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Self { f, folder, path }
    }

    /// Whether it went well, and all that it printed.
    fn play(&self, script: &str) -> (bool, String) {
        let script = format!(
            "exec 2>&1; trap 'kill $(jobs -p) 2>/dev/null || true' EXIT; set -euo pipefail\n{script}"
        );
        let output = Command::new("timeout")
            .args([TIMEOUT, "bash", "-c", &script])
            .current_dir(&self.folder)
            .env("KUBECONFIG", self.f.cluster.kubeconfig())
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }

    /// What is wrong with a block, if anything is.
    fn fault(&self, block: &Block) -> Option<String> {
        let failed = |command: &str, printed: &str| Some(format!("failed: {command}\n{printed}"));
        match block.fence.as_str() {
            "yaml apply" => {
                let apply = format!("kubectl apply -f - <<'YAML'\n{}YAML\n", block.text);
                let (success, printed) = self.play(&apply);
                if success {
                    None
                } else {
                    failed(&block.text, &printed)
                }
            }
            "console" => commands(&block.text).into_iter().find_map(|(command, shown)| {
                let (success, printed) = self.play(&command);
                if !success {
                    return failed(&command, &printed);
                }
                println!("{printed}");
                (!prints(&shown, &printed))
                    .then(|| format!("`{command}` is shown to print\n{shown}and printed\n{printed}"))
            }),
            _ => {
                let (success, printed) = self.play(&block.text);
                if success {
                    None
                } else {
                    failed(&block.text, &printed)
                }
            }
        }
    }
}

#[test]
fn every_command_of_readme_and_docs_works_and_prints_what_is_shown() {
    let f = Fixture::bare(Size::OneNode);
    f.cluster.load_strongroom().unwrap();
    f.cluster.load_node_plugin().unwrap();
    f.cluster.load_exec().unwrap();
    let terminal = Terminal::new(&f);
    let (mut played, mut faults) = (0, Vec::new());
    for block in all_blocks()
        .iter()
        .filter(|block| block.is_played() && block.mark.is_none())
    {
        played += 1;
        println!("{}:{}", block.page, block.line);
        if let Some(fault) = terminal.fault(block) {
            let fault = format!("{}:{}: {fault}", block.page, block.line);
            println!("{fault}");
            faults.push(fault);
        }
    }
    println!("{played} blocks played");
    assert!(
        faults.is_empty(),
        "{}\n{}",
        faults.join("\n"),
        f.log_of_strongroom(20)
    );
}

#[test]
fn every_block_of_commands_has_a_fence_that_is_played_and_every_mark_a_reason() {
    for block in all_blocks() {
        let at = format!("{}:{}", block.page, block.line);
        let shell = ["bash", "shell", "shell-session"].contains(&block.fence.as_str());
        assert!(!shell, "{at}: write `sh` or `console`");
        assert!(
            !block.fence.is_empty() || !block.text.starts_with("$ "),
            "{at}: write `console`"
        );
        if let Some(reason) = &block.mark {
            assert!(block.is_played() && reason.len() > 10, "{at}: `{reason}`");
        }
    }
}

#[test]
fn what_is_shown_is_compared() {
    let printed = "NAME   READY  AGE\ncheckout-db  True   12s\n";
    assert!(prints("NAME READY AGE\ncheckout-db   True   0s\n", printed));
    assert!(prints("…\ncheckout-db … 1h\n", printed));
    for wrong in ["NAME READY AGE\n", "NAME READY AGE\ncheckout-db False 0s\n", ""] {
        assert!(!prints(wrong, printed), "{wrong}");
    }
    assert!(prints(
        "rotated to v-uzx7xn4sqjomu53y\n",
        "rotated to v-aaaaaaaaaaaaaaaa\n"
    ));
    assert_eq!(
        commands("$ a\nx\ny\n$ b\n"),
        [
            ("a".to_owned(), "x\ny\n".to_owned()),
            ("b".to_owned(), String::new())
        ]
    );
}
