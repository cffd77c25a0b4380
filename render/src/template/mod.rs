//! Templates: text with places for the keys of a value, for native Secrets and for files in volumes.
//!
//! The language is a part of Jinja: `{{ }}` with filters, `if` and `for`. Whoever may write a ManagedSecret or a pod writes templates,
//! so nothing in them may reach a file, run for long or grow without bound: see [`guard`] and [`filters`] for how. An error names
//! the template, the line and what to do, and never shows a value. The engine's own copies of the values are not wiped.

mod filters;
mod guard;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::{fmt, io};

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};
use zeroize::Zeroizing;

use self::filters::FilterError;
pub use self::guard::Forbidden;
use strongroom_value::{KeyBytes, Value};

/// Largest template, in bytes.
pub const TEMPLATE_BYTES: usize = 65_536;
/// Largest output of all templates of one native Secret or volume, in bytes: what the API server takes.
pub const OUTPUT_BYTES: usize = 1_048_576;
/// Instructions that one template may run.
const FUEL: u64 = 50_000;
/// The variable that holds all keys by name.
const KEYS: &str = "keys";

/// Why a template gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template `{key}`{}: {problem}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct TemplateError {
    /// The key of the native Secret, or the file, that the template fills.
    pub key: String,
    /// The line in the template, counted from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// More text than a template may have.
    #[error("the template is larger than {TEMPLATE_BYTES} bytes")]
    TemplateTooLarge,
    /// Not a template.
    #[error("{what}")]
    Syntax {
        /// What the parser says; it knows no value.
        what: String,
    },
    /// Something that this language leaves out.
    #[error("{0}")]
    Forbidden(#[from] Forbidden),
    /// Names that the value does not have.
    #[error("the value has no key {names}; write `keys[\"a.b\"]` for a name that is not an identifier")]
    UnknownName {
        /// The names, quoted.
        names: String,
    },
    /// Secrets that the volume does not have.
    #[error("there is no secret called {names}: use a name from `secrets`")]
    UnknownSecret {
        /// The names, quoted.
        names: String,
    },
    /// Something that is not there, which no single name explains.
    #[error("something is used that is not there: compare the names with the keys of the value")]
    Undefined,
    /// A filter refuses what it was given.
    #[error("{0}")]
    Filter(#[from] FilterError),
    /// Values of a kind that the operation does not take.
    #[error("an operation or filter does not take a value of this kind")]
    WrongKind,
    /// Too many instructions.
    #[error("the template runs too long")]
    TooLong,
    /// More output than a native Secret or a volume can hold.
    #[error("the output of all templates is larger than {OUTPUT_BYTES} bytes")]
    OutputTooLarge,
}

/// Renders the templates, by the key of the native Secret that each fills.
///
/// # Errors
/// The first [`TemplateError`]; nothing is returned then.
pub fn render(templates: &BTreeMap<String, String>, value: &Value) -> Result<Value, TemplateError> {
    let mut renderer = Renderer::new(Scope::of_value(value));
    templates
        .iter()
        .map(|(key, text)| Ok((key.clone(), renderer.render(key, text)?)))
        .collect()
}

/// Renders one template that nobody looked at: any text gives an answer, none a panic or a wait.
///
/// # Errors
/// As [`render`]; the template is called `template`.
pub fn render_untrusted(text: &str, value: &Value) -> Result<KeyBytes, TemplateError> {
    Renderer::new(Scope::of_value(value)).render("template", text)
}

/// What templates can name. `Debug` shows names only.
pub struct Scope {
    variables: minijinja::Value,
    names: BTreeSet<String>,
    /// Whether the names are those of secrets, and not of keys.
    of_secrets: bool,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.names).finish()
    }
}

impl Scope {
    /// The keys of a value: each that is an identifier, and all of them in `keys`.
    #[must_use]
    pub fn of_value(value: &Value) -> Self {
        let keys = keys_of(value);
        let mut variables: BTreeMap<String, minijinja::Value> = keys
            .iter()
            .filter(|(name, _)| is_identifier(name))
            .map(|(name, key)| (name.clone(), key.clone()))
            .collect();
        let mut names: BTreeSet<String> = keys.keys().cloned().collect();
        names.insert(KEYS.to_owned());
        variables.insert(KEYS.to_owned(), minijinja::Value::from(keys));
        Self {
            variables: minijinja::Value::from(variables),
            names,
            of_secrets: false,
        }
    }

    /// Several secrets by name, each with its keys: `{{ db.password }}`.
    #[must_use]
    pub fn of_secrets<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a Value)>) -> Self {
        let variables: BTreeMap<String, minijinja::Value> = secrets
            .into_iter()
            .map(|(name, value)| (name.to_owned(), minijinja::Value::from(keys_of(value))))
            .collect();
        Self {
            names: variables.keys().cloned().collect(),
            variables: minijinja::Value::from(variables),
            of_secrets: true,
        }
    }

    fn unknown(&self, names: &BTreeSet<String>) -> Option<Problem> {
        let names: Vec<String> = names
            .iter()
            .filter(|name| !self.names.contains(*name))
            .map(|name| format!("`{name}`"))
            .collect();
        let joined = names.join(", ");
        match (names.is_empty(), self.of_secrets) {
            (true, _) => None,
            (false, false) => Some(Problem::UnknownName { names: joined }),
            (false, true) => Some(Problem::UnknownSecret { names: joined }),
        }
    }
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

    /// Renders one template; `key` is what errors call it.
    ///
    /// # Errors
    /// A [`TemplateError`]; the room is as it was then.
    pub fn render(&mut self, key: &str, text: &str) -> Result<KeyBytes, TemplateError> {
        let bytes =
            render_one(&self.environment, text, &self.scope, self.room).map_err(|(line, problem)| {
                TemplateError {
                    key: key.to_owned(),
                    line,
                    problem,
                }
            })?;
        self.room = self.room.saturating_sub(bytes.len());
        Ok(KeyBytes::from(bytes))
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

fn keys_of(value: &Value) -> BTreeMap<String, minijinja::Value> {
    value
        .iter()
        .map(|(name, bytes)| {
            let bytes = bytes.expose();
            let variable = match std::str::from_utf8(bytes) {
                Ok(text) => minijinja::Value::from(text),
                Err(_) => minijinja::Value::from_bytes(bytes.to_vec()),
            };
            (name.to_owned(), variable)
        })
        .collect()
}

fn is_identifier(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

type Located = (Option<usize>, Problem);

fn render_one(
    environment: &Environment<'_>,
    text: &str,
    scope: &Scope,
    room: usize,
) -> Result<Zeroizing<Vec<u8>>, Located> {
    if text.len() > TEMPLATE_BYTES {
        return Err((None, Problem::TemplateTooLarge));
    }
    let template = environment
        .template_from_named_str("template", text)
        .map_err(|error| (error.line(), problem(&error, None)))?;
    guard::check(text).map_err(|(line, forbidden)| (Some(line), forbidden.into()))?;

    let mut output = Bounded {
        bytes: Zeroizing::new(Vec::with_capacity(text.len().min(room))),
        room,
        full: false,
    };
    let result = template
        .render_captured_to(&scope.variables, &mut output)
        .map(|_| ());
    match result {
        Ok(()) => Ok(output.bytes),
        Err(_) if output.full => Err((None, Problem::OutputTooLarge)),
        Err(error) => {
            let used: BTreeSet<String> = template.undeclared_variables(false).into_iter().collect();
            Err((error.line(), problem(&error, scope.unknown(&used))))
        }
    }
}

/// What an error of the engine means. Its own words are used only where they speak of the template alone: other words may
/// show a value.
fn problem(error: &Error, unknown: Option<Problem>) -> Problem {
    if let Some(filter) = error
        .source()
        .and_then(|source| source.downcast_ref::<FilterError>())
    {
        return Problem::Filter(filter.clone());
    }
    match error.kind() {
        ErrorKind::OutOfFuel => Problem::TooLong,
        ErrorKind::UndefinedError => unknown.unwrap_or(Problem::Undefined),
        ErrorKind::SyntaxError
        | ErrorKind::UnknownFilter
        | ErrorKind::UnknownTest
        | ErrorKind::UnknownFunction => {
            let what = error
                .detail()
                .map_or_else(|| error.kind().to_string(), str::to_owned);
            Problem::Syntax { what }
        }
        _ => Problem::WrongKind,
    }
}

/// Takes bytes while there is room.
struct Bounded {
    bytes: Zeroizing<Vec<u8>>,
    room: usize,
    full: bool,
}

impl io::Write for Bounded {
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
