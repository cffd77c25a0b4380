//! Templates: text with places for the keys of a value, for native Secrets and for files in volumes.
//!
//! The language is a part of Jinja: `{{ }}` with filters, `if`, `for` and `raw`. Whoever may write a
//! ManagedSecret or a pod writes templates, so nothing in them may reach a file, run for long or grow without
//! bound: see [`guard`] and [`filters`] for how.
//!
//! What is wrong with a template itself is a [`TemplateError`], with its line and what to do. What does not
//! fit a value is a [`Mismatch`], which says the same of every value. The engine's own copies of the values
//! are not wiped.

mod error;
mod filters;
mod guard;
mod scope;
mod tags;
#[cfg(test)]
mod tests;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use strongroom_model::{SecretBytes, Value};
use zeroize::Zeroizing;

pub use self::error::{Problem, RenderError, TemplateError};
use self::filters::FilterError;
pub use self::guard::ForbiddenSyntax;
pub use self::scope::Scope;
use crate::mismatch::{Detail, Mismatch};

/// Largest template, in bytes.
pub const TEMPLATE_BYTES: usize = 65_536;
/// Largest output of all templates of one native Secret or volume, in bytes: what the API server takes.
pub const OUTPUT_BYTES: usize = 1_048_576;
/// Instructions that one template may run.
const FUEL: u64 = 50_000;

/// Renders the templates, by the key of the native Secret that each fills.
///
/// # Errors
/// The first [`TemplateError`], or a [`Mismatch`] of all of them; nothing is returned then.
pub fn render(templates: &BTreeMap<String, String>, value: &Value) -> Result<Value, RenderError> {
    let mut renderer = Renderer::new(Scope::from_value(value));
    for (key, text) in templates {
        renderer.check(key, text)?;
    }
    let rendered: Result<Value, Detail> = templates
        .iter()
        .map(|(key, text)| Ok((key.clone(), renderer.render(key, text)?)))
        .collect();
    rendered.map_err(|detail| {
        let asked = templates.iter().map(|(key, text)| renderer.demand(key, text));
        match asked.collect::<Result<Vec<_>, _>>() {
            Ok(places) => RenderError::Mismatch(Mismatch::new(&places, detail)),
            Err(error) => error.into(),
        }
    })
}

/// Renders one template that nobody looked at: any text gives an answer, none a panic or a wait.
///
/// # Errors
/// As [`render`]; the template is called `template`.
pub fn render_untrusted(text: &str, value: &Value) -> Result<SecretBytes, RenderError> {
    const KEY: &str = "template";
    let templates = BTreeMap::from([(KEY.to_owned(), text.to_owned())]);
    let mut rendered = render(&templates, value)?.into_iter();
    Ok(rendered
        .next()
        .map_or_else(|| SecretBytes::from(Vec::new()), |(_, bytes)| bytes))
}

/// Renders templates that share one limit of output.
#[derive(Debug)]
pub struct Renderer {
    environment: Environment<'static>,
    scope: Scope,
    room: usize,
}

impl Renderer {
    /// A renderer with [`OUTPUT_BYTES`] of room.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self {
            environment: environment(),
            scope,
            room: OUTPUT_BYTES,
        }
    }

    /// Looks for what is wrong with a template whatever is in the value; `key` is what errors call it.
    ///
    /// # Errors
    /// A [`TemplateError`].
    pub fn check(&self, key: &str, text: &str) -> Result<(), TemplateError> {
        let refused = |(line, problem): (Option<usize>, Problem)| TemplateError {
            key: key.to_owned(),
            line,
            problem,
        };
        if text.len() > TEMPLATE_BYTES {
            return Err(refused((None, Problem::TemplateTooLarge)));
        }
        let names = self.scope.spellings();
        if let Err(error) = self.environment.template_from_named_str("template", text) {
            let what = error
                .detail()
                .map_or_else(|| error.kind().to_string(), str::to_owned);
            let word = uses::word(text, &names).map(|spelling| spelling.written);
            return Err(refused((error.line(), Problem::Syntax { what, word })));
        }
        guard::check(text).map_err(|(line, forbidden)| refused((Some(line), forbidden.into())))?;
        for (line, filter, name) in uses::operations(text) {
            let (kind, known) = match filter {
                true => ("filter", &filters::FILTERS[..]),
                false => ("test", &filters::TESTS[..]),
            };
            if !known.contains(&name.as_str()) {
                let what = format!("there is no {kind} `{name}`");
                return Err(refused((Some(line), Problem::Syntax { what, word: None })));
            }
        }
        match uses::misread(text, &names) {
            Some((line, spelling)) => Err(refused((
                Some(line),
                Problem::Misread {
                    name: spelling.name,
                    written: spelling.written,
                },
            ))),
            None => Ok(()),
        }
    }

    /// Renders a template that [`check`](Self::check) has nothing against.
    ///
    /// # Errors
    /// Where it does not fit the value, and why; the room is as it was then.
    pub fn render(&mut self, key: &str, text: &str) -> Result<SecretBytes, Detail> {
        let rendered = render_one(&self.environment, text, &self.scope, self.room);
        let bytes = rendered.map_err(|(line, why)| {
            let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
            Detail::new(format!("template `{key}`{line}: {why}"))
        })?;
        self.room = self.room.saturating_sub(bytes.len());
        Ok(SecretBytes::from(bytes))
    }

    /// What a template asks of the value, for a [`Mismatch`]. It does not depend on the value.
    ///
    /// # Errors
    /// A [`TemplateError`] where the template uses names that there are not: that is why, then.
    pub fn demand(&self, key: &str, text: &str) -> Result<String, TemplateError> {
        let refused = |problem| TemplateError {
            key: key.to_owned(),
            line: None,
            problem,
        };
        let Ok(template) = self.environment.template_from_named_str("template", text) else {
            return Ok(format!("template `{key}`"));
        };
        let used: BTreeSet<String> = template.undeclared_variables(true).into_iter().collect();
        if let Some(problem) = self.scope.unknown(text, &used) {
            return Err(refused(problem));
        }
        Ok(error::demand(key, text, &self.scope.used(text, &used)))
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax);
    }
    environment.set_formatter(|out, _, value| filters::print(out, value));
    filters::install(&mut environment);
    environment
}

fn render_one(
    environment: &Environment<'_>,
    text: &str,
    scope: &Scope,
    room: usize,
) -> Result<Zeroizing<Vec<u8>>, (Option<usize>, String)> {
    let template = environment
        .template_from_named_str("template", text)
        .map_err(|error| (error.line(), cause(&error)))?;
    let mut output = BoundedOutput {
        bytes: Zeroizing::new(Vec::with_capacity(text.len().min(room))),
        room,
        full: false,
    };
    let result = template
        .render_captured_to(scope.variables(), &mut output)
        .map(|_| ());
    let full = || {
        (
            None,
            format!("the output of all templates is larger than {OUTPUT_BYTES} bytes"),
        )
    };
    match result {
        Ok(()) => Ok(output.bytes),
        Err(_) if output.full => Err(full()),
        Err(error) => match bytes_alone(environment, text, scope, &error) {
            Some(bytes) if bytes.len() > room => Err(full()),
            Some(bytes) => Ok(bytes),
            None => Err((error.line(), cause(&error))),
        },
    }
}

/// What a template of one expression alone is, where that is bytes and no text.
fn bytes_alone(
    environment: &Environment<'_>,
    text: &str,
    scope: &Scope,
    refused: &Error,
) -> Option<Zeroizing<Vec<u8>>> {
    filter_error(refused).filter(|error| **error == FilterError::PrintBytes)?;
    let expression = environment.compile_expression(tags::sole(text)?).ok()?;
    let value = expression.eval(scope.variables()).ok()?;
    Some(Zeroizing::new(value.as_bytes()?.to_vec()))
}

fn filter_error(error: &Error) -> Option<&FilterError> {
    error.source()?.downcast_ref()
}

/// Why the engine refuses, in words that may show a part of the value.
fn cause(error: &Error) -> String {
    if let Some(filter) = filter_error(error) {
        return filter.to_string();
    }
    match error.kind() {
        ErrorKind::OutOfFuel => "the template runs too long".to_owned(),
        ErrorKind::UndefinedError => "something is used that is not there".to_owned(),
        kind => error
            .detail()
            .map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
    }
}

/// Takes bytes while there is room.
struct BoundedOutput {
    bytes: Zeroizing<Vec<u8>>,
    room: usize,
    full: bool,
}

impl io::Write for BoundedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > self.room {
            self.full = true;
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
