//! A list and then a watch of a kind, again and again: what `kube::runtime::watcher` does, and says in the
//! same events and errors, but that a list is read object by object.

use std::time::Duration;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use kube::core::WatchEvent;
use kube::runtime::watcher::{Error, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::pages::{ObjectPage, PageEnd, PageRequest};
use super::selection::Selection;

/// A watch that is silent for so long is dead: the API server ends each within 290 s, and sends bookmarks
/// before.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(295);

struct WatchTarget {
    client: Client,
    url: String,
    selection: Selection,
}

/// How far it is.
enum State<K> {
    /// The list begins.
    Empty,
    /// A page is to be asked for.
    NextPage(PageRequest),
    /// A page is being read.
    Page(Box<ObjectPage>),
    /// What has happened since this version is to be asked for.
    Listed { version: String },
    /// What happens after this version is being told.
    Watching {
        version: String,
        events: BoxStream<'static, kube::Result<WatchEvent<K>>>,
    },
}

/// The objects of a kind, and what happens to them. After an error it goes on when it is asked again; a
/// caller who is asked to wait does so.
pub(crate) fn watcher<K>(
    api: Api<K>,
    selection: Selection,
) -> impl Stream<Item = Result<Event<K>, Error>> + Send
where
    K: Resource + Clone + DeserializeOwned + Send + 'static,
{
    let watched = WatchTarget {
        url: api.resource_url().to_owned(),
        client: api.into_client(),
        selection,
    };
    stream::unfold((watched, State::Empty), |(watched, mut state)| async move {
        loop {
            let (said, next) = step(&watched, state).await;
            state = next;
            if let Some(said) = said {
                return Some((said, (watched, state)));
            }
        }
    })
}

/// One step: what is to be said, if anything, and how far it is then.
async fn step<K>(watched: &WatchTarget, state: State<K>) -> (Option<Result<Event<K>, Error>>, State<K>)
where
    K: Resource + Clone + DeserializeOwned + Send + 'static,
{
    match state {
        State::Empty => (Some(Ok(Event::Init)), State::NextPage(PageRequest::default())),
        State::NextPage(next) => {
            let place = (watched.url.as_str(), &watched.selection);
            match ObjectPage::ask(&watched.client, place, &next).await {
                Ok(page) => (None, State::Page(Box::new(page))),
                Err(error) => (Some(Err(Error::InitialListFailed(error))), State::Empty),
            }
        }
        State::Page(mut page) => match page.next().await {
            Ok(Some(object)) => (Some(Ok(Event::InitApply(object))), State::Page(page)),
            Ok(None) => match page.end() {
                Ok(PageEnd::Page(next)) => (None, State::NextPage(next)),
                Ok(PageEnd::Complete {
                    version: Some(version),
                }) => (Some(Ok(Event::InitDone)), State::Listed { version }),
                Ok(PageEnd::Complete { version: None }) => {
                    (Some(Err(Error::NoResourceVersion)), State::Empty)
                }
                Err(error) => (Some(Err(Error::InitialListFailed(error))), State::Empty),
            },
            Err(error) => (Some(Err(Error::InitialListFailed(error))), State::Empty),
        },
        State::Listed { version } => match watch(watched, &version).await {
            Ok(events) => (None, State::Watching { version, events }),
            Err(error) => (
                Some(Err(Error::WatchStartFailed(error))),
                State::Listed { version },
            ),
        },
        State::Watching { version, mut events } => {
            match tokio::time::timeout(SILENCE_TIMEOUT, events.next()).await {
                Ok(Some(Ok(event))) => told(event, version, events),
                Ok(Some(Err(error))) => (
                    Some(Err(Error::WatchFailed(error))),
                    State::Watching { version, events },
                ),
                Ok(None) | Err(_) => (None, State::Listed { version }),
            }
        }
    }
}

async fn watch<K>(
    watched: &WatchTarget,
    version: &str,
) -> kube::Result<BoxStream<'static, kube::Result<WatchEvent<K>>>>
where
    K: Clone + DeserializeOwned + Send + 'static,
{
    let request = watched.selection.watch(&watched.url, version)?;
    let events = watched.client.request_events(request).await?;
    Ok(events.boxed())
}

fn told<K: Resource>(
    event: WatchEvent<K>,
    before: String,
    events: BoxStream<'static, kube::Result<WatchEvent<K>>>,
) -> (Option<Result<Event<K>, Error>>, State<K>) {
    let object = |object: K, event: fn(K) -> Event<K>, events| match object
        .resource_version()
        .filter(|version| !version.is_empty())
    {
        Some(version) => (Some(Ok(event(object))), State::Watching { version, events }),
        None => (Some(Err(Error::NoResourceVersion)), State::Empty),
    };
    match event {
        WatchEvent::Added(applied) | WatchEvent::Modified(applied) => object(applied, Event::Apply, events),
        WatchEvent::Deleted(deleted) => object(deleted, Event::Delete, events),
        WatchEvent::Bookmark(bookmark) => {
            let version = bookmark.metadata.resource_version;
            (None, State::Watching { version, events })
        }
        // The version is too old: only a list says what has happened since.
        WatchEvent::Error(status) if status.code == 410 => {
            (Some(Err(Error::WatchError(status))), State::Empty)
        }
        WatchEvent::Error(status) => (
            Some(Err(Error::WatchError(status))),
            State::Watching {
                version: before,
                events,
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::pin::Pin;

    use k8s_openapi::api::core::v1::Secret;
    use kube::core::{DynamicObject, PartialObjectMeta};
    use serde_json::{Value as Json, json};
    use strongroom_crds::v1alpha1::ManagedSecret;
    use strongroom_testing::api_server::{ApiServer, NS, SECRETS};
    use strongroom_testing::wait::within;

    use super::super::list;
    use super::*;
    use crate::controllers::testing::ControllerFixture;

    const ALL: &str = "/apis/strongroom.dev/v1alpha1/managedsecrets";

    fn put(server: &ApiServer, name: &str, text: &str) {
        let metadata = json!({"name": name, "namespace": NS, "annotations": {"text": text}});
        server.put(
            &ControllerFixture::path(name),
            json!({"metadata": metadata, "spec": {}}),
        );
    }

    /// Any object of the kind, as it comes.
    fn objects(server: &ApiServer) -> Api<PartialObjectMeta<ManagedSecret>> {
        Api::all(server.client())
    }

    type Events<K> = Pin<Box<dyn Stream<Item = Result<Event<K>, Error>> + Send>>;

    fn watched(server: &ApiServer) -> Events<PartialObjectMeta<ManagedSecret>> {
        Box::pin(watcher(objects(server), Selection::whole()))
    }

    async fn next<K: Resource>(events: &mut Events<K>) -> String {
        match within(events.next()).await.expect("a watch has no end") {
            Ok(event) => event.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Everything up to the end of a list.
    async fn listed<K: Resource>(events: &mut Events<K>) -> Vec<String> {
        assert_eq!(next(events).await, "Init");
        let mut found = Vec::new();
        loop {
            match next(events).await {
                done if done == "InitDone" => return found,
                event => found.push(event),
            }
        }
    }

    #[tokio::test]
    async fn a_list_comes_in_pages_and_then_what_happens() {
        let server = ApiServer::default();
        let names: Vec<String> = (0..130).map(|number| format!("db-{number:03}")).collect();
        for name in &names {
            put(&server, name, "short");
        }
        let mut events = watched(&server);
        let all: Vec<String> = names.iter().map(|name| format!("InitApply({name})")).collect();
        assert_eq!(listed(&mut events).await, all);
        // Twenty, a hundred and the rest.
        assert_eq!(server.log(), vec![format!("GET {ALL}"); 3]);
        let (told, ()) = futures::join!(next(&mut events), async {
            server.until_watched().await;
            put(&server, "late", "short");
        });
        assert_eq!(told, "Apply(late)");
        server.remove(&ControllerFixture::path("late"));
        assert_eq!(next(&mut events).await, "Delete(late)");
    }

    #[tokio::test]
    async fn pages_of_large_objects_are_small() {
        let server = ApiServer::default();
        for number in 0..40 {
            put(&server, &format!("db-{number}"), &"x".repeat(1_200_000));
        }
        assert_eq!(listed(&mut watched(&server)).await.len(), 40);
        // Twenty of which nothing is known, and then by four.
        assert_eq!(server.log().len(), 1 + 5);
    }

    #[tokio::test]
    async fn a_list_that_breaks_off_begins_again() {
        let server = ApiServer::default();
        for number in 0..30 {
            put(&server, &format!("db-{number}"), "short");
        }
        server.fail_after(ALL, 1, 500);
        let mut events = watched(&server);
        assert_eq!(next(&mut events).await, "Init");
        let mut before = 0;
        let said = loop {
            match next(&mut events).await {
                event if event.starts_with("InitApply") => before += 1,
                other => break other,
            }
        };
        assert_eq!(before, 20);
        assert!(
            said.starts_with("failed to perform initial object list"),
            "{said}"
        );
        assert_eq!(listed(&mut events).await.len(), 30);
    }

    #[tokio::test]
    async fn a_version_that_is_too_old_leads_to_a_new_list() {
        let server = ApiServer::default();
        put(&server, "a", "short");
        let mut events = watched(&server);
        assert_eq!(listed(&mut events).await.len(), 1);
        let (said, ()) = futures::join!(next(&mut events), async {
            server.until_watched().await;
            server.expire(ALL, || put(&server, "b", "short"));
        });
        assert!(said.contains("too old resource version"), "{said}");
        assert_eq!(listed(&mut events).await, ["InitApply(a)", "InitApply(b)"]);
    }

    #[tokio::test]
    async fn of_metadata_nothing_else_leaves_the_api_server() {
        let server = ApiServer::default();
        let secret = |name: &str| json!({"metadata": {"name": name, "namespace": NS, "uid": "u"}, "data": {"password": "aHVudGVyMg=="}});
        server.put(&format!("{SECRETS}/a"), secret("a"));
        let api: Api<DynamicSecret> = Api::all(server.client());
        let mut events: Events<DynamicSecret> = Box::pin(watcher(api, Selection::metadata()));
        assert_eq!(next(&mut events).await, "Init");
        let first = events.next().await.unwrap().unwrap();
        assert!(
            matches!(&first, Event::InitApply(it) if it.data == Json::Null),
            "{first:?}"
        );
        assert_eq!(next(&mut events).await, "InitDone");
        let (then, ()) = futures::join!(events.next(), async {
            server.until_watched().await;
            server.put(&format!("{SECRETS}/b"), secret("b"));
        });
        let then = then.unwrap().unwrap();
        assert!(
            matches!(&then, Event::Apply(it) if it.data == Json::Null),
            "{then:?}"
        );
    }

    /// A native Secret with whatever came of it.
    #[derive(Clone, Debug, serde::Deserialize)]
    struct DynamicSecret {
        metadata: kube::core::ObjectMeta,
        #[serde(default)]
        data: Json,
    }

    impl Resource for DynamicSecret {
        type DynamicType = ();
        type Scope = <Secret as Resource>::Scope;

        fn kind(dt: &()) -> std::borrow::Cow<'_, str> {
            Secret::kind(dt)
        }

        fn group(dt: &()) -> std::borrow::Cow<'_, str> {
            Secret::group(dt)
        }

        fn version(dt: &()) -> std::borrow::Cow<'_, str> {
            Secret::version(dt)
        }

        fn plural(dt: &()) -> std::borrow::Cow<'_, str> {
            Secret::plural(dt)
        }

        fn meta(&self) -> &kube::core::ObjectMeta {
            &self.metadata
        }

        fn meta_mut(&mut self) -> &mut kube::core::ObjectMeta {
            &mut self.metadata
        }
    }

    #[tokio::test]
    async fn a_list_shows_each_object_until_it_is_enough() {
        let server = ApiServer::default();
        for number in 0..50 {
            put(&server, &format!("db-{number:02}"), "short");
        }
        let found = async |most: usize| {
            let mut found = Vec::new();
            list(objects(&server), Selection::whole(), |object: DynamicObject| {
                found.push(object.name_any());
                if found.len() < most {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })
            .await
            .map(|()| found)
        };
        assert_eq!(found(usize::MAX).await.unwrap().len(), 50);
        assert_eq!(found(3).await.unwrap(), ["db-00", "db-01", "db-02"]);
        server.fail_after(ALL, 1, 500);
        assert!(found(usize::MAX).await.is_err());
    }
}
