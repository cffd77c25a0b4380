//! How answers are printed: a table for people, JSON and YAML for programs. Colours only on a terminal.
//!
//! A table is laid out by hand: `comfy-table` breaks a cell of more than 65,535 columns into lines, and a
//! value that is shown is shown whole.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::Value;
use strongroom_api::{json_visible, visible, visible_lines};
use unicode_width::UnicodeWidthStr;

use crate::csv;
use crate::failure::Failure;

/// How somebody asks for it to be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OutputArgument {
    /// For people
    Table,
    /// For people, with all columns where a command has more of them
    Wide,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
    /// Comma-separated values with all columns, of `audit` alone
    Csv,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// Where answers go.
pub(crate) struct Output {
    pub(crate) format: Format,
    /// A table has all of its columns.
    pub(crate) wide: bool,
    /// A table is for programs that read comma-separated values.
    pub(crate) csv: bool,
    /// Standard output is a terminal.
    pub(crate) terminal: bool,
    coloured: bool,
}

/// A number of bytes as people read it.
pub(crate) fn bytes(number: u64) -> String {
    match number {
        0..10_240 => format!("{number} bytes"),
        10_240..10_485_760 => format!("{} KiB", number / 1_024),
        _ => format!("{} MiB", number / 1_048_576),
    }
}

/// Rows of text below their headings.
#[derive(Debug)]
pub(crate) struct Table {
    headings: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) const fn new(headings: &'static [&'static str]) -> Self {
        Self {
            headings,
            rows: Vec::new(),
        }
    }

    /// A row. What others wrote is shown and does nothing.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        let cells = cells.iter().map(|cell| visible(cell).into_owned());
        self.rows.push(cells.collect());
    }

    /// Lines, each column as wide as its widest cell; the first is that of the headings.
    fn lines(&self) -> Vec<String> {
        let headings: Vec<String> = self.headings.iter().map(|&heading| heading.to_owned()).collect();
        let rows: Vec<&Vec<String>> = std::iter::once(&headings).chain(&self.rows).collect();
        let width = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.width())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        rows.iter()
            .map(|row| {
                let cells = row.iter().zip(&widths).map(|(cell, width)| {
                    let blanks = width.saturating_sub(cell.width());
                    format!("{cell}{:blanks$}", "")
                });
                cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
            })
            .collect()
    }
}

impl Output {
    /// As the command line says.
    pub(crate) fn from_argument(argument: OutputArgument) -> Self {
        let format = match argument {
            OutputArgument::Table | OutputArgument::Wide | OutputArgument::Csv => Format::Table,
            OutputArgument::Json => Format::Json,
            OutputArgument::Yaml => Format::Yaml,
        };
        Self {
            wide: argument == OutputArgument::Wide,
            csv: argument == OutputArgument::Csv,
            ..Self::new(format)
        }
    }

    pub(crate) fn new(format: Format) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            format,
            wide: false,
            csv: false,
            terminal,
            coloured: terminal && wanted,
        }
    }

    /// Prints an answer as it is asked for.
    pub(crate) fn print(
        &self,
        answer: &impl Serialize,
        table: impl FnOnce() -> Table,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let text = serde_json::to_string_pretty(answer).map_err(std::io::Error::from)?;
                self.line(&json_visible(&text))
            }
            Format::Yaml => self.line(&yaml(answer)?),
            Format::Table => self.table(&table()),
        }
    }

    /// Prints an answer, or these lines of text.
    pub(crate) fn tell(&self, answer: &impl Serialize, text: &str) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.line(&visible_lines(text)),
            Format::Json | Format::Yaml => self.print(answer, || Table::new(&[])),
        }
    }

    /// Prints an answer, or these lines of text, which begin with a word that says whether all is well.
    pub(crate) fn decision(
        &self,
        answer: &impl Serialize,
        (word, is_well): (&str, bool),
        text: &str,
    ) -> Result<(), Failure> {
        if self.format != Format::Table {
            return self.tell(answer, text);
        }
        let text = visible_lines(text);
        let styled = if is_well { self.good(word) } else { self.bad(word) };
        self.line(&match text.strip_prefix(word) {
            Some(rest) => format!("{styled}{rest}"),
            None => format!("{styled}: {text}"),
        })
    }

    fn table(&self, table: &Table) -> Result<(), Failure> {
        if self.csv {
            self.csv(table.headings.iter().copied())?;
            for row in &table.rows {
                // A table has a dash where there is nothing.
                let cells = row
                    .iter()
                    .map(|cell| if cell == "-" { "" } else { cell.as_str() });
                self.csv(cells)?;
            }
            return Ok(());
        }
        let mut lines = table.lines().into_iter();
        if let Some(headings) = lines.next() {
            self.line(&self.styled(Style::new().bold(), &headings))?;
        }
        lines.try_for_each(|line| self.line(&line))
    }

    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        writeln!(std::io::stdout(), "{text}")?;
        Ok(())
    }

    /// Cells as a line of comma-separated values.
    pub(crate) fn csv<'a>(&self, cells: impl IntoIterator<Item = &'a str>) -> Result<(), Failure> {
        // The line feed of the end is that of every line.
        self.line(&format!("{}\r", csv::record(cells)))
    }

    /// Bytes as they are.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes)?;
        if self.terminal {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(())
    }

    fn styled(&self, style: Style, text: &str) -> String {
        if self.coloured {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// Something that is as it should be.
    pub(crate) fn good(&self, text: &str) -> String {
        self.styled(AnsiColor::Green.on_default().bold(), text)
    }

    /// Something that is not.
    pub(crate) fn bad(&self, text: &str) -> String {
        self.styled(AnsiColor::Red.on_default().bold(), text)
    }

    /// Something that somebody should look at.
    pub(crate) fn doubtful(&self, text: &str) -> String {
        self.styled(AnsiColor::Yellow.on_default().bold(), text)
    }

    /// A word about what is going on, for whoever watches.
    pub(crate) fn progress(&self, text: &str) {
        if std::io::stderr().is_terminal() {
            self.note(text);
        }
    }

    /// What whoever reads the answer has to know of it, beside it.
    pub(crate) fn note(&self, text: &str) {
        // Nobody is left to tell where this fails.
        let _ = writeln!(std::io::stderr(), "{}", visible_lines(text));
    }
}

/// YAML in which nothing does anything to a terminal: where its writer would leave such a character, JSON,
/// which is YAML.
pub(crate) fn yaml(answer: &impl Serialize) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(answer).map_err(|error| Failure::Malformed(error.to_string()))?;
    if matches!(visible_lines(&text), Cow::Borrowed(_)) {
        return Ok(text.trim_end().to_owned());
    }
    let text = serde_json::to_string_pretty(answer).map_err(std::io::Error::from)?;
    Ok(json_visible(&text).into_owned())
}

/// A field as a cell: `-` where there is nothing.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(fields) if fields.is_empty() => "-".to_owned(),
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(key, value)| format!("{key}={}", cell(value)));
            pairs.collect::<Vec<_>>().join(",")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// An answer as a document that something is added to.
pub(crate) fn value_of(answer: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(|error| Failure::Malformed(error.to_string()))
}

/// What an answer says as a cell.
pub(crate) fn cell_of(said: &impl Serialize) -> String {
    serde_json::to_value(said).map_or_else(|_| cell(&Value::Null), |value| cell(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(&["NAME", "STAGES"]);
        table.row(vec!["a-long-name".to_owned(), "Current".to_owned()]);
        table.row(vec!["b".to_owned(), "-".to_owned()]);
        assert_eq!(
            table.lines(),
            ["NAME          STAGES", "a-long-name   Current", "b             -"]
        );
    }

    #[test]
    fn columns_stand_below_each_other_where_characters_are_wide_or_have_no_width() {
        let mut table = Table::new(&["NAME", "STAGES"]);
        table.row(vec!["データ".to_owned(), "Current".to_owned()]);
        table.row(vec!["cafe\u{301}".to_owned(), "-".to_owned()]);
        assert_eq!(
            table.lines(),
            ["NAME     STAGES", "データ   Current", "cafe\u{301}     -"]
        );
    }

    #[test]
    fn what_others_wrote_does_nothing_to_a_terminal() {
        let hostile = "safe\u{1b}[2K\u{1b}[1;31mREADY\u{7}\n\u{9b}31m\u{202e}";
        let mut table = Table::new(&["NAME", "DESCRIPTION"]);
        table.row(vec!["db".to_owned(), hostile.to_owned()]);
        let answer = serde_json::json!({"description": hostile, "lines": ["a", "b"]});
        let json = json_visible(&serde_json::to_string_pretty(&answer).unwrap()).into_owned();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), answer);
        let yaml = yaml(&answer).unwrap();
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), answer);
        for text in [table.lines().join("\n"), json, yaml] {
            assert!(
                matches!(visible_lines(&text), Cow::Borrowed(_)),
                "{}",
                text.escape_debug()
            );
        }
        assert_eq!(table.lines().len(), 2);
    }

    #[test]
    fn cells_say_when_there_is_nothing() {
        for (value, text) in [
            (serde_json::json!(null), "-"),
            (serde_json::json!([]), "-"),
            (serde_json::json!(["a", "b"]), "a,b"),
            (serde_json::json!({"Current": "v-1"}), "Current=v-1"),
            (serde_json::json!(7), "7"),
        ] {
            assert_eq!(cell(&value), text);
        }
    }
}
