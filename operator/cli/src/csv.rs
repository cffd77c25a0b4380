//! Comma-separated values as RFC 4180 has them, for spreadsheets as well: names and details come from others,
//! and a spreadsheet would run a cell that looks like a formula.

use strongroom_api::visible;

/// What begins a formula in a spreadsheet.
const FORMULA: [char; 4] = ['=', '+', '-', '@'];

/// A line of these cells, without its end.
pub(crate) fn record<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    cells.into_iter().map(cell).collect::<Vec<_>>().join(",")
}

fn cell(text: &str) -> String {
    // Without control characters there is no line break in a cell, and no tab before a formula.
    let text = visible(text);
    let apostrophe = if text.starts_with(FORMULA) { "'" } else { "" };
    if text.contains([',', '"']) {
        format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{apostrophe}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(
            record(["a", "", "b,c", "say \"no\"", "d e"]),
            "a,,\"b,c\",\"say \"\"no\"\"\",d e"
        );
        assert_eq!(record(["two\nlines\r"]), "two\\nlines\\r");
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (text, told) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
            ("\t=1", "\\t=1"),
            ("user jane", "user jane"),
        ] {
            assert_eq!(record([text]), told);
        }
    }
}
