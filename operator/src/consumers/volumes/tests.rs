//! What volumes count for, by what their nodes said.

use strongroom_api::stream::proto::{self, NotApplied, Wiped};

use super::*;

const SECRET: SecretId = SecretId::from_bytes([1; 16]);
const OWNER: VolumeOwner<'static> = VolumeOwner {
    namespace: "shop",
    pod: "app-1",
    account: "serviceaccount shop/app",
};

/// The volume `vol` of the node `n` is told of the secret.
fn told(volumes: &VolumeTracker, shown: Option<&str>, at_start: Option<Option<&str>>) -> Vec<ConsumerChange> {
    let which = FollowedVersion::Stage("Current".parse().unwrap());
    let told = VolumeSecret {
        secret: SECRET,
        namespace: "shop",
        which: &which,
        shown,
        at_start,
    };
    volumes.secrets_sent("n", "vol", std::iter::once(told))
}

fn applied(outcome: applied_secret::Outcome) -> Applied {
    Applied {
        subscription: "vol".to_owned(),
        secrets: vec![proto::AppliedSecret {
            secret: 0,
            outcome: Some(outcome),
        }],
    }
}

/// The node says what became of the secret in `vol`.
fn is_now(volumes: &VolumeTracker, outcome: applied_secret::Outcome) -> Vec<ConsumerChange> {
    volumes.applied("n", &applied(outcome), |_| Some(SECRET))
}

fn version(id: &str) -> applied_secret::Outcome {
    applied_secret::Outcome::VersionId(id.to_owned())
}

#[test]
fn a_volume_that_is_read_once_counts_for_what_it_showed_first() {
    let volumes = VolumeTracker::default();
    let subscribe = |shown, first| {
        volumes.subscribed("n", "vol", OWNER);
        let _ = told(&volumes, shown, Some(first));
    };
    let is_now = |id| is_now(&volumes, version(id));
    let has = || {
        volumes
            .for_secret(SECRET)
            .first()
            .and_then(|it| it.effective_version().map(ToString::to_string))
    };
    subscribe(None, None);
    assert_eq!(has(), None);
    let _ = is_now("v-1");
    let _ = is_now("v-2");
    assert_eq!(has().as_deref(), Some("v-1"));
    assert_eq!(
        volumes.for_secret(SECRET)[0].shows.version(),
        Some(&"v-2".parse().unwrap())
    );
    // The node says both again after a new connection.
    subscribe(Some("v-3"), Some("v-1"));
    assert_eq!(has().as_deref(), Some("v-1"));
    // One that does not know any more what was first.
    subscribe(Some("v-3"), None);
    let _ = is_now("v-4");
    assert_eq!(has().as_deref(), Some("v-3"));
}

#[tokio::test(start_paused = true)]
async fn a_volume_counts_for_what_its_node_said_last() {
    let volumes = VolumeTracker::default();
    let of = || volumes.for_secret(SECRET);
    let shows = || of().into_iter().map(|it| it.shows).collect::<Vec<_>>();
    let told = |shown| told(&volumes, shown, None);
    let is_now = |outcome| is_now(&volumes, outcome);
    let shown = |id: &str| ShownVersion::Version(id.parse().unwrap());
    let news = [ConsumerChange::Secret("shop".to_owned(), SECRET)];
    assert_eq!(is_now(version("v-1")), []);
    assert_eq!(shows(), [], "nobody subscribed yet");
    volumes.subscribed("n", "vol", OWNER);
    assert_eq!(told(None), news);
    assert_eq!(shows(), [ShownVersion::Nothing]);
    assert_eq!(is_now(version("v-1")), news);
    assert_eq!(told(None), []);
    assert_eq!(shows(), [shown("v-1")]);
    assert_eq!(is_now(version("v-1")), [], "nothing new");
    assert_eq!(is_now(version("not a version")), []);
    let other = SecretId::from_bytes([2; 16]);
    assert_eq!(
        volumes.applied("n", &applied(version("v-2")), |_| Some(other)),
        []
    );
    assert_eq!(shows(), [shown("v-1")]);
    let not = NotApplied {
        version_id: "v-2".to_owned(),
        ..NotApplied::default()
    };
    assert_eq!(is_now(applied_secret::Outcome::NotApplied(not)), news);
    assert_eq!(of()[0].shows.version(), Some(&"v-1".parse().unwrap()));
    assert_eq!(is_now(applied_secret::Outcome::Wiped(Wiped {})), news);
    assert_eq!(shows(), [ShownVersion::Wiped]);
    assert_eq!(of()[0].pod, "app-1");
    assert_eq!(volumes.unsubscribed("n", "vol"), news);
    assert_eq!(shows(), []);
    assert!(volumes.0.lock().having.is_empty());
    volumes.subscribed("n", "vol", OWNER);
    assert_eq!(told(Some("v-0")), news);
    assert_eq!(shows(), [shown("v-0")]);

    // Its pods go on with what they have, whether or not it is connected.
    volumes.detached("n");
    assert_eq!((of()[0].away, shows()), (true, vec![shown("v-0")]));
    // Back again it may need a token for the volume first, and counts meanwhile.
    volumes.attached("n");
    assert_eq!((of()[0].away, shows()), (true, vec![shown("v-0")]));
    volumes.subscribed("n", "vol", OWNER);
    assert_eq!(shows(), []);
    let _ = told(Some("v-1"));
    assert_eq!((of()[0].away, shows()), (false, vec![shown("v-1")]));
    // One that it does not say again was gone; it has its time from the last return on.
    volumes.attached("n");
    tokio::time::advance(RESUBSCRIBE_TIMEOUT / 2).await;
    volumes.detached("n");
    tokio::time::advance(RESUBSCRIBE_TIMEOUT).await;
    volumes.attached("n");
    tokio::time::advance(RESUBSCRIBE_TIMEOUT - Duration::from_secs(1)).await;
    assert_eq!(volumes.forget(), []);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(volumes.forget(), news);
    assert_eq!(shows(), []);
    volumes.subscribed("n", "vol", OWNER);
    let _ = told(Some("v-0"));
    volumes.detached("n");
    tokio::time::advance(AWAY_NODE_TTL - Duration::from_secs(1)).await;
    assert_eq!(volumes.forget(), []);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(volumes.forget(), news);
    assert_eq!(shows(), []);
    assert!(volumes.0.lock().having.is_empty() && volumes.0.lock().nodes.is_empty());
}

#[test]
fn a_volume_below_a_sub_path_counts_for_what_was_there_when_its_container_started() {
    let volumes = VolumeTracker::default();
    let subscribe = |shown| {
        volumes.subscribed("n", "vol", OWNER);
        let _ = told(&volumes, shown, None);
    };
    let is_now = |id| is_now(&volumes, version(id));
    let now = Timestamp::now();
    let minute = jiff::SignedDuration::from_secs(60);
    let has = |started: Timestamp, previous: Option<&str>| {
        let mut of = volumes.for_secret(SECRET);
        of[0].pin(started, previous, now);
        of[0].effective_version().map(ToString::to_string)
    };
    subscribe(None);
    let _ = is_now("v-1");
    let _ = is_now("v-2");
    assert_eq!(has(now - minute, Some("v-1")).as_deref(), Some("v-1"));
    // A container that started after the change has the new one.
    assert_eq!(has(now + minute, Some("v-1")).as_deref(), Some("v-2"));
    assert_eq!(
        volumes.of_pod("shop", "app-1"),
        [ConsumerChange::Secret("shop".to_owned(), SECRET)]
    );
    // After a restart of this process it is not known what was there at the start.
    subscribe(Some("v-2"));
    assert_eq!(has(now - minute, Some("v-1")).as_deref(), Some("v-1"));
    assert_eq!(has(now - minute, None).as_deref(), Some("v-2"));
    assert_eq!(has(now + minute, Some("v-1")).as_deref(), Some("v-2"));
}
