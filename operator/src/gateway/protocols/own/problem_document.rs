//! Writes problem documents (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use strongroom_model::id::RequestId;

use crate::gateway::problem::{Code, Problem};

impl Problem {
    /// The answer as it leaves.
    pub(in crate::gateway) fn document(self, request: &RequestId) -> Response<Body> {
        // A document of texts is always JSON.
        let body = serde_json::to_vec(&self.to_document(request)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status(self.code());
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.wait() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code() == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The HTTP status of a code.
pub(super) fn status(code: Code) -> StatusCode {
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The status alone, of a request that got no id; of any other [`Problem::document`] says more.
impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(self.code());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_is_a_document_of_its_own_type() {
        let request = RequestId::generate().unwrap();
        let problem = Problem::new(Code::TooManyRequests, "slower").retry_after(2);
        let response = problem.document(&request);
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["retry-after"], "2");
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["code"], "TooManyRequests");
        assert_eq!(body["requestId"], request.to_string());
        assert_eq!(body.get("missingPolicies"), None);
    }
}
