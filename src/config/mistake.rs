//! Mistakes: where each is in the file, which rule it breaks, and what was probably meant.
//!
//! They are gathered and shown together, because a person who mends one mistake a run soon mends none.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A place in the text, in bytes.
pub type Span = Range<usize>;

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident => $name:literal,)*) => {
        /// The rules of a configuration. Each has a fixture that breaks it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $($(#[$doc])* $rule,)*
        }

        impl Rule {
            /// Every rule there is.
            pub const ALL: &[Self] = &[$(Self::$rule,)*];

            /// Returns the rule's name, which stays the same from version to version.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }
        }
    };
}

rules! {
    /// A file is text in UTF-8.
    Utf8 => "utf-8",
    /// A file has a sensible size.
    Size => "size",
    /// A file has no control characters but tabs and line ends.
    ControlCharacter => "control-character",
    /// A file is HCL.
    Syntax => "syntax",
    /// The configuration is for this version.
    RequiredVersion => "required-version",
    /// A name is in the reference.
    UnknownName => "unknown-name",
    /// What is used works in this version.
    Unsupported => "unsupported",
    /// A block is a block, an attribute an attribute.
    Form => "form",
    /// What can be there once is there once.
    Repeated => "repeated",
    /// A block has the name that it needs, and no other.
    Label => "label",
    /// What is needed is there.
    Missing => "missing",
    /// A value is written out.
    Literal => "literal",
    /// A value has its type.
    Type => "type",
    /// A value is one of those that there are.
    Choice => "choice",
    /// A number is in its range.
    Range => "range",
    /// A name has the characters and the length that it may have.
    Name => "name",
    /// A path stays where it belongs.
    Path => "path",
    /// A name that is made up of others fits too.
    DerivedName => "derived-name",
    /// A tag is one that every service takes.
    Tag => "tag",
    /// A resource has room for its tags.
    TagCount => "tag-count",
    /// There is a backend.
    NoBackend => "no-backend",
    /// An environment says its backend where there are several.
    WhichBackend => "which-backend",
    /// An environment's backend is there.
    UnknownBackend => "unknown-backend",
    /// Two of a kind have two names.
    DuplicateName => "duplicate-name",
    /// A directory belongs to one component.
    SharedDirectory => "shared-directory",
    /// A resource belongs to one backend.
    SharedResource => "shared-resource",
    /// A region is one that we have heard of.
    UnknownRegion => "unknown-region",
    /// There is an environment.
    NoEnvironment => "no-environment",
}

/// Something that is wrong in a configuration, or that may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The rule that is broken.
    pub rule: Rule,
    /// What is wrong.
    pub what: String,
    /// The line where it is, from 1.
    pub line: usize,
    /// The character of that line where it begins, from 1.
    pub column: usize,
    /// Where it is in the text, in bytes.
    pub span: Span,
    /// What to do about it, as a full sentence.
    pub hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// A configuration's text and where it is from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The file, as it was given.
    pub path: PathBuf,
    /// What it holds, without a byte order mark.
    pub text: String,
    /// Where its lines begin.
    line_starts: Vec<usize>,
}

/// How bad a mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It has to be mended.
    Error,
    /// It is worth a look.
    Warning,
}

impl Source {
    /// Takes a text and where it is from.
    pub(super) fn new(path: PathBuf, text: String) -> Self {
        let after_line_ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_line_ends).collect();
        Self { path, text, line_starts }
    }

    /// Draws mistakes as a person reads them, each with the line where it is.
    pub fn render(&self, severity: Severity, mistakes: &[Mistake], color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let level = match severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let draw = |mistake| renderer.render(&[self.group(level.clone(), mistake)]);
        let drawn: Vec<String> = mistakes.iter().map(draw).collect();
        drawn.join("\n\n")
    }

    fn group<'a>(&'a self, level: Level<'a>, mistake: &'a Mistake) -> Group<'a> {
        let (start, line) = self.line(mistake.line);
        // What goes on for several lines is marked in the first, and a line end where the line ends.
        let in_line = |offset: usize| offset.saturating_sub(start).min(line.len());
        let mark = in_line(mistake.span.start)..in_line(mistake.span.end);
        let snippet = Snippet::source(line)
            .line_start(mistake.line)
            .path(self.path.to_string_lossy())
            .annotation(AnnotationKind::Primary.span(mark));
        let group = level.primary_title(&mistake.what).element(snippet);
        match &mistake.hint {
            Some(hint) => {
                let hint = annotate_snippets::normalize_untrusted_str(hint);
                group.element(Level::HELP.with_name("hint").message(hint))
            }
            None => group,
        }
    }

    /// Returns where a line begins, and its text.
    fn line(&self, number: usize) -> (usize, &str) {
        let start = self.line_starts.get(number.saturating_sub(1)).copied().unwrap_or_default();
        let text = self.text.get(start..).unwrap_or_default().lines().next().unwrap_or_default();
        (start, text)
    }

    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let (start, _) = self.line(line);
        let column = self.text.get(start..offset).unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

/// What was found in a file so far.
#[derive(Debug)]
pub(super) struct Findings {
    /// The file.
    pub(super) source: Source,
    /// What has to be mended.
    pub(super) mistakes: Vec<Mistake>,
    /// What is worth a look.
    pub(super) warnings: Vec<Mistake>,
}

impl Findings {
    /// Begins with nothing found.
    pub(super) fn new(source: Source) -> Self {
        Self { source, mistakes: Vec::new(), warnings: Vec::new() }
    }

    /// Adds a mistake.
    pub(super) fn mistake(
        &mut self,
        rule: Rule,
        at: &Span,
        what: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let mistake = self.locate(rule, at, what.into(), hint.into());
        self.mistakes.push(mistake);
    }

    /// Adds a warning.
    pub(super) fn warning(
        &mut self,
        rule: Rule,
        at: &Span,
        what: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let warning = self.locate(rule, at, what.into(), hint.into());
        self.warnings.push(warning);
    }

    /// Returns the line of a place.
    pub(super) fn line(&self, at: &Span) -> usize {
        self.source.line_and_column(at.start).0
    }

    fn locate(&self, rule: Rule, at: &Span, what: String, hint: Option<String>) -> Mistake {
        let (line, column) = self.source.line_and_column(at.start);
        Mistake { rule, what, line, column, span: at.clone(), hint }
    }
}

/// Puts what somebody wrote in backticks, shortened and without characters that would spoil a line.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 72;
    let mut shown = String::new();
    for character in text.chars().take(LONGEST) {
        if character.is_control() {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
