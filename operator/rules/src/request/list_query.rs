//! The query of ListSecrets: `name` and `description` are found anywhere in the text; `label=key` or
//! `label=key=value`, several of them all.

/// Most secrets of a page.
pub const PAGE_LIMIT: usize = 100;
/// Most labels of a query.
pub const LABELS: usize = 10;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Secrets a page, 1 to [`PAGE_LIMIT`].
    pub limit: Option<usize>,
    /// Where the page before ended; not parsed.
    pub after: Option<String>,
    /// What the name holds.
    pub name: String,
    /// What the description holds.
    pub description: String,
    /// Keys of labels, and their values where those count. At most [`LABELS`].
    pub labels: Vec<(String, Option<String>)>,
}

/// Not a [`ListQuery`].
#[derive(Debug, thiserror::Error)]
pub enum ListQueryError {
    /// Not `application/x-www-form-urlencoded`
    /// (<https://url.spec.whatwg.org/#application/x-www-form-urlencoded>).
    #[error(transparent)]
    Encoding(#[from] serde_urlencoded::de::Error),
    /// No number, or one out of bounds.
    #[error("`limit` must be 1 to {PAGE_LIMIT}")]
    Limit,
    /// More labels than a query may have.
    #[error("at most {LABELS} labels")]
    Labels,
    /// A parameter that a list does not have.
    #[error("there is no such parameter; known are limit, after, name, description, label")]
    Unknown,
}

impl ListQuery {
    /// Reads a query, without its `?`.
    ///
    /// # Errors
    /// [`ListQueryError`]
    pub fn parse(query: &str) -> Result<Self, ListQueryError> {
        let mut read = Self::default();
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query)?;
        for (key, value) in pairs {
            match key.as_str() {
                "limit" => {
                    let limit = value.parse().ok();
                    let limit = limit.filter(|limit| (1..=PAGE_LIMIT).contains(limit));
                    read.limit = Some(limit.ok_or(ListQueryError::Limit)?);
                }
                "after" => read.after = Some(value),
                "name" => read.name = value,
                "description" => read.description = value,
                "label" if read.labels.len() < LABELS => {
                    read.labels.push(match value.split_once('=') {
                        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                        None => (value, None),
                    });
                }
                "label" => return Err(ListQueryError::Labels),
                _ => return Err(ListQueryError::Unknown),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_or_refused() {
        let query = ListQuery::parse("limit=2&after=a%2Fb&name=db&label=team&label=tier%3Dgold").unwrap();
        assert_eq!(query.limit, Some(2));
        assert_eq!(query.after.as_deref(), Some("a/b"));
        assert_eq!(query.name, "db");
        assert_eq!(
            query.labels,
            [
                ("team".to_owned(), None),
                ("tier".to_owned(), Some("gold".to_owned()))
            ]
        );
        for bad in ["limit=0", "limit=101", "limit=x", "colour=red"] {
            assert!(ListQuery::parse(bad).is_err(), "{bad}");
        }
        assert!(ListQuery::parse(&"label=a&".repeat(LABELS)).is_ok());
        assert!(matches!(
            ListQuery::parse(&"label=a&".repeat(LABELS + 1)),
            Err(ListQueryError::Labels)
        ));
    }
}
