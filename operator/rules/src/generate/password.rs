//! Passwords.
//!
//! The characters that each class must have are drawn first, evenly from the class; the others evenly from
//! all that are allowed; then the order is shuffled evenly. No modulo bias, no character more likely than
//! another of its class.

use strongroom_crds::v1alpha1::PasswordSource;
use zeroize::Zeroizing;

use super::random::{CryptoRng, below};
use crate::value::SecretBytes;

pub(super) const DEFAULT_LENGTH: i32 = 32;
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const DIGITS: &str = "0123456789";
/// Printable ASCII without the quotes, the backslash and the grave accent, which survive no quoting.
const SYMBOLS: &str = "!#$%&()*+,-./:;<=>?@[]^_{|}~";

/// Settings of a password that contradict each other.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PasswordError {
    /// Too short or too long.
    #[error("length must be 8 to 4096")]
    Length,
    /// A class is on, but `exclude` leaves nothing of it.
    #[error("exclude removes every character of {class}: switch the class off, or exclude less")]
    EmptyClass {
        /// Its name in the spec, such as `symbols`.
        class: &'static str,
    },
    /// Characters are asked of a class that is off.
    #[error("atLeast asks for {class}, which is off")]
    ClassOff {
        /// Its name in the spec, such as `symbols`.
        class: &'static str,
    },
    /// All four classes are off.
    #[error("at least one of upper, lower, digits, symbols must be on")]
    NoClass,
    /// The classes ask for more characters than there are.
    #[error("the classes ask for {asked} characters, length is {length}")]
    TooManyAsked {
        /// What the classes ask for together.
        asked: usize,
        /// Characters that the password is to have.
        length: usize,
    },
}

struct Class {
    characters: Vec<u8>,
    at_least: usize,
}

pub(super) fn generate(
    source: &PasswordSource,
    random: &mut dyn CryptoRng,
) -> Result<SecretBytes, PasswordError> {
    let length = usize::try_from(source.length.unwrap_or(DEFAULT_LENGTH)).unwrap_or(0);
    if !(8..=4096).contains(&length) {
        return Err(PasswordError::Length);
    }
    let classes = classes(source)?;
    let asked: usize = classes.iter().map(|class| class.at_least).sum();
    if asked > length {
        return Err(PasswordError::TooManyAsked { asked, length });
    }
    let mut all: Vec<u8> = classes
        .iter()
        .flat_map(|class| class.characters.iter().copied())
        .collect();
    all.sort_unstable();
    all.dedup();

    let mut password = Zeroizing::new(Vec::with_capacity(length));
    for class in &classes {
        for _ in 0..class.at_least {
            password.extend(draw(&class.characters, random));
        }
    }
    while password.len() < length {
        password.extend(draw(&all, random));
    }
    shuffle(&mut password, random);
    Ok(SecretBytes::from(password))
}

fn classes(source: &PasswordSource) -> Result<Vec<Class>, PasswordError> {
    let at_least = source.at_least.clone().unwrap_or_default();
    let symbols_on = source.symbols.unwrap_or(source.symbol_set.is_some());
    let symbols = source.symbol_set.as_deref().unwrap_or(SYMBOLS);
    let exclude = source.exclude.as_deref().unwrap_or_default().as_bytes();
    let mut classes = Vec::new();
    for (class, on, characters, at_least) in [
        ("upper", source.upper.unwrap_or(true), UPPER, at_least.upper),
        ("lower", source.lower.unwrap_or(true), LOWER, at_least.lower),
        ("digits", source.digits.unwrap_or(true), DIGITS, at_least.digits),
        ("symbols", symbols_on, symbols, at_least.symbols),
    ] {
        if !on {
            if at_least.is_some_and(|count| count > 0) {
                return Err(PasswordError::ClassOff { class });
            }
            continue;
        }
        let mut characters: Vec<u8> = characters
            .bytes()
            .filter(|c| c.is_ascii_graphic() && !exclude.contains(c))
            .collect();
        characters.sort_unstable();
        characters.dedup();
        if characters.is_empty() {
            return Err(PasswordError::EmptyClass { class });
        }
        classes.push(Class {
            characters,
            at_least: usize::try_from(at_least.unwrap_or(1)).unwrap_or(0),
        });
    }
    if classes.is_empty() {
        Err(PasswordError::NoClass)
    } else {
        Ok(classes)
    }
}

/// One of the characters, each with the same probability.
fn draw(characters: &[u8], random: &mut dyn CryptoRng) -> Option<u8> {
    let count = u32::try_from(characters.len()).ok()?;
    let index = usize::try_from(below(count, random)).ok()?;
    characters.get(index).copied()
}

/// Fisher-Yates (Durstenfeld 1964).
fn shuffle(characters: &mut [u8], random: &mut dyn CryptoRng) {
    for last in (1..characters.len()).rev() {
        let bound = u32::try_from(last + 1).unwrap_or(u32::MAX);
        let other = usize::try_from(below(bound, random)).unwrap_or(last);
        characters.swap(last, other);
    }
}
