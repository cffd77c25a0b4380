//! Where audit records go, as a value: how it is called, and the way there.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use strongroom_model::ProductCode;
use strongroom_model::name::CursorName;

use super::cursor::ReaderScope;
use super::product_filter::ProductFilter;
use super::sink::Sink;
use crate::products::SinkBacklogHandle;

/// One system that takes audit records; cheap to clone.
#[derive(Clone)]
pub(crate) struct Destination {
    /// As logs and metrics name it, without its options.
    shown: String,
    cursor: CursorName,
    scope: ReaderScope,
    /// Of a product's own sink: what of the records is for it.
    product: Option<Arc<ProductFilter>>,
    /// Likewise, what waits for it.
    backlog: SinkBacklogHandle,
    open: Arc<dyn Fn() -> Box<dyn Sink> + Send + Sync>,
}

#[expect(
    clippy::expect_used,
    reason = "constants, and hexadecimal digits after a word, are cursors' names, which tests read"
)]
fn cursor_name(text: &str) -> CursorName {
    text.parse().expect("a cursor's name")
}

/// Tells texts apart, in 32 characters.
fn short_digest(texts: &[&str]) -> String {
    let digest = Sha256::digest(texts.join("\0"));
    HEXLOWER.encode(digest.get(..16).unwrap_or_default())
}

/// Whether it is an address of this host: a name may lead anywhere.
pub(super) fn is_this_host(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Destination").field(&self.shown).finish()
    }
}

impl Destination {
    /// The destination of this name, and the way there.
    pub(super) fn new<S: Sink + 'static>(
        shown: String,
        open: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        // The same for the same place, whatever else there is.
        let cursor = format!("sink-{}", short_digest(&[&shown]));
        Self::with_cursor(shown, &cursor, ReaderScope::All, open)
    }

    /// One that takes changes alone, and whose cursor is called what it is.
    pub(super) fn for_changes<S: Sink + 'static>(
        shown: &str,
        open: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        Self::with_cursor(shown.to_owned(), shown, ReaderScope::Changes, open)
    }

    /// The same place for the records of one product alone. Its cursor is of both: what was sent there of
    /// other records does not count.
    pub(super) fn for_product(self, filter: ProductFilter) -> Self {
        let cursor = format!("product-{}", short_digest(&[&self.shown, filter.code().as_str()]));
        Self {
            shown: filter.name().to_owned(),
            cursor: cursor_name(&cursor),
            product: Some(Arc::new(filter)),
            ..self
        }
    }

    fn with_cursor<S: Sink + 'static>(
        shown: String,
        cursor: &str,
        scope: ReaderScope,
        open: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        Self {
            shown,
            cursor: cursor_name(cursor),
            scope,
            product: None,
            backlog: SinkBacklogHandle::default(),
            open: Arc::new(move || -> Box<dyn Sink> { Box::new(open()) }),
        }
    }

    /// The name of its cursor in the store.
    pub(super) const fn cursor(&self) -> &CursorName {
        &self.cursor
    }

    /// Which chains it takes.
    pub(super) const fn scope(&self) -> ReaderScope {
        self.scope
    }

    /// What of the records is for it, where it is a product's own sink.
    pub(super) const fn product(&self) -> Option<&Arc<ProductFilter>> {
        self.product.as_ref()
    }

    /// What people call it, whose it is, and what waits for it, where it is a product's own sink.
    pub(crate) fn product_sink(&self) -> Option<(&str, &ProductCode, &SinkBacklogHandle)> {
        let filter = self.product.as_deref()?;
        Some((filter.name(), filter.code(), &self.backlog))
    }

    /// What waits for it, where it is a product's own sink.
    pub(super) const fn backlog(&self) -> &SinkBacklogHandle {
        &self.backlog
    }

    /// The way there; nothing is opened yet.
    pub(super) fn sink(&self) -> Box<dyn Sink> {
        (self.open)()
    }
}
