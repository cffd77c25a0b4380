//! A process that ends between the end of an object and what follows from it: the next one names who deleted
//! the object all the same.

use super::*;

/// The process ends, and the next one begins.
async fn restart(world: &mut ControllerFixture) {
    world.ctx.declarations = Declarations::default();
    begin(&world.ctx).await;
}

/// Looks for what lost its object, so many seconds after now.
async fn look(world: &ControllerFixture, memory: &mut deletion::DeletionMemory, seconds: i64) {
    let at = now()
        .checked_add(jiff::SignedDuration::from_secs(seconds))
        .unwrap();
    deletion::pass(&world.ctx, memory, at).await.unwrap();
}

/// UIDs of the objects of which the store keeps who deleted them.
fn kept(world: &ControllerFixture) -> Vec<String> {
    let kept = world.ctx.store.blocking().withdrawn_objects().unwrap();
    kept.into_iter().map(|object| object.uid.to_string()).collect()
}

/// Jim deletes what Jane made, and that is audited.
async fn deleted(spec: Json) -> ControllerFixture {
    let mut world = world(spec).await;
    attest(&world, "jane", &object(&world), ObjectChange::Written);
    world.reconcile("db").await;
    attest(&world, "jim", &object(&world), ObjectChange::Deleted);
    let last = world.kept("db");
    world.delete("db");
    let gone = WatchEvent::Gone(
        state::object("ManagedSecret", &last).unwrap(),
        Some(last.declared()),
    );
    events::take_in(&world.ctx, gone).await;
    world
}

#[tokio::test]
async fn the_next_process_names_who_deleted_an_object_where_its_secret_goes() {
    let mut world = deleted(generated("db")).await;
    let (_, end) = records(&world, 0);
    let mut memory = deletion::DeletionMemory::new(deletion::OwnerKind::ManagedSecret);
    look(&world, &mut memory, 0).await;
    restart(&mut world).await;
    assert_eq!(kept(&world).len(), 1, "its secret has not gone yet");
    let mut memory = deletion::DeletionMemory::new(deletion::OwnerKind::ManagedSecret);
    for seconds in [1, 32] {
        look(&world, &mut memory, seconds).await;
    }
    let jim = Some(by("jim"));
    assert_eq!(
        said(&records(&world, end).0),
        [
            (Action::BindMaterialized, jim.clone()),
            (Action::DeleteSecret, jim)
        ]
    );
    // Nothing follows any more.
    look(&world, &mut memory, 33).await;
    assert_eq!(kept(&world), Vec::<String>::new());
}

#[tokio::test]
async fn who_deleted_an_object_whose_secret_stays_is_forgotten_at_the_next_look() {
    let mut spec = generated("db");
    spec["deletion"] = json!({"policy": "Retain"});
    let mut world = deleted(spec).await;
    assert_eq!(kept(&world).len(), 1);
    restart(&mut world).await;
    let mut memory = deletion::DeletionMemory::new(deletion::OwnerKind::ManagedSecret);
    look(&world, &mut memory, 0).await;
    assert_eq!(kept(&world), Vec::<String>::new());
    assert_eq!(
        world.ctx.declarations.kept_of("ManagedSecret"),
        Vec::<String>::new()
    );
}
