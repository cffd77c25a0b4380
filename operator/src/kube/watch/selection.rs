//! Which objects of a kind are asked for, and what of each.

use kube::api::{ListParams, WatchParams};
use kube::core::Request;

use super::page_size::PageSize;

/// Which objects, and what of each.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    metadata: bool,
    labels: Option<String>,
    fields: Option<String>,
}

impl Selection {
    /// All objects, whole.
    pub(crate) const fn whole() -> Self {
        Self {
            metadata: false,
            labels: None,
            fields: None,
        }
    }

    /// All objects, and of each its metadata alone: nothing else of it leaves the API server
    /// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-metadata-only>).
    pub(crate) const fn metadata() -> Self {
        Self {
            metadata: true,
            labels: None,
            fields: None,
        }
    }

    /// Those with these labels.
    pub(crate) fn labels(self, selector: &str) -> Self {
        Self {
            labels: Some(selector.to_owned()),
            ..self
        }
    }

    /// Those with these fields.
    pub(crate) fn fields(self, selector: &str) -> Self {
        Self {
            fields: Some(selector.to_owned()),
            ..self
        }
    }

    /// The request of a page. It names no `resourceVersion`: the answer is no older than the request
    /// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list>).
    pub(super) fn page(
        &self,
        url: &str,
        size: PageSize,
        continue_token: Option<&str>,
    ) -> kube::Result<http::Request<Vec<u8>>> {
        let params = ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            limit: Some(size.limit()),
            continue_token: continue_token.map(str::to_owned),
            ..ListParams::default()
        };
        let request = Request::new(url);
        let request = if self.metadata {
            request.list_metadata(&params)
        } else {
            request.list(&params)
        };
        request.map_err(kube::Error::BuildRequest)
    }

    /// The request of a watch from this version on.
    pub(super) fn watch(&self, url: &str, version: &str) -> kube::Result<http::Request<Vec<u8>>> {
        let params = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: None,
            bookmarks: true,
            send_initial_events: false,
        };
        let request = Request::new(url);
        let request = if self.metadata {
            request.watch_metadata(&params, version)
        } else {
            request.watch(&params, version)
        };
        request.map_err(kube::Error::BuildRequest)
    }
}
