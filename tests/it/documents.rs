//! The documents say what the program does.

use std::collections::BTreeSet;

use crate::common::TestEnv;

const README: &str = include_str!("../../README.md");

/// The rows of the README's table that begins with `head`, each as its first cell.
fn first_cells(head: &str) -> Vec<String> {
    let rows = README.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| row.split('|').nth(1).unwrap_or_default().trim().replace('`', ""))
        .collect()
}

#[test]
fn the_readme_names_every_command_and_no_other() {
    let help = TestEnv::offline().run(["--help"]).expect_code(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: BTreeSet<String> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();

    // A command with commands of its own has a row for each.
    let written: BTreeSet<String> = first_cells("| command |")
        .iter()
        .filter_map(|cell| cell.split([' ', ',']).next().map(str::to_owned))
        .collect();
    assert_eq!(written, commands);
}

#[test]
fn the_readme_names_every_exit_code() {
    let help = TestEnv::offline().run(["--help"]).expect_code(0).stdout;

    for cell in first_cells("| exit code |") {
        for code in cell.split(", ") {
            assert!(help.contains(&format!("  {code} ")), "{code}");
        }
    }
}

#[test]
fn completions_and_man_pages_are_there_for_every_shell_and_command() {
    let env = TestEnv::offline();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = env.run(["completions", shell]).expect_code(0).stdout;
        assert!(script.contains("underpin"), "{shell}");
    }
    for command in ["init", "validate", "plan", "apply", "render", "lock", "state", "status"] {
        let page = env.run(["man", command]).expect_code(0).stdout;
        assert!(page.contains(&format!("underpin\\-{command}")), "{page}");
    }
}
