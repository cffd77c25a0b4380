//! The text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>), made of what
//! `prometheus-client` writes, which is OpenMetrics: there, a counter has another name in its heading than in
//! its samples, so that tools of the text format find samples without a meaning.

/// Turns OpenMetrics into it: counters have one name, and there is no end mark.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut converted = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let headings = [line, lines.peek().copied().unwrap_or_default()];
        let counts = headings
            .iter()
            .any(|line| line.starts_with("# TYPE ") && line.ends_with(" counter"));
        match line.strip_prefix("# ").and_then(|head| head.split_once(' ')) {
            Some((kind @ ("HELP" | "TYPE"), rest)) if counts => {
                let (name, said) = rest.split_once(' ').unwrap_or((rest, ""));
                for part in ["# ", kind, " ", name, "_total ", said] {
                    converted.push_str(part);
                }
            }
            _ if line == "# EOF" => continue,
            _ => converted.push_str(line),
        }
        converted.push('\n');
    }
    converted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_has_the_name_of_its_samples_and_nothing_else_changes() {
        let text = "# HELP a_things Things of TYPE counter.\n# TYPE a_things counter\na_things_total{x=\"# EOF\"} 1\n\
                    # HELP a_size Size.\n# TYPE a_size gauge\na_size 2\n# EOF\n";
        assert_eq!(
            from_open_metrics(text),
            "# HELP a_things_total Things of TYPE counter.\n# TYPE a_things_total counter\n\
             a_things_total{x=\"# EOF\"} 1\n# HELP a_size Size.\n# TYPE a_size gauge\na_size 2\n"
        );
        assert_eq!(from_open_metrics("# EOF\n"), "");
    }
}
