//! Takes a body of HCL apart, name by name: what is asked for is looked up and typed, and what nobody asked for is a
//! mistake. So the code that asks is the list of what may be written.

use std::fmt;

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Attribute, Block, Body, Structure};
use hcl_edit::template::{Element, HeredocTemplate};

use super::mistake::{Findings, Rule, Span, quoted};
use super::unsupported::unsupported;
use super::{likeliest, there_is};

/// A value and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written<T> {
    /// The value.
    pub(super) value: T,
    /// Where it is written.
    pub(super) span: Span,
}

/// A body by what it describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The file itself.
    Top,
    /// `backend "NAME"`.
    Backend,
    /// `bucket` of a backend.
    Bucket,
    /// `table` of a backend.
    Table,
    /// `key` of a backend.
    Key,
    /// `environment "NAME"`.
    Environment,
    /// `render` of an environment.
    Render,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Top => "the configuration",
            Self::Backend => "a backend",
            Self::Bucket => "`bucket`",
            Self::Table => "`table`",
            Self::Key => "`key`",
            Self::Environment => "an environment",
            Self::Render => "`render`",
        })
    }
}

/// A body that is being taken apart.
#[derive(Debug)]
pub(super) struct Section<'a> {
    place: Place,
    at: Span,
    rest: Vec<&'a Structure>,
    asked: Vec<&'static str>,
    /// Where mistakes go.
    pub(super) findings: &'a mut Findings,
}

impl<'a> Section<'a> {
    /// Begins with a body; what is missing in it is missing `at` a place.
    pub(super) fn new(place: Place, at: Span, body: &'a Body, findings: &'a mut Findings) -> Self {
        Self { place, at, rest: body.iter().collect(), asked: Vec::new(), findings }
    }

    /// Ends the body: what was not asked for does not belong there.
    pub(super) fn finish(self) {
        let Self { place, rest, asked, findings, .. } = self;
        for structure in rest {
            let (name, span) = heading(structure);
            if unsupported(place).contains(&name) {
                let what = format!("`{name}` is not supported by this version of underpin");
                findings.mistake(Rule::Unsupported, &span, what, None);
            } else {
                let what = format!("`{name}` is not known in {place}");
                let hint = match likeliest(name, asked.iter().copied()) {
                    Some(likeliest) => format!("Did you mean `{likeliest}`?"),
                    None => there_is(&asked),
                };
                findings.mistake(Rule::UnknownName, &span, what, hint);
            }
        }
    }

    /// Takes a string.
    pub(super) fn string(&mut self, name: &'static str) -> Option<Written<String>> {
        let attribute = self.attribute(name)?;
        self.read_string(name, &attribute.value)
    }

    /// Takes a string that must be there; `example` is what it could be.
    pub(super) fn required_string(&mut self, name: &'static str, example: &str) -> Option<Written<String>> {
        // What is misspelt is a mistake of its own, and one is enough.
        if !self.rest.iter().any(|structure| likeliest(heading(structure).0, [name]).is_some()) {
            let hint = format!("Add `{name} = \"{example}\"`.");
            self.findings.mistake(Rule::Missing, &self.at, format!("`{name}` is missing"), hint);
        }
        self.string(name)
    }

    /// Takes one of several words; `refused` are those of the reference that this version does not support.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
        refused: &[&str],
    ) -> Option<T> {
        let word = self.string(name)?;
        self.choose(name, &word, choices, refused)
    }

    /// Returns what a word stands for.
    pub(super) fn choose<T: Copy>(
        &mut self,
        name: &str,
        word: &Written<String>,
        choices: &[(&str, T)],
        refused: &[&str],
    ) -> Option<T> {
        let Written { value, span } = word;
        let found = choices.iter().find(|(choice, _)| choice == value);
        if found.is_none() && refused.contains(&value.as_str()) {
            let what = format!("`{name} = {value:?}` is not supported by this version of underpin");
            self.findings.mistake(Rule::Unsupported, span, what, None);
        } else if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
            let hint = match likeliest(value, words.iter().copied()) {
                Some(likeliest) => format!("Did you mean `{likeliest}`?"),
                None => there_is(&words),
            };
            self.findings.mistake(Rule::Choice, span, format!("`{name}` can't be {}", quoted(value)), hint);
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// Takes a whole number.
    pub(super) fn integer(&mut self, name: &'static str) -> Option<Written<i64>> {
        let attribute = self.attribute(name)?;
        let span = span_of(&attribute.value);
        let Expression::Number(number) = &attribute.value else {
            self.wrong_type(name, "a number", &attribute.value);
            return None;
        };
        let number = number.value();
        let value = match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => value,
            // What is too large for an integer is too large for every range too.
            (None, Some(value)) if value.abs() >= 1e15 => {
                if value > 0.0 {
                    i64::MAX
                } else {
                    i64::MIN
                }
            }
            _ => {
                let what = format!("`{name}` expects a whole number, found `{number}`");
                self.findings.mistake(Rule::Type, &span, what, None);
                return None;
            }
        };
        Some(Written { value, span })
    }

    /// Takes `true` or `false`.
    pub(super) fn boolean(&mut self, name: &'static str) -> Option<Written<bool>> {
        let attribute = self.attribute(name)?;
        let Expression::Bool(value) = &attribute.value else {
            self.wrong_type(name, "`true` or `false`", &attribute.value);
            return None;
        };
        Some(Written { value: **value, span: span_of(&attribute.value) })
    }

    /// Takes a list of strings.
    pub(super) fn strings(&mut self, name: &'static str) -> Option<Written<Vec<Written<String>>>> {
        let attribute = self.attribute(name)?;
        let Expression::Array(array) = &attribute.value else {
            self.wrong_type(name, "a list of strings", &attribute.value);
            return None;
        };
        let value = array.iter().filter_map(|element| self.read_string(name, element)).collect();
        Some(Written { value, span: span_of(&attribute.value) })
    }

    /// Takes a map of strings.
    pub(super) fn map(&mut self, name: &'static str) -> Vec<(Written<String>, Written<String>)> {
        let Some(attribute) = self.attribute(name) else { return Vec::new() };
        let Expression::Object(object) = &attribute.value else {
            self.wrong_type(name, "a map of strings", &attribute.value);
            return Vec::new();
        };
        let read = |(key, value): (&ObjectKey, &hcl_edit::expr::ObjectValue)| {
            let key = match key {
                ObjectKey::Ident(ident) => {
                    Some(Written { value: ident.to_string(), span: ident.span().unwrap_or_default() })
                }
                ObjectKey::Expression(expression) => self.read_string("a key", expression),
            };
            let what = key.as_ref().map_or(name, |key| key.value.as_str());
            let value = self.read_string(what, value.expr());
            Some((key?, value?))
        };
        object.iter().filter_map(read).collect()
    }

    /// Takes a block apart that is there once, if at all.
    pub(super) fn block<T>(
        &mut self,
        name: &'static str,
        place: Place,
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> Option<T> {
        let mut blocks = self.blocks(name).into_iter();
        let block = blocks.next()?;
        for again in blocks {
            let what = format!("`{name}` is in {} twice", self.place);
            let hint = format!("The first is in line {}.", self.findings.line(&span_of_heading(block)));
            self.findings.mistake(Rule::Repeated, &span_of_heading(again), what, hint);
        }
        if let Some(label) = block.labels.first() {
            let what = format!("`{name}` has no name of its own");
            let hint = format!("Write `{name} {{`.");
            self.findings.mistake(Rule::Label, &label.span().unwrap_or_default(), what, hint);
        }
        let mut section = Section::new(place, span_of_heading(block), &block.body, self.findings);
        let read = read(&mut section);
        section.finish();
        Some(read)
    }

    /// Takes every block of a name.
    pub(super) fn blocks(&mut self, name: &'static str) -> Vec<&'a Block> {
        let found = self.take(name);
        let mut blocks = Vec::new();
        for structure in found {
            match structure {
                Structure::Block(block) => blocks.push(block),
                Structure::Attribute(attribute) => {
                    let what = format!("`{name}` is a block, not an attribute");
                    let hint = format!("Write `{name} {{ ... }}`, without `=`, an attribute a line.");
                    self.findings.mistake(Rule::Form, &attribute.key.span().unwrap_or_default(), what, hint);
                }
            }
        }
        blocks
    }

    /// Takes the name of a block that has one.
    pub(super) fn label(&mut self, block: &Block, example: &str) -> Option<Written<String>> {
        let kind = block.ident.as_str();
        let mut labels = block.labels.iter();
        let Some(label) = labels.next() else {
            let what = format!("this `{kind}` has no name");
            let hint = format!("Write `{kind} \"{example}\" {{`.");
            self.findings.mistake(Rule::Label, &span_of_heading(block), what, hint);
            return None;
        };
        if let Some(second) = labels.next() {
            let what = format!("this `{kind}` has a second name");
            let hint = match kind {
                "backend" => "What kind a backend is, is said by the attribute `kind`.".to_owned(),
                _ => format!("Write `{kind} \"{}\" {{`.", label.as_str()),
            };
            self.findings.mistake(Rule::Label, &second.span().unwrap_or_default(), what, hint);
        }
        Some(Written { value: label.as_str().to_owned(), span: label.span().unwrap_or_default() })
    }

    fn attribute(&mut self, name: &'static str) -> Option<&'a Attribute> {
        let mut found = None;
        // The parser sees to it that no attribute is there twice.
        for structure in self.take(name) {
            match structure {
                Structure::Attribute(attribute) => found = Some(attribute),
                Structure::Block(block) => {
                    let what = format!("`{name}` is an attribute, not a block");
                    let hint = format!("Write `{name} = ...`.");
                    self.findings.mistake(Rule::Form, &span_of_heading(block), what, hint);
                }
            }
        }
        found
    }

    fn take(&mut self, name: &'static str) -> Vec<&'a Structure> {
        self.asked.push(name);
        let (found, rest) = self.rest.iter().partition(|structure| heading(structure).0 == name);
        self.rest = rest;
        found
    }

    fn read_string(&mut self, name: &str, expression: &Expression) -> Option<Written<String>> {
        let value = match expression {
            Expression::String(text) => Some(text.to_string()),
            Expression::HeredocTemplate(heredoc) => literal_heredoc(heredoc),
            _ => None,
        };
        if value.is_none() {
            self.wrong_type(name, "a string", expression);
        }
        Some(Written { value: value?, span: span_of(expression) })
    }

    fn wrong_type(&mut self, name: &str, expected: &str, expression: &Expression) {
        let span = span_of(expression);
        let text = self.findings.source.text.get(span.clone()).unwrap_or_default().to_owned();
        let Some(found) = type_of(expression) else {
            let what = format!("`{name}` is an expression, and a configuration holds values only");
            let hint = match expression {
                Expression::Variable(_) if expected == "a string" => {
                    format!("Put it in quotes: `\"{text}\"`.")
                }
                _ => format!("Write {expected}: there are no variables and no functions here."),
            };
            self.findings.mistake(Rule::Literal, &span, what, hint);
            return;
        };
        let hint = match (expected, expression) {
            ("a string", Expression::Number(_)) => Some(format!("Put it in quotes: `\"{text}\"`.")),
            ("`true` or `false`", Expression::String(value))
                if matches!(value.as_str(), "true" | "false") =>
            {
                Some(format!("Leave the quotes out: `{}`.", value.as_str()))
            }
            ("a number", Expression::String(value)) if value.parse::<i64>().is_ok() => {
                Some(format!("Leave the quotes out: `{}`.", value.as_str()))
            }
            ("a list of strings", Expression::String(_)) => Some(format!("Put it in brackets: `[{text}]`.")),
            _ => None,
        };
        self.findings.mistake(Rule::Type, &span, format!("`{name}` expects {expected}, found {found}"), hint);
    }
}

/// Returns where an expression is.
pub(super) fn span_of(expression: &Expression) -> Span {
    expression.span().unwrap_or_default()
}

/// Returns where a block's first line is, from its kind to its last label.
pub(super) fn span_of_heading(block: &Block) -> Span {
    let start = block.ident.span().unwrap_or_default();
    let end = block.labels.last().and_then(hcl_edit::Span::span).unwrap_or_else(|| start.clone());
    start.start..end.end
}

fn heading(structure: &Structure) -> (&str, Span) {
    let ident = match structure {
        Structure::Attribute(attribute) => &attribute.key,
        Structure::Block(block) => &block.ident,
    };
    (ident.as_str(), ident.span().unwrap_or_default())
}

/// Returns what a heredoc stands for, if it is written out.
fn literal_heredoc(heredoc: &HeredocTemplate) -> Option<String> {
    let mut heredoc = heredoc.clone();
    heredoc.dedent();
    let literal = |element: &Element| element.as_literal().map(|text| text.to_string());
    heredoc.template.iter().map(literal).collect()
}

/// Returns what a value is; `None` for an expression.
fn type_of(expression: &Expression) -> Option<&'static str> {
    match expression {
        Expression::Null(_) => Some("`null`"),
        Expression::Bool(_) => Some("a boolean"),
        Expression::Number(_) => Some("a number"),
        Expression::String(_) => Some("a string"),
        Expression::HeredocTemplate(heredoc) => literal_heredoc(heredoc).map(|_| "a string"),
        Expression::Array(_) => Some("a list"),
        Expression::Object(_) => Some("a map"),
        Expression::StringTemplate(_)
        | Expression::Parenthesis(_)
        | Expression::Variable(_)
        | Expression::Conditional(_)
        | Expression::FuncCall(_)
        | Expression::Traversal(_)
        | Expression::UnaryOp(_)
        | Expression::BinaryOp(_)
        | Expression::ForExpr(_) => None,
    }
}
