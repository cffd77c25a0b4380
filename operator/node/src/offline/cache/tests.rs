use strongroom_model::Value;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn who(account: &str) -> ServiceAccountId {
    ServiceAccountId {
        namespace: "shop".to_owned(),
        account_uid: account.to_owned(),
    }
}

fn wanted(name: &str) -> RequestedSecret {
    RequestedSecret {
        alias: name.to_owned(),
        namespace: None,
        name: name.to_owned(),
        version: RequestedVersion::Stage("Current".to_owned()),
    }
}

fn delivered(id: u8, version: &str, text: &str) -> DeliveredValue {
    let mut value = Value::new();
    value.insert("password", text.as_bytes().to_vec());
    DeliveredValue {
        secret_id: SecretId::new([id; 16]),
        version_id: version.to_owned(),
        kind: String::new(),
        value,
    }
}

struct Node {
    cache: Cache,
    key: CacheKey,
    keep: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let (keep, key) = (tempfile::tempdir().unwrap(), CacheKey::random().unwrap());
        Self {
            cache: Cache::open(keep.path().join("c"), "boot", key.clone()).unwrap(),
            key,
            keep,
        }
    }

    fn again(self, boot: &str, key: Option<CacheKey>) -> Self {
        let key = key.unwrap_or_else(|| self.key.clone());
        Self {
            cache: Cache::open(self.keep.path().join("c"), boot, key.clone()).unwrap(),
            key,
            keep: self.keep,
        }
    }

    fn keep(&self, account: &str, name: &str, delivered: &DeliveredValue, at: Duration) {
        let grant = Grant {
            wanted: &wanted(name),
            delivered,
            max_age: HOUR,
        };
        self.cache.keep(&who(account), &[grant], at).unwrap();
    }

    /// The versions that a volume of these secrets would show.
    fn find(&self, account: &str, names: &[&str], at: Duration) -> Option<Vec<String>> {
        let wanted: Vec<_> = names.iter().map(|name| wanted(name)).collect();
        let found = self.cache.find(&who(account), &wanted, at)?;
        Some(found.into_iter().map(|it| it.version_id).collect())
    }

    fn values(&self) -> usize {
        fs::read_dir(self.keep.path().join("c/values")).unwrap().count()
    }
}

#[test]
fn what_was_allowed_is_found_by_whom_it_was_allowed_to_alone() {
    let node = Node::new();
    node.keep("app", "db", &delivered(1, "v-1", "MARKER"), HOUR);
    assert_eq!(node.find("app", &["db"], HOUR), Some(vec!["v-1".to_owned()]));
    assert_eq!(node.find("other", &["db"], HOUR), None);
    assert_eq!(node.find("app", &["db", "smtp"], HOUR), None, "all or nothing");
    let elsewhere = RequestedSecret {
        namespace: Some("mail".to_owned()),
        ..wanted("db")
    };
    let previous = RequestedSecret {
        version: RequestedVersion::Stage("Previous".to_owned()),
        ..wanted("db")
    };
    for not in [elsewhere, previous] {
        assert!(node.cache.find(&who("app"), &[not], HOUR).is_none());
    }
    let value = node.cache.find(&who("app"), &[wanted("db")], HOUR).unwrap();
    assert_eq!(value[0].value.key("password").unwrap().expose(), b"MARKER");
    // On the node is ciphertext.
    for file in fs::read_dir(node.keep.path().join("c/values")).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"MARKER"));
    }
}

#[test]
fn an_age_is_an_age_whatever_a_clock_says() {
    let node = Node::new();
    node.keep("app", "db", &delivered(1, "v-1", "x"), HOUR);
    assert!(node.find("app", &["db"], HOUR * 2).is_some());
    let old = HOUR * 2 + Duration::from_secs(1);
    assert_eq!(node.find("app", &["db"], old), None);
    assert_eq!(node.find("app", &["db"], Duration::ZERO), None, "of another boot");
    node.cache
        .refresh(&who("app"), &[wanted("db"), wanted("smtp")], old)
        .unwrap();
    assert!(node.find("app", &["db"], old).is_some());
    node.cache.sweep(old).unwrap();
    assert_eq!(node.values(), 1);
    node.cache.sweep(old * 2).unwrap();
    assert_eq!(node.values(), 0);
}

#[test]
fn a_restart_of_the_plugin_keeps_it_and_another_boot_or_key_does_not() {
    let node = Node::new();
    node.keep("app", "db", &delivered(1, "v-1", "x"), HOUR);
    let node = node.again("boot", None);
    assert!(node.find("app", &["db"], HOUR).is_some());
    let node = node.again("boot", Some(CacheKey::random().unwrap()));
    assert_eq!(node.find("app", &["db"], HOUR), None);
    let node = node.again("another", None);
    assert_eq!(node.values(), 0);
}

#[test]
fn a_value_goes_with_the_last_who_may_have_it() {
    let node = Node::new();
    let first = delivered(1, "v-1", "x");
    node.keep("app", "db", &first, HOUR);
    node.keep("other", "db", &first, HOUR);
    assert_eq!(node.values(), 1, "each once");
    node.keep("app", "db", &delivered(1, "v-2", "y"), HOUR);
    assert_eq!(node.values(), 2);
    assert_eq!(node.find("app", &["db"], HOUR), Some(vec!["v-2".to_owned()]));
    node.cache.forget(&who("other"), &wanted("db")).unwrap();
    assert_eq!((node.values(), node.find("other", &["db"], HOUR)), (1, None));
    // An owner who wants nothing served offline.
    let never = Grant {
        wanted: &wanted("db"),
        delivered: &first,
        max_age: Duration::ZERO,
    };
    node.cache.keep(&who("app"), &[never], HOUR).unwrap();
    assert_eq!((node.values(), node.find("app", &["db"], HOUR)), (0, None));
}

#[test]
fn what_was_changed_on_the_node_is_not_served() {
    let node = Node::new();
    node.keep("app", "db", &delivered(1, "v-1", "x"), HOUR);
    node.keep("app", "smtp", &delivered(2, "v-1", "y"), HOUR);
    let values = node.keep.path().join("c/values");
    let mut files: Vec<_> = fs::read_dir(&values)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    // The value of one secret in the place of another.
    fs::copy(&files[1], &files[0]).unwrap();
    assert_eq!(node.find("app", &["db"], HOUR), None);
    let mut bytes = fs::read(&files[1]).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&files[1], bytes).unwrap();
    assert_eq!(node.find("app", &["smtp"], HOUR), None);
}
