//! The grammar of a secret's name, for all who check one: the store, the schemas of the custom resources, the
//! API's document, templates and the CLI.

/// Longest name of a secret, in bytes.
pub const SECRET_NAME_BYTES: usize = 192;

/// The characters of a name, as a class of a regular expression without its brackets.
pub const SECRET_NAME_CLASS: &str = "-a-zA-Z0-9_/+=.@";

/// What every name matches, those of products among them.
pub const SECRET_NAME_PATTERN: &str = "^[-a-zA-Z0-9_/+=.@!]{1,192}$";

/// Stands between the code of a product and the identifier of its default secret, and nowhere else.
pub const PRODUCT_SEPARATOR: char = '!';

/// Whether a byte may stand in a name that is not a product's.
#[must_use]
pub const fn is_secret_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'+' | b'=' | b'.' | b'-' | b'@')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The characters that a class of a regular expression stands for.
    fn expanded(class: &str) -> Vec<u8> {
        let bytes = class.as_bytes();
        let mut all = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            if at + 2 < bytes.len() && bytes[at] != b'-' && bytes[at + 1] == b'-' {
                all.extend(bytes[at]..=bytes[at + 2]);
                at += 3;
            } else {
                all.push(bytes[at]);
                at += 1;
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn the_class_the_pattern_and_the_function_say_the_same() {
        let legal: Vec<u8> = (0..=u8::MAX).filter(|byte| is_secret_name_byte(*byte)).collect();
        assert_eq!(expanded(SECRET_NAME_CLASS), legal);
        assert_eq!(
            SECRET_NAME_PATTERN,
            format!("^[{SECRET_NAME_CLASS}{PRODUCT_SEPARATOR}]{{1,{SECRET_NAME_BYTES}}}$")
        );
    }
}
