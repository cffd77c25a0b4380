//! Log lines without control characters: names that others chose cannot affect a terminal.

use std::io::{self, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::LogFormat;

/// Escapes what each line of another writer holds.
pub(crate) struct EscapingMakeWriter<W> {
    pub(crate) writer: W,
    pub(crate) format: LogFormat,
    /// The lines are coloured, so that escape sequences in them are ours; the values of fields are escaped by
    /// tracing-subscriber.
    pub(crate) coloured: bool,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for EscapingMakeWriter<W> {
    type Writer = EscapingWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapingWriter {
            writer: self.writer.make_writer(),
            format: self.format,
            coloured: self.coloured,
        }
    }
}

/// One line: tracing-subscriber writes each in one piece.
pub(crate) struct EscapingWriter<W> {
    writer: W,
    format: LogFormat,
    coloured: bool,
}

impl<W: Write> Write for EscapingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let (line, end) = text
            .strip_suffix('\n')
            .map_or((text.as_ref(), ""), |line| (line, "\n"));
        if !line.chars().any(|c| self.hides(c)) {
            self.writer.write_all(bytes)?;
            return Ok(bytes.len());
        }
        let mut escaped = String::with_capacity(line.len() + 16);
        for c in line.chars() {
            match (self.hides(c), self.format) {
                (false, _) => escaped.push(c),
                (true, LogFormat::Text) => escaped.extend(c.escape_default()),
                // Of these characters none is above U+FFFF.
                (true, LogFormat::Json) => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            }
        }
        escaped.push_str(end);
        self.writer.write_all(escaped.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl<W> EscapingWriter<W> {
    /// Control characters, and those that turn the order of reading (UAX #9) or end a line.
    fn hides(&self, c: char) -> bool {
        let reading = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        reading || (c.is_control() && !(self.coloured && c == '\u{1b}'))
    }
}
