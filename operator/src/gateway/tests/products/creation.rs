//! How default secrets come to be, and what keeps them from it.

use strongroom_store::vault::DisableKey;

use super::*;

#[tokio::test]
async fn a_name_whose_code_no_product_can_have_is_refused_and_one_without_a_product_is_nobodys() {
    let world = World::with_product(facts());
    let value = json!({"password": data_encoding::BASE64.encode(b"x")});
    for (name, expected) in [
        ("strongroom!x", says(400, "InvalidRequest")),
        ("PG!x", says(400, "InvalidRequest")),
        ("pg!", says(400, "InvalidRequest")),
        ("!x", says(400, "InvalidRequest")),
        ("pg!a!b", says(400, "InvalidRequest")),
        ("other!x", says(409, "ProductUnknown")),
    ] {
        let body = json!({"name": name, "versionId": "v-1", "data": value});
        assert_eq!(world.create(USER, &body).await.code(), expected, "{name}");
    }
    let answer = world.get(USER, "/pg!free").await.json();
    assert_eq!(
        (&answer["owningProduct"], &answer["hosting"]),
        (&json!("pg"), &json!("Free"))
    );
    let answer = world.get(USER, "/pg!paid").await.json();
    assert_eq!(answer["hosting"], "Paid");
    let answer = world.get(USER, "/db-main").await.json();
    assert_eq!((answer.get("owningProduct"), answer.get("hosting")), (None, None));
}

#[tokio::test]
async fn a_product_that_may_not_act_writes_nothing_and_its_secrets_are_read() {
    let none = NamespaceSelection::none();
    for (edited, code) in [
        (
            ProductFacts {
                suspend: true,
                ..facts()
            },
            "ProductSuspended",
        ),
        (
            ProductFacts {
                namespaces: none.clone(),
                ..facts()
            },
            "NamespaceNotSelected",
        ),
        (
            ProductFacts {
                state: ProductState::Changed,
                ..facts()
            },
            "ProductChanged",
        ),
    ] {
        let world = World::with_product(edited);
        let create = world.operate(MANAGER, Action::CreateSecret, Hosting::Free).await;
        assert_eq!(create.1, code, "{create:?}");
        let read = world.operate(USER, Action::GetSecretValue, Hosting::Free).await;
        assert_eq!(read, says(200, ""), "{code}");
        let read = world.operate(USER, Action::GetSecretValue, Hosting::Paid).await;
        assert_eq!(read, says(200, ""), "{code}");
        let object = world.kept("managedsecrets", &object_name("pg!new"));
        assert_eq!(object, None, "{code}");
    }
    let world = World::with_product(ProductFacts {
        state: ProductState::Absent,
        ..facts()
    });
    let put = world.operate(USER, Action::PutSecretValue, Hosting::Free).await;
    assert_eq!(put, says(409, "ProductAbsent"));
    let read = world.operate(USER, Action::GetSecretValue, Hosting::Paid).await;
    assert_eq!(read, says(200, ""));
}

#[tokio::test]
async fn hosting_that_is_not_offered_makes_nothing() {
    let only = |hosting: Hosting| ProductFacts {
        hosting: facts()
            .hosting
            .into_iter()
            .filter(|(offered, _)| *offered == hosting)
            .collect::<BTreeMap<_, _>>(),
        ..facts()
    };
    let create = async |offered: Hosting, asked: Hosting| {
        let world = World::new(0);
        world.product(only(offered));
        world.key("pay");
        world.grant_key(true);
        world.operate(MANAGER, Action::CreateSecret, asked).await
    };
    assert_eq!(create(Hosting::Free, Hosting::Free).await, says(201, ""));
    assert_eq!(create(Hosting::Paid, Hosting::Paid).await, says(201, ""));
    let no_key = create(Hosting::Paid, Hosting::Free).await;
    assert_eq!(no_key, says(409, "KeyRequired"));
    let paid = create(Hosting::Free, Hosting::Paid).await;
    assert_eq!(paid, says(403, "HostingRefused"));
}

#[tokio::test]
async fn a_paid_secret_takes_the_tenants_grant_of_the_key_and_its_key_stops_everybody() {
    let world = World::with_product(facts());
    world.grant_key(false);
    for action in [
        Action::CreateSecret,
        Action::PutSecretValue,
        Action::GetSecretValue,
    ] {
        let answer = world.operate(MANAGER, action, Hosting::Paid).await;
        assert_eq!(answer, says(403, "PolicyDenied"), "{}", action.as_str());
    }
    assert_eq!(world.kept("managedsecrets", &object_name("pg!new")), None);
    world.grant_key(true);
    let create = world.operate(MANAGER, Action::CreateSecret, Hosting::Paid).await;
    assert_eq!(create, says(201, ""));
    let object = world.kept("managedsecrets", &object_name("pg!new")).unwrap();
    assert_eq!(object["spec"]["encryptionKey"], "pay");
    assert_eq!(object["metadata"]["labels"]["strongroom.dev/product"], "pg");
    let store = &world.gateway.store;
    let namespace = world.namespace_id();
    let key = store
        .find_key(namespace, &"pay".parse().unwrap())
        .unwrap()
        .unwrap();
    let disable = DisableKey {
        namespace,
        key: key.id,
    };
    store.run(disable, meta()).unwrap();
    for account in [MANAGER, USER] {
        let read = world
            .operate(account, Action::GetSecretValue, Hosting::Paid)
            .await;
        assert_eq!(read, says(409, "KeyDisabled"), "{account}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_granted_is_refused_alike_whether_or_not_there_is_one() {
    let world = World::with_product(facts());
    world.grant_key(false);
    let value = json!({"password": data_encoding::BASE64.encode(b"x")});
    let create = async |key: &str| {
        let body = json!({"name": "pg!new", "versionId": "v-1", "data": value, "encryptionKey": key});
        let answer = world.create(MANAGER, &body).await;
        (answer.code(), answer.json())
    };
    let (code, there) = create("pay").await;
    assert_eq!(code, says(403, "PolicyDenied"));
    let policy = there["missingPolicies"][0].as_str().unwrap();
    assert!(policy.contains(r#"principals: [{product: "pg"}]"#), "{policy}");
    let (code, absent) = create("nothing").await;
    assert_eq!(code, says(403, "PolicyDenied"));
    for field in ["detail", "missingPolicies"] {
        assert_eq!(absent[field], there[field]);
    }
    world.grant_key(true);
    assert_eq!(create("nothing").await.0, says(409, "KeyNotFound"));
}

#[tokio::test]
async fn an_object_that_was_there_first_never_gets_the_products_first_value() {
    let world = World::with_product(facts());
    let body = json!({"data": {"password": data_encoding::BASE64.encode(b"x")}}).to_string();
    let put = async || {
        world
            .write(Method::PUT, MANAGER, "/pg!early/versions/v-1", &body)
            .await
    };
    assert_eq!(put().await.code(), says(404, "SecretNotFound"));
    let object = world.object_for("pg!early");
    let uid = format!("uid-{object}");
    assert_eq!(put().await.code(), says(503, "ClusterUnavailable"));
    let sources = &world.gateway.external_sources;
    sources.set_claim("shop", &object, &uid, false);
    let refused = put().await;
    assert_eq!(refused.code(), says(409, "ManagedElsewhere"));
    assert!(refused.json()["detail"].as_str().unwrap().contains(&object));
    // By the API it is no way either.
    let create = json!({"name": "pg!early", "versionId": "v-1", "data": {"a": ""}});
    assert_eq!(
        world.create(MANAGER, &create).await.code(),
        says(409, "ManagedElsewhere")
    );
    sources.set_claim("shop", &object, &uid, true);
    assert_eq!(put().await.status, 201);
    let owner = world.stored("pg!early").object.unwrap();
    assert_eq!(owner.uid.as_str(), uid);
}

#[tokio::test]
async fn of_many_that_ask_for_the_last_place_one_gets_it_and_no_object_is_left() {
    let limits = QuotaLimits {
        per_namespace: 3,
        total: 500,
    };
    let world = World::with_product(ProductFacts {
        hosting: Hosting::ALL.map(|hosting| (hosting, limits)).into(),
        ..facts()
    });
    // One is there; of these two get a place.
    let create = |number: usize| {
        let world = &world;
        async move {
            let value = json!({"password": data_encoding::BASE64.encode(b"x")});
            let body = json!({"name": format!("pg!many-{number}"), "versionId": "v-1", "data": value});
            world.create(MANAGER, &body).await.code()
        }
    };
    let answers = futures::future::join_all((0..64).map(create)).await;
    let made = answers.iter().filter(|answer| **answer == says(201, "")).count();
    let refused = answers
        .iter()
        .filter(|answer| **answer == says(403, "QuotaExceeded"))
        .count();
    assert_eq!((made, refused), (2, 62), "{answers:?}");
    let objects = world.api.objects.lock();
    let left = objects.keys().filter(|(_, name)| name.starts_with("pg-many"));
    assert_eq!(left.count(), 2);
}
