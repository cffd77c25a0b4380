//! PEM as tools write it and people paste it (RFC 7468). Read leniently, as sections 2 and 5.2 allow; written
//! strictly.
//!
//! Read: any label; text before, between and behind blocks, such as OpenSSL's attributes of a key store or a
//! certificate in words; headers inside of a block, as RFC 1421 has them; lines of any length that end by LF,
//! CR or CR LF, indented or not, or none at all; no newline at the end. Characters that are none of base64
//! are passed over, as section 2 wants it. Written: the blocks alone, 64 characters a line, each line ended
//! by LF.
//!
//! The libraries of the field read less: `pem` takes no CR and no white space behind a boundary,
//! `rustls-pki-types` and `x509-parser` know labels.

use zeroize::Zeroizing;

use crate::base64;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
/// Characters of a line that is written (RFC 7468 section 2).
const LINE: usize = 64;
/// Longest label; those of the field are shorter than half of it.
const LABEL: usize = 64;

/// What stands from BEGIN to END, with its label (RFC 7468).
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// What stands behind BEGIN.
    pub(crate) label: &'a str,
    /// Lines such as `Proc-Type: 4,ENCRYPTED`.
    headers: Vec<&'a str>,
    body: Body<'a>,
}

#[derive(Debug)]
enum Body<'a> {
    /// Bytes, and the digits of base64 that they stand in.
    Bytes(Zeroizing<Vec<u8>>, Zeroizing<String>),
    /// OpenPGP's armor (RFC 9580 section 6) says the same words, and has a checksum behind its base64: its
    /// lines, as they are.
    Armor(Vec<&'a str>),
}

/// Text that is no PEM. It never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PemError {
    /// There is no BEGIN.
    NoBlock,
    /// A block without an end, or with another block's.
    NoEnd,
    /// A label that is none.
    Label,
    /// What is inside of a block.
    Body,
}

impl PemError {
    /// What is wrong, and in which block.
    pub(crate) fn describe(self, block: usize) -> String {
        let block = block + 1;
        match self {
            Self::NoBlock => "there is no line `-----BEGIN …-----`".to_owned(),
            Self::NoEnd => {
                format!("block {block} has no line `-----END …-----` with the label of its first line")
            }
            Self::Label => format!("block {block} has a first line whose label cannot be read"),
            Self::Body => format!("block {block} is not base64"),
        }
    }
}

/// The blocks of a text, at least one. The error has the number of blocks that were read before it.
pub(crate) fn blocks(text: &[u8]) -> Result<Vec<Block<'_>>, (usize, PemError)> {
    let mut rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut blocks = Vec::new();
    while let Some(behind) = begin(rest) {
        let (block, behind) = block(behind).map_err(|error| (blocks.len(), error))?;
        blocks.push(block);
        rest = behind;
    }
    if blocks.is_empty() {
        return Err((0, PemError::NoBlock));
    }
    Ok(blocks)
}

/// What stands behind the next `-----BEGIN ` that begins a line: inside of a line it is a word of the text
/// around.
fn begin(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        let line = trimmed_start(rest);
        if let Some(behind) = line.strip_prefix(BEGIN) {
            return Some(behind);
        }
        let end = line.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
        rest = line.get(end + 1..)?;
    }
}

/// A block from its label on, and what stands behind it.
fn block(text: &[u8]) -> Result<(Block<'_>, &[u8]), PemError> {
    let (label, inside) = label(text).ok_or(PemError::Label)?;
    let end = find(inside, END).ok_or(PemError::NoEnd)?;
    let (inside, behind) = inside.split_at_checked(end).ok_or(PemError::NoEnd)?;
    let behind = behind.strip_prefix(END).ok_or(PemError::NoEnd)?;
    let (ended, behind) = self::label(behind).ok_or(PemError::NoEnd)?;
    if ended != label || find(inside, BEGIN).is_some() {
        return Err(PemError::NoEnd);
    }
    let (headers, inside) = headers(inside)?;
    let body = if label.starts_with("PGP ") {
        Body::Armor(lines(inside).map(text_of).collect::<Result<_, _>>()?)
    } else {
        let mut digits = Zeroizing::new(String::with_capacity(inside.len() + 4));
        let of_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        digits.extend(inside.iter().copied().filter(of_base64).map(char::from));
        let bytes = base64::decode(digits.as_bytes()).map_err(|_| PemError::Body)?;
        // Padding that lacks, or is too much, is made what it should be: it stands at the end alone.
        let length = digits.trim_end_matches('=').len();
        digits.truncate(length);
        while !digits.len().is_multiple_of(4) {
            digits.push('=');
        }
        Body::Bytes(bytes, digits)
    };
    let block = Block { label, headers, body };
    Ok((block, behind))
}

/// A label, and what stands behind the dashes that end it.
fn label(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = find(text.get(..LABEL + DASHES.len()).unwrap_or(text), DASHES)?;
    let (label, behind) = text.split_at_checked(end)?;
    // Section 2 has no label with two dashes or spaces beside each other; empty ones it has.
    let legal = label.iter().all(|byte| (0x20..0x7f).contains(byte));
    let label = std::str::from_utf8(label).ok().filter(|_| legal)?;
    Some((label, behind.strip_prefix(DASHES)?))
}

/// The headers of a block, and what stands behind the empty line that ends them.
fn headers(inside: &[u8]) -> Result<(Vec<&str>, &[u8]), PemError> {
    let inside = trimmed(inside);
    let first = lines(inside).next().unwrap_or_default();
    if !first.contains(&b':') {
        return Ok((Vec::new(), inside));
    }
    let mut headers = Vec::new();
    let mut rest = inside;
    loop {
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let (line, behind) = rest
            .split_at_checked(end.ok_or(PemError::Body)?)
            .ok_or(PemError::Body)?;
        let behind = behind
            .strip_prefix(b"\r\n")
            .or(behind.get(1..))
            .unwrap_or_default();
        let line = trimmed(line);
        if line.is_empty() {
            return Ok((headers, behind));
        }
        headers.push(text_of(line)?);
        rest = behind;
    }
}

/// The lines that hold something.
fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
    lines.map(trimmed).filter(|line| !line.is_empty())
}

fn text_of(line: &[u8]) -> Result<&str, PemError> {
    std::str::from_utf8(line).map_err(|_| PemError::Body)
}

fn trimmed_start(text: &[u8]) -> &[u8] {
    let start = text
        .iter()
        .position(|byte| !is_space(*byte))
        .unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

fn trimmed(text: &[u8]) -> &[u8] {
    let text = trimmed_start(text);
    let end = text
        .iter()
        .rposition(|byte| !is_space(*byte))
        .map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

/// RFC 7468's `W`.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

impl Block<'_> {
    /// What is in it; none where that is under a password of its own, or OpenPGP's.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Bytes(bytes, _) if self.headers.is_empty() => Some(bytes),
            _ => None,
        }
    }

    /// How many bytes [`write`](Self::write) makes at most.
    pub(crate) fn size(&self) -> usize {
        let headers: usize = self.headers.iter().map(|header| header.len() + 1).sum();
        let body = match &self.body {
            Body::Bytes(_, digits) => digits.len() / LINE * (LINE + 1) + LINE + 1,
            Body::Armor(lines) => lines.iter().map(|line| line.len() + 1).sum(),
        };
        2 * (self.label.len() + BEGIN.len() + DASHES.len() + 1) + headers + 1 + body
    }

    /// Writes it at the end of a text.
    pub(crate) fn write(&self, text: &mut String) {
        text.push_str("-----BEGIN ");
        text.push_str(self.label);
        text.push_str("-----\n");
        for header in &self.headers {
            text.push_str(header);
            text.push('\n');
        }
        if !self.headers.is_empty() || matches!(self.body, Body::Armor(_)) {
            text.push('\n');
        }
        match &self.body {
            Body::Bytes(_, digits) => {
                for line in digits.as_bytes().chunks(LINE) {
                    // Digits of ASCII.
                    text.push_str(std::str::from_utf8(line).unwrap_or_default());
                    text.push('\n');
                }
            }
            Body::Armor(lines) => {
                for line in lines {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        text.push_str("-----END ");
        text.push_str(self.label);
        text.push_str("-----\n");
    }
}

#[cfg(test)]
mod tests;
