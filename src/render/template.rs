//! The templates: ours, and those that replace them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonTruthy, Output, PathAndJson, RenderContext,
    RenderErrorReason, Renderable, no_escape,
};
use serde::Serialize;

use super::MARK;

/// How the names of templates end.
const EXTENSION: &str = "hbs";

/// A form that a rendered file can have. A further one is a further constant here, its template, and its line in
/// [`FORMS`].
#[derive(Debug)]
pub(super) struct Form {
    /// The rendered file's name.
    pub(super) file_name: &'static str,
    /// The template's name, by which a user's own replaces it.
    template: &'static str,
    /// Our template.
    text: &'static str,
}

/// A file of Terraform's own, with the whole backend in it.
pub(super) const BACKEND_TF: Form = Form {
    file_name: "backend.tf",
    template: "backend.tf.hbs",
    text: include_str!("../../templates/backend.tf.hbs"),
};

const FORMS: [&Form; 1] = [&BACKEND_TF];

/// What a template can name. `templates/README.md` explains each to those who write their own.
#[derive(Debug, Serialize)]
pub(super) struct Variables<'a> {
    pub(super) mark: String,
    pub(super) project: &'a str,
    pub(super) backend: &'a str,
    pub(super) environment: &'a str,
    pub(super) component: &'a str,
    pub(super) engine: &'static str,
    pub(super) minimum_version: String,
    pub(super) minimum_for: &'static str,
    pub(super) bucket: &'a str,
    pub(super) key: String,
    pub(super) region: &'a str,
    pub(super) kms_key_id: &'a str,
    pub(super) account_id: &'a str,
    pub(super) workspace_key_prefix: String,
    pub(super) dynamodb_table: Option<&'a str>,
    pub(super) use_lockfile: bool,
}

/// The templates in use.
#[derive(Debug)]
pub struct Templates {
    handlebars: Handlebars<'static>,
    /// The folder that the user's own come from.
    folder: Option<PathBuf>,
}

/// What is wrong with a template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A template or the folder of templates can't be read.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A template in the user's folder replaces none of ours.
    #[error("template `{}` replaces none of ours: {}", path.display(), known.join(", "))]
    Unknown {
        /// The template.
        path: PathBuf,
        /// The names of ours.
        known: Vec<&'static str>,
    },
    /// A template is no handlebars.
    #[error("failed to parse template `{template}`{}: {reason}", line.map(|line| format!(" at line {line}")).unwrap_or_default())]
    Syntax {
        /// The template.
        template: String,
        /// The line.
        line: Option<usize>,
        /// What the parser says.
        reason: String,
    },
    /// A template names a variable that there is not.
    #[error("template `{template}` names the variable `{variable}`, which there is not")]
    MissingVariable {
        /// The template.
        template: String,
        /// The variable, as it stands there.
        variable: String,
    },
    /// A template fails for another reason.
    #[error("failed to render template `{template}`")]
    Render {
        /// The template.
        template: String,
        /// Why.
        #[source]
        source: Box<handlebars::RenderError>,
    },
    /// What a template makes would pass for a file written by hand, and never be replaced.
    #[error("what template `{template}` makes lacks `{{{{mark}}}}` in its first line")]
    Unmarked {
        /// The template.
        template: String,
    },
}

impl Templates {
    /// Returns our own templates, in place of which stand those of the same name in `folder`.
    ///
    /// # Errors
    /// The folder or a template in it can't be read, is no handlebars, or replaces none of ours.
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut templates = Self { handlebars: registry(), folder: folder.map(Path::to_owned) };
        for form in FORMS {
            templates.register(form, form.text)?;
        }
        for (path, form) in folder.map(overrides).transpose()?.unwrap_or_default() {
            let text = fs::read_to_string(&path)
                .map_err(|source| TemplateError::Read { path: path.clone(), source })?;
            templates.register(form, &text)?;
        }
        Ok(templates)
    }

    /// Renders a form.
    pub(super) fn render(&self, form: &Form, variables: &Variables<'_>) -> Result<String, TemplateError> {
        let content =
            self.handlebars.render(form.template, variables).map_err(|error| self.explain(form, error))?;
        if !is_marked(&content) {
            return Err(TemplateError::Unmarked { template: self.title(form) });
        }
        Ok(content)
    }

    fn register(&mut self, form: &Form, text: &str) -> Result<(), TemplateError> {
        self.handlebars.register_template_string(form.template, text).map_err(|error| TemplateError::Syntax {
            template: self.title(form),
            line: error.pos().map(|(line, _)| line),
            reason: error.reason().to_string(),
        })
    }

    fn explain(&self, form: &Form, error: handlebars::RenderError) -> TemplateError {
        let template = self.title(form);
        match error.reason() {
            RenderErrorReason::MissingVariable(Some(variable)) => {
                TemplateError::MissingVariable { template, variable: variable.clone() }
            }
            _ => TemplateError::Render { template, source: Box::new(error) },
        }
    }

    /// Returns what a person calls a template: its path if it is theirs, else its name.
    fn title(&self, form: &Form) -> String {
        let theirs =
            self.folder.as_ref().map(|folder| folder.join(form.template)).filter(|path| path.exists());
        theirs.map_or_else(|| form.template.to_owned(), |path| path.display().to_string())
    }
}

/// Returns whether a file is one of ours, to be replaced at will.
pub(super) fn is_marked(content: &str) -> bool {
    content.lines().next().is_some_and(|line| line.contains(MARK))
}

/// Returns the templates in a folder, with the forms whose template they replace.
fn overrides(folder: &Path) -> Result<Vec<(PathBuf, &'static Form)>, TemplateError> {
    let unreadable = |source| TemplateError::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        let replaced =
            FORMS.into_iter().find(|form| path.file_name().is_some_and(|name| name == form.template));
        let Some(form) = replaced else {
            return Err(TemplateError::Unknown { path, known: FORMS.map(|form| form.template).into() });
        };
        found.push((path, form));
    }
    Ok(found)
}

fn registry() -> Handlebars<'static> {
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    handlebars.register_escape_fn(no_escape);
    handlebars.register_helper("hcl", Box::new(quote));
    handlebars.register_helper("if", Box::new(StrictIf { wanted: true }));
    handlebars.register_helper("unless", Box::new(StrictIf { wanted: false }));
    handlebars
}

/// `{{hcl name}}`: a string as HCL writes it, quotes included.
fn quote(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    output: &mut dyn Output,
) -> HelperResult {
    let text = parameter(helper, "hcl")?.value().as_str();
    let text = text.ok_or(RenderErrorReason::InvalidParamType("string"))?;
    Ok(output.write(&hcl_string(text))?)
}

/// `{{#if name}}` and `{{#unless name}}`. Those that come with handlebars take a misspelt name for a false one, strict
/// mode or not.
struct StrictIf {
    wanted: bool,
}

impl HelperDef for StrictIf {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render_context: &mut RenderContext<'reg, 'rc>,
        output: &mut dyn Output,
    ) -> HelperResult {
        let holds = parameter(helper, "if")?.value().is_truthy(false);
        let branch = if holds == self.wanted { helper.template() } else { helper.inverse() };
        branch.map_or(Ok(()), |branch| branch.render(registry, context, render_context, output))
    }
}

/// Returns the one parameter of a helper, which must be there.
fn parameter<'a, 'rc>(
    helper: &'a Helper<'rc>,
    name: &'static str,
) -> Result<&'a PathAndJson<'rc>, RenderErrorReason> {
    let parameter = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex(name, 0))?;
    if parameter.is_value_missing() {
        return Err(RenderErrorReason::MissingVariable(parameter.relative_path().cloned()));
    }
    Ok(parameter)
}

/// Quotes a string so that HCL reads exactly this string, and never a template.
/// <https://developer.hashicorp.com/terraform/language/expressions/strings>
fn hcl_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '$' | '%' if letters.peek() == Some(&'{') => quoted.extend([letter, letter]),
            control if control.is_control() => {
                quoted.extend(format!("\\u{:04x}", u32::from(control)).chars());
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hcl_edit::parser::parse_expr;
    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;

    fn variables() -> Variables<'static> {
        Variables {
            mark: format!("{MARK} from underpin.hcl"),
            project: "acme",
            backend: "main",
            environment: "dev",
            component: "main",
            engine: "Terraform",
            minimum_version: "1.6".to_owned(),
            minimum_for: "allowed_account_ids",
            bucket: "acme-tfstate",
            key: "dev/main.tfstate".to_owned(),
            region: "eu-west-1",
            kms_key_id: "alias/acme-tfstate",
            account_id: "111122223333",
            workspace_key_prefix: "dev/env:".to_owned(),
            dynamodb_table: None,
            use_lockfile: false,
        }
    }

    /// Returns what a template of the user's own makes of `backend.tf`, or the error without the folder's name.
    fn rendered(template: &str) -> Result<String, String> {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("backend.tf.hbs"), template).unwrap();
        fs::write(folder.path().join("README.md"), "{{").unwrap();
        Templates::load(Some(folder.path()))
            .and_then(|templates| templates.render(&BACKEND_TF, &variables()))
            .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
    }

    #[test]
    fn a_template_of_the_users_replaces_ours() {
        assert_eq!(
            rendered("# {{mark}}\nbucket = {{hcl bucket}} # {{environment}}&{{component}}"),
            Ok("# Made by underpin from underpin.hcl\nbucket = \"acme-tfstate\" # dev&main".to_owned())
        );
    }

    #[test]
    fn a_variable_that_there_is_not_is_an_error_wherever_it_stands() {
        for place in [
            "{{buckt}}",
            "{{hcl buckt}}",
            "{{#if buckt}}x{{/if}}",
            "{{#unless buckt}}x{{/unless}}",
            "{{#each buckt}}x{{/each}}",
        ] {
            assert_eq!(
                rendered(&format!("# {{{{mark}}}}\n{place}")),
                Err("template `backend.tf.hbs` names the variable `buckt`, which there is not".to_owned()),
                "{place}"
            );
        }
    }

    #[test]
    fn conditions_choose_their_branch() {
        for (template, expected) in [
            ("{{#if use_lockfile}}a{{else}}b{{/if}}", "b"),
            ("{{#unless use_lockfile}}a{{else}}b{{/unless}}", "a"),
            ("{{#if bucket}}a{{/if}}", "a"),
            ("{{#if dynamodb_table}}a{{/if}}", ""),
        ] {
            assert_eq!(
                rendered(&format!("{{{{mark}}}} {template}")).unwrap(),
                format!("{} {expected}", variables().mark)
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said() {
        for (template, error) in [
            ("x\n{{#if bucket}}", "failed to parse template `backend.tf.hbs` at line 2"),
            (
                "bucket = {{hcl bucket}}",
                "what template `backend.tf.hbs` makes lacks `{{mark}}` in its first line",
            ),
            ("\n# {{mark}}", "what template `backend.tf.hbs` makes lacks `{{mark}}` in its first line"),
            ("# {{mark}} {{hcl use_lockfile}}", "failed to render template `backend.tf.hbs`"),
            ("# {{mark}} {{hcl}}", "failed to render template `backend.tf.hbs`"),
        ] {
            let found = rendered(template).unwrap_err();
            assert!(found.starts_with(error), "{found}");
        }
    }

    #[test]
    fn a_template_that_replaces_none_of_ours_is_an_error() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("backends.tf.hbs");
        fs::write(&path, "").unwrap();

        let error = Templates::load(Some(folder.path())).unwrap_err();

        assert_eq!(
            error.to_string(),
            format!("template `{}` replaces none of ours: backend.tf.hbs", path.display())
        );
    }

    #[test]
    fn a_folder_of_templates_that_is_not_there_is_an_error() {
        let error = Templates::load(Some(Path::new("/nonexistent"))).unwrap_err();
        assert_eq!(error.to_string(), "failed to read `/nonexistent`");
    }

    #[test]
    fn hcl_reads_back_what_was_quoted() {
        for text in [
            "",
            "plain",
            "a \"quote\"",
            "back\\slash",
            "${a}",
            "$${a}",
            "$$${a}",
            "%{ if a }",
            "%%{a}",
            "$",
            "${",
            "a$",
            "%",
            "line\nline",
            "tab\treturn\r",
            "\u{7}\u{0}\u{7f}\u{85}",
            "é 中 🦀",
            "$\"{",
        ] {
            let quoted = hcl_string(text);
            assert!(!quoted.contains(char::is_control), "{quoted}");
            let expression = parse_expr(&quoted).unwrap();
            assert_eq!(expression.as_str(), Some(text), "{quoted}");
        }
    }

    #[test]
    fn the_templates_readme_lists_the_variables() {
        let readme = include_str!("../../templates/README.md");
        let listed: BTreeMap<&str, &str> = readme
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
            .filter_map(|(name, rest)| Some((name, rest.split_once(" | ")?.0)))
            .collect();
        let Value::Object(variables) = serde_json::to_value(variables()).unwrap() else {
            panic!("no object")
        };
        let types: BTreeMap<&str, &str> = variables
            .iter()
            .map(|(name, value)| {
                let type_name = match value {
                    Value::String(_) => "string",
                    Value::Bool(_) => "boolean",
                    Value::Null => "string or null",
                    other => panic!("{name} is {other}"),
                };
                (name.as_str(), type_name)
            })
            .collect();

        assert_eq!(listed, types);
    }

    #[test]
    fn the_templates_readme_lists_the_templates() {
        let readme = include_str!("../../templates/README.md");
        for form in FORMS {
            assert!(readme.contains(&format!("| `{}` | `{}` |", form.template, form.file_name)), "{form:?}");
        }
    }
}
