//! Lists by pages, of which each object is read on its own.

use std::ops::ControlFlow;
use std::pin::Pin;

use futures::{AsyncBufRead, AsyncBufReadExt};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::list_parser::{ListParseError, ListParser};
use super::page_size::PageSize;
use super::selection::Selection;

/// Where the next page begins, or the version of a list that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PageEnd {
    /// There is another page.
    Page(PageRequest),
    /// That was the last one.
    Complete {
        /// `metadata.resourceVersion` of the list.
        version: Option<String>,
    },
}

/// A page to ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PageRequest {
    size: PageSize,
    token: Option<String>,
}

/// A page that is being read.
pub(super) struct ObjectPage {
    answer: Pin<Box<dyn AsyncBufRead + Send>>,
    items: ListParser,
    size: PageSize,
    objects: usize,
    bytes: usize,
}

impl ObjectPage {
    /// Asks for a page.
    ///
    /// # Errors
    /// The API server's.
    pub(super) async fn ask(
        client: &Client,
        (url, selection): (&str, &Selection),
        next: &PageRequest,
    ) -> kube::Result<Self> {
        let request = selection.page(url, next.size, next.token.as_deref())?;
        let answer = client.request_stream(request).await?;
        Ok(Self {
            answer: Box::pin(answer),
            items: ListParser::default(),
            size: next.size,
            objects: 0,
            bytes: 0,
        })
    }

    /// The next object.
    ///
    /// # Errors
    /// The answer breaks off, or the object does not fit its type.
    pub(super) async fn next<K: DeserializeOwned>(&mut self) -> kube::Result<Option<K>> {
        loop {
            let bytes = self.answer.fill_buf().await.map_err(kube::Error::ReadEvents)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let fed = self.items.feed(bytes).map_err(broken)?;
            self.answer.consume_unpin(fed.used);
            if fed.complete {
                self.objects = self.objects.saturating_add(1);
                self.bytes = self.bytes.saturating_add(self.items.bytes());
                let object = self.items.take(|text| serde_json::from_slice(text));
                return object.map(Some).map_err(kube::Error::SerdeError);
            }
        }
    }

    /// What comes after it.
    ///
    /// # Errors
    /// The answer broke off, or is no list.
    pub(super) fn end(self) -> kube::Result<PageEnd> {
        let beside = self.items.end().map_err(broken)?;
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(match some(beside.continue_) {
            Some(token) => PageEnd::Page(PageRequest {
                size: self.size.after(self.objects, self.bytes),
                token: Some(token),
            }),
            None => PageEnd::Complete {
                version: some(beside.resource_version),
            },
        })
    }
}

fn broken(error: ListParseError) -> kube::Error {
    kube::Error::ReadEvents(std::io::Error::other(error))
}

/// Shows `each` every object of a list, until it breaks. `T` is what is read of each.
///
/// # Errors
/// The API server's; the list is not complete then.
pub(crate) async fn list<K: Resource, T: DeserializeOwned>(
    api: Api<K>,
    selection: Selection,
    mut each: impl FnMut(T) -> ControlFlow<()>,
) -> kube::Result<()> {
    let url = api.resource_url().to_owned();
    let client = api.into_client();
    let mut next = PageRequest::default();
    loop {
        let mut page = ObjectPage::ask(&client, (&url, &selection), &next).await?;
        while let Some(object) = page.next().await? {
            if each(object).is_break() {
                return Ok(());
            }
        }
        match page.end()? {
            PageEnd::Page(following) => next = following,
            PageEnd::Complete { .. } => return Ok(()),
        }
    }
}
