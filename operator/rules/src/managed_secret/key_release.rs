//! The tenant's permission to take a default secret out from under an EncryptionKey: for one move, of the
//! object as the tenant saw it.
//!
//! INVARIANT: a permission counts once. It names the generation of the object, which the move itself changes,
//! and so does a move back under the key.

/// What the annotation `strongroom.dev/allow-default-key` says to let the secret leave the key, on an object
/// of this generation that names it.
#[must_use]
pub fn leave(key: &str, generation: i64) -> String {
    format!("{key}/{generation}")
}

/// Whether the annotation, as it is written, lets a secret under `held` come under the default key, by an
/// object of this generation. It may name the key yet, or name none by the one change since.
#[must_use]
pub fn lets_leave(annotation: Option<&str>, held: &str, (generation, key): (i64, Option<&str>)) -> bool {
    let given_at = match key {
        Some(key) if key != held => return false,
        Some(_) => Some(generation),
        None => generation.checked_sub(1),
    };
    given_at.is_some_and(|generation| annotation == Some(leave(held, generation).as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leave_counts_for_one_move_from_under_one_key() {
        let pay = Some("pay");
        for (annotation, held, object, expected) in [
            (Some("pay/3"), "pay", (3, pay), true),
            // The object names no key any more, and the secret follows.
            (Some("pay/3"), "pay", (4, None), true),
            // Under the key again, and away from it.
            (Some("pay/3"), "pay", (5, pay), false),
            (Some("pay/3"), "pay", (6, None), false),
            // Something else changed first.
            (Some("pay/3"), "pay", (5, None), false),
            (Some("pay/3"), "pay", (2, pay), false),
            // Another key's.
            (Some("pay/3"), "other", (3, Some("other")), false),
            (Some("pay/3"), "other", (4, None), false),
            (Some("pay/3"), "pay", (3, Some("other")), false),
            (Some("pay"), "pay", (3, pay), false),
            (Some("true"), "pay", (3, pay), false),
            (Some("pay/03"), "pay", (3, pay), false),
            (None, "pay", (3, pay), false),
            (Some("pay/1"), "pay", (i64::MIN, None), false),
        ] {
            let said = lets_leave(annotation, held, object);
            assert_eq!(said, expected, "{annotation:?} {held} {object:?}");
        }
    }
}
