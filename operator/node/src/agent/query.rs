//! What a request asks for: pure.

use http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;

use super::error::{QueryError, printable};
use super::stage;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AgentRequest {
    /// Whether anybody is there.
    Ping,
    /// Read one of the volume's secrets.
    Secret(Query),
}

/// A secret, and which version of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Its name, or what the volume calls it.
    pub(super) secret: String,
    /// `versionId`, if that was given.
    pub(super) version: Option<String>,
    /// The stage, by our name.
    pub(super) stage: Option<String>,
}

/// Reads a request.
///
/// # Errors
/// A [`QueryError`].
pub(super) fn parse(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<AgentRequest, QueryError> {
    // Whoever forwards what others say may be made to forward this.
    if headers.contains_key("x-forwarded-for") {
        return Err(QueryError::Forwarded);
    }
    if method != Method::GET {
        return Err(QueryError::Method);
    }
    let mut query = match uri.path() {
        "/ping" => return Ok(AgentRequest::Ping),
        "/secretsmanager/get" => parameters(uri, true)?,
        path => {
            let name = path.strip_prefix("/v1/").ok_or(QueryError::Path)?;
            let name = percent_decode_str(name).decode_utf8();
            Query {
                secret: name.map_err(|_| QueryError::Encoding)?.into_owned(),
                ..parameters(uri, false)?
            }
        }
    };
    if query.secret.is_empty() {
        return Err(QueryError::NoSecretId);
    }
    query.stage = query.stage.map(|stage| stage::canonical(&stage).to_owned());
    Ok(AgentRequest::Secret(query))
}

fn parameters(uri: &Uri, named: bool) -> Result<Query, QueryError> {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(uri.query().unwrap_or_default()).map_err(|_| QueryError::Encoding)?;
    let mut query = Query::default();
    for (name, text) in pairs {
        match name.as_str() {
            "secretId" if named => query.secret = text,
            "versionId" => query.version = Some(text),
            "versionStage" => query.stage = Some(text),
            "refreshNow" if ["true", "false", "1", "0"].contains(&text.to_lowercase().as_str()) => {}
            "refreshNow" => return Err(QueryError::Refresh),
            other => return Err(QueryError::Parameter(printable(other))),
        }
    }
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(uri: &str) -> Result<AgentRequest, QueryError> {
        parse(&Method::GET, &uri.parse().unwrap(), &HeaderMap::new())
    }

    fn query(secret: &str, version: Option<&str>, stage: Option<&str>) -> Result<AgentRequest, QueryError> {
        Ok(AgentRequest::Secret(Query {
            secret: secret.to_owned(),
            version: version.map(str::to_owned),
            stage: stage.map(str::to_owned),
        }))
    }

    #[test]
    fn both_forms_of_a_request_are_read() {
        for (uri, expected) in [
            ("/secretsmanager/get?secretId=db", query("db", None, None)),
            (
                "/secretsmanager/get?secretId=mail%2Fsmtp&versionStage=AWSPREVIOUS&refreshNow=TRUE",
                query("mail/smtp", None, Some("Previous")),
            ),
            (
                "/secretsmanager/get?versionId=v-1&secretId=a+b",
                query("a b", Some("v-1"), None),
            ),
            ("/v1/db", query("db", None, None)),
            (
                "/v1/mail/smtp?versionId=v-1",
                query("mail/smtp", Some("v-1"), None),
            ),
            (
                "/v1/a%2fb+c?versionStage=blue",
                query("a/b+c", None, Some("blue")),
            ),
            ("/ping", Ok(AgentRequest::Ping)),
        ] {
            assert_eq!(get(uri), expected, "{uri}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (uri, refusal) in [
            ("/", QueryError::Path),
            ("/v2/db", QueryError::Path),
            ("/secretsmanager/get", QueryError::NoSecretId),
            ("/v1/", QueryError::NoSecretId),
            ("/v1/db?secretId=x", QueryError::Parameter("secretId".to_owned())),
            ("/v1/db?sauce=x", QueryError::Parameter("sauce".to_owned())),
            ("/v1/db?refreshNow=maybe", QueryError::Refresh),
            ("/v1/%ff", QueryError::Encoding),
        ] {
            assert_eq!(get(uri), Err(refusal), "{uri}");
        }
        let uri: Uri = "/v1/db".parse().unwrap();
        assert_eq!(
            parse(&Method::POST, &uri, &HeaderMap::new()),
            Err(QueryError::Method)
        );
        let headers = HeaderMap::from_iter([(
            http::header::HeaderName::from_static("x-forwarded-for"),
            http::HeaderValue::from_static("10.0.0.1"),
        )]);
        assert_eq!(parse(&Method::GET, &uri, &headers), Err(QueryError::Forwarded));
    }
}
