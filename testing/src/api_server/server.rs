//! The server as a test has it: objects as JSON by path, each request recorded, and faults that are ordered.

use std::sync::Arc;
use std::{fmt, io};

use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value as Json, json};

use super::answer::{StatusAnswer, failure};
use super::managed_fields;
use super::objects::{COLLECTIONS, Change, Fault, Script, ScriptedAnswer, Server, Watcher};
use super::request::ApiRequest;

/// The namespace of the tests.
pub const NS: &str = "shop";
/// Where Secrets of that namespace are.
pub const SECRETS: &str = "/api/v1/namespaces/shop/secrets";

/// An API server in this process; cheap to clone. `client` of it speaks to it as to a real one.
#[derive(Clone, Default)]
pub struct ApiServer(Arc<Mutex<Server>>);

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ApiServer").finish_non_exhaustive()
    }
}

impl ApiServer {
    fn server(&self) -> MutexGuard<'_, Server> {
        self.0.lock()
    }

    /// Puts an object at its path, as somebody else would; UID and `resourceVersion` are given where absent.
    pub fn put(&self, path: &str, object: Json) -> Json {
        self.put_as("somebody", path, object)
    }

    /// Puts an object at its path, as this field manager would by an update.
    pub fn put_as(&self, manager: &str, path: &str, object: Json) -> Json {
        let mut server = self.server();
        let found = server.objects.get(path).cloned().unwrap_or(json!({}));
        let write = server.write(manager, "");
        server.store(path, managed_fields::updated(&found, object, write))
    }

    /// From now on admission changes every Secret that is written like this.
    pub fn admission(&self, mutate: impl Fn(&mut Json) + Send + 'static) {
        self.server().admission = Some(Box::new(mutate));
    }

    /// Admission changes nothing any more.
    pub fn no_admission(&self) {
        self.server().admission = None;
    }

    /// From now on `answer` answers every request whose line contains `part`, with a status and a body. Those
    /// requests are not recorded; where it fails, so does the connection.
    pub fn script<F, A>(&self, part: &str, answer: F)
    where
        F: Fn(ApiRequest) -> A + Send + Sync + 'static,
        A: Future<Output = io::Result<(u16, Json)>> + Send + 'static,
    {
        let answer = move |request| -> ScriptedAnswer { Box::pin(answer(request)) };
        self.server().scripts.push(Script {
            part: part.to_owned(),
            answer: Arc::new(answer),
        });
    }

    /// The object at a path.
    pub fn get(&self, path: &str) -> Option<Json> {
        self.server().objects.get(path).cloned()
    }

    /// Removes an object, as somebody else would.
    pub fn remove(&self, path: &str) {
        self.server().erase(path);
    }

    /// Every watch of this collection ends because its position has expired; what happens meanwhile, it
    /// misses.
    pub fn expire(&self, collection: &str, meanwhile: impl FnOnce()) {
        let watchers: Vec<_> = {
            let mut server = self.server();
            let (ended, kept) = std::mem::take(&mut server.watchers)
                .into_iter()
                .partition(|watcher| watcher.collection == collection);
            server.watchers = kept;
            ended
        };
        assert!(!watchers.is_empty(), "nobody watches {collection}");
        meanwhile();
        for watcher in watchers {
            let expired = failure(410, "Expired", "too old resource version").1;
            let _ = watcher
                .events
                .unbounded_send(json!({"type": "ERROR", "object": expired}));
        }
    }

    /// The next request whose line contains `part` is answered with `code`.
    pub fn fail(&self, part: &str, code: u16) {
        self.fail_after(part, 0, code);
    }

    /// As [`Self::fail`], after so many such requests have passed.
    pub fn fail_after(&self, part: &str, pass: usize, code: u16) {
        let message = "User \"test\" cannot use resource \"this\": ordered by the test";
        let answer = failure(code, "Ordered", message);
        let part = part.to_owned();
        self.server().faults.push_back(Fault { part, pass, answer });
    }

    /// The next request whose line contains `part` is answered with this Status.
    pub fn refuse(&self, part: &str, status: Json) {
        let code = status["code"].as_u64().unwrap().try_into().unwrap();
        let (part, answer) = (part.to_owned(), (code, status));
        self.server().faults.push_back(Fault {
            part,
            pass: 0,
            answer,
        });
    }

    /// Every request is answered with this error from now on; none: they are answered again.
    pub fn outage(&self, error: Option<(u16, &str)>) {
        self.server().outage = error.map(|(code, reason)| failure(code, reason, "ordered by the test"));
    }

    /// How many watches there are.
    pub fn watches(&self) -> usize {
        self.server().watchers.len()
    }

    /// Waits for the first watch.
    pub async fn until_watched(&self) {
        while self.watches() == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Nothing is ordered any more.
    pub fn no_faults(&self) {
        self.server().faults.clear();
    }

    /// The requests so far, as `METHOD path`, which are forgotten.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.server().log)
    }

    /// Those of the requests so far whose line contains `part`; all are forgotten.
    pub fn logged(&self, part: &str) -> Vec<String> {
        let mut log = self.log();
        log.retain(|line| line.contains(part));
        log
    }

    /// How many requests there were since [`Self::log`] was asked for.
    pub fn requests(&self) -> usize {
        self.server().log.len()
    }

    /// The objects whose paths begin like this.
    pub fn below(&self, path: &str) -> Vec<Json> {
        let server = self.server();
        let found = server.objects.iter().filter(|(at, _)| at.starts_with(path));
        found.map(|(_, object)| object.clone()).collect()
    }

    /// Reason and note of each Event so far.
    pub fn events(&self) -> Vec<(String, String)> {
        let text = |of: &Json| of.as_str().unwrap_or_default().to_owned();
        let events = self.below("/apis/events.k8s.io/").into_iter();
        events
            .map(|event| (text(&event["reason"]), text(&event["note"])))
            .collect()
    }

    /// The bytes of a native Secret's key; none: there is no such Secret or key.
    pub fn secret_key(&self, name: &str, key: &str) -> Option<Vec<u8>> {
        let secret = self.get(&format!("{SECRETS}/{name}"))?;
        let text = secret["data"][key].as_str()?.to_owned();
        data_encoding::BASE64.decode(text.as_bytes()).ok()
    }

    /// What a script answers to a request; none: no script is for it.
    pub(super) fn scripted(&self, request: &ApiRequest) -> Option<ScriptedAnswer> {
        let line = request.line();
        let scripts = self.server().scripts.clone();
        let script = scripts.iter().rfind(|script| line.contains(&script.part))?;
        Some((script.answer)(request.clone()))
    }

    /// What the objects answer to a request, which may change them.
    pub(super) fn answer(&self, request: &ApiRequest, change: Change, manager: &str) -> StatusAnswer {
        self.server().answer(request, (change, manager))
    }

    /// Events of a collection, or of one object of it, from the `resourceVersion` on that the request names.
    pub(super) fn watch(&self, request: &ApiRequest, metadata: bool) -> UnboundedReceiver<Json> {
        let (sender, receiver) = unbounded();
        let collection = COLLECTIONS
            .into_iter()
            .map(|(collection, _)| collection)
            .find(|known| *known == request.path);
        let since = request.parameter("resourceVersion");
        let mut server = self.server();
        let since = since.and_then(|version| version.parse().ok());
        let since = since.unwrap_or_else(|| server.version());
        let watcher = Watcher {
            collection: collection.expect("a collection that is watched"),
            name: request.selected(),
            metadata,
            events: sender,
        };
        server.watch(watcher, since);
        receiver
    }
}
