//! Variables of a ValidatingAdmissionPolicy, which the evaluator of kube does not know: each is put in its
//! place.

/// The text with `variables.NAME` replaced by what it stands for.
pub(crate) fn in_place(text: &str, name: &str, expression: &str) -> String {
    let variable = format!("variables.{name}");
    let mut parts = text.split(variable.as_str());
    let mut replaced = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let longer = part.starts_with(|next: char| next.is_ascii_alphanumeric());
        replaced.push_str(&if longer {
            variable.clone()
        } else {
            format!("({expression})")
        });
        replaced.push_str(part);
    }
    replaced
}
