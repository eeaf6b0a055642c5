//! The terminal: the only place that prints.
//!
//! Standard output carries what was asked for; standard error carries progress, questions, warnings and summaries.

use std::fmt::Display;
use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Mutex;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Effects, Style};
use clap::error::ErrorKind;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli::{Color, GlobalArgs};
use crate::error::ExitStatus;

/// Something that was made.
pub const ADDED: Style = AnsiColor::Green.on_default();
/// Something that was changed.
pub const CHANGED: Style = AnsiColor::Yellow.on_default();
/// Something that is lost, refused or wrong.
pub const LOST: Style = AnsiColor::Red.on_default();
/// What stands out.
pub const STRONG: Style = Style::new().effects(Effects::BOLD);
/// What stands back.
pub const FAINT: Style = Style::new().effects(Effects::DIMMED);

/// Tells what is wrong with a command line, or the help that it asks for, and returns how the process ends.
pub fn usage(error: &clap::Error) -> ExitStatus {
    let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    match (error.print(), asked_for) {
        (_, false) => ExitStatus::Usage,
        (Ok(()), true) => ExitStatus::Success,
        (Err(_), true) => ExitStatus::Failure,
    }
}

/// How much is said beside what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Loudness {
    Quiet,
    Normal,
    Verbose,
}

/// The streams of one run.
pub struct Ui {
    out: Mutex<AutoStream<io::Stdout>>,
    err: Mutex<AutoStream<io::Stderr>>,
    loudness: Loudness,
    can_ask: bool,
    is_seen: bool,
    progress: Option<MultiProgress>,
}

impl Ui {
    /// Looks at the streams and the arguments.
    pub fn new(global: &GlobalArgs) -> Self {
        let choice = match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let loudness = match (global.quiet, global.verbose) {
            (true, _) => Loudness::Quiet,
            (false, true) => Loudness::Verbose,
            (false, false) => Loudness::Normal,
        };
        let at_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        let moves = io::stderr().is_terminal() && loudness == Loudness::Normal;
        Self {
            out: Mutex::new(AutoStream::new(io::stdout(), choice)),
            err: Mutex::new(AutoStream::new(io::stderr(), choice)),
            loudness,
            can_ask: at_terminal && !global.json,
            is_seen: io::stdout().is_terminal(),
            progress: moves.then(MultiProgress::new),
        }
    }

    /// Writes a line of what was asked for.
    pub fn out(&self, line: impl Display) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.beside_progress(|| writeln!(out, "{line}"))
    }

    /// Writes text of what was asked for, as it is.
    pub fn out_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        out.write_all(bytes)?;
        out.flush()
    }

    /// Writes a line about what goes on, unless quiet.
    pub fn status(&self, line: impl Display) {
        if self.loudness > Loudness::Quiet {
            self.err(line);
        }
    }

    /// Writes a line that only those who asked for it want to see.
    pub fn detail(&self, line: impl Display) {
        if self.loudness == Loudness::Verbose {
            self.err(format_args!("{FAINT}{line}{FAINT:#}"));
        }
    }

    /// Writes a warning.
    pub fn warn(&self, message: impl Display) {
        self.err(format_args!("{CHANGED}warning:{CHANGED:#} {message}"));
    }

    /// Writes an error with its causes and what can be done.
    pub fn error(&self, message: &str, causes: &[String], hints: &[String]) {
        self.err(format_args!("{LOST}error:{LOST:#} {message}"));
        for cause in causes {
            self.err(format_args!("  caused by: {cause}"));
        }
        if !hints.is_empty() {
            self.err("");
        }
        for hint in hints {
            self.err(format_args!("{STRONG}hint:{STRONG:#} {hint}"));
        }
    }

    /// Writes something that was drawn elsewhere, colours and all.
    pub fn drawn(&self, drawing: &str) {
        self.err(drawing);
    }

    /// Returns whether someone is there to be asked.
    pub fn can_ask(&self) -> bool {
        self.can_ask
    }

    /// Returns whether what is asked for is written to a terminal, where a person sees it and nobody keeps it.
    pub fn is_seen(&self) -> bool {
        self.is_seen
    }

    /// Asks, and returns the answer without its line end; `None` at the end of the input.
    pub fn ask(&self, question: &str) -> io::Result<Option<String>> {
        {
            let mut err = self.err.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            write!(err, "{STRONG}{question}{STRONG:#} ")?;
            err.flush()?;
        }
        let mut answer = String::new();
        let length = io::stdin().lock().read_line(&mut answer)?;
        Ok((length > 0).then(|| answer.trim().to_owned()))
    }

    /// Begins a line that shows something at work, where there is a terminal to show it.
    pub fn begin(&self, message: String) -> Option<ProgressBar> {
        let progress = self.progress.as_ref()?;
        let bar = progress.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} {elapsed:.dim}") {
            bar.set_style(style);
        }
        bar.set_message(message);
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        Some(bar)
    }

    fn err(&self, line: impl Display) {
        let mut err = self.err.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // There is nobody left to tell that standard error can't be written.
        let _told = self.beside_progress(|| writeln!(err, "{line}")).is_ok();
    }

    fn beside_progress<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.progress {
            Some(progress) => progress.suspend(write),
            None => write(),
        }
    }
}
