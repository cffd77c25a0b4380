//! Rotations of default secrets that are asked for over the API: whose schedules count.

use strongroom_store::audit::Author;
use strongroom_store::vault::{AcceptDeclaration, Attest, DeclaredObject, ObjectChange, ObjectDigest};

use super::*;

const MANAGER_USER: &str = "system:serviceaccount:system:manager";

impl World {
    /// This user wrote a schedule that names the object and is suspended.
    fn suspended_schedule(&self, object: &str, name: &str, user: &str) {
        let uid = format!("uid-{name}");
        let schedule = json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "RotationSchedule",
            "metadata": {"name": name, "namespace": "shop", "uid": uid},
            "spec": {
                "secrets": {"names": [object]}, "schedule": {"every": "1d"}, "rotator": {"generate": {}},
                "suspend": true,
            },
        });
        let place = ("rotationschedules".to_owned(), name.to_owned());
        self.api.objects.lock().insert(place, schedule);
        let digest = ObjectDigest([1; 32]);
        let attest = Attest {
            uid: uid.parse().unwrap(),
            namespace: "shop".parse().unwrap(),
            change: ObjectChange::Written,
            digest,
            author: Author {
                user: user.to_owned(),
                ..Author::default()
            },
            forget: Vec::new(),
        };
        let accept = AcceptDeclaration {
            object: DeclaredObject {
                kind: "RotationSchedule".to_owned(),
                namespace: "shop".parse().unwrap(),
                name: name.to_owned(),
                uid: uid.parse().unwrap(),
            },
            created: meta().now,
            digest,
        };
        let store = &self.gateway.store;
        store.run(attest, meta()).unwrap();
        store.run(accept, meta()).unwrap();
    }
}

#[tokio::test]
async fn only_schedules_of_its_product_keep_a_default_secret_from_rotating() {
    let world = World::with_product(ProductFacts {
        users_rotate: true,
        ..facts()
    });
    let object = object_name("pg!free");
    let place = ("managedsecrets".to_owned(), object.clone());
    world.api.objects.lock().get_mut(&place).unwrap()["spec"]["source"] =
        json!({"generate": {"keys": {"password": {"password": {}}}}});
    let rotate = async || world.operate(USER, Action::RotateSecret, Hosting::Free).await;
    world.suspended_schedule(&object, "hers", "jane");
    assert_eq!(rotate().await, says(202, ""));
    world.suspended_schedule(&object, "theirs", MANAGER_USER);
    assert_eq!(rotate().await, says(409, "NotRotatable"));
}
