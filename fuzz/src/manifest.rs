//! Manifests of custom resources, and what is decided from them alone: when to rotate, what to generate, what
//! a native Secret holds.

use jiff::Timestamp;
use serde::Serialize;
use strongroom_crds::v1alpha1::{
    KeySource, ManagedSecretSpec, RotationScheduleSpec, SecretPolicySpec, Source as ValueSource,
};
use strongroom_crds::{Manifest, parse_manifest};
use strongroom_rules::generate::{GenerateContext, PreviousValue, generate, outputs, random};
use strongroom_rules::native_secret::{Origin, content};
use strongroom_rules::policy::{
    Action, Identity, PolicySet, PolicySource, Principal, ProductContext, Request, RequestFacts, SecretRef,
    decide,
};
use strongroom_rules::schedule::{JitterSeed, Timetable};
use strongroom_rules::value::VALUE_BYTES;

/// Moments around which calendars are odd: the epoch, a leap day, both changes of the clock in Europe, far
/// away.
const MOMENTS: [i64; 6] = [
    0,
    1_709_164_800,
    1_774_746_000,
    1_792_890_000,
    1_795_465_320,
    4_102_444_800,
];

/// Parses a manifest: what is accepted is written and read as the same object, and every decision gives an
/// answer.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match parse_manifest(&text) {
        Ok(manifest) => match &manifest {
            Manifest::EncryptionKey(object) => round_trip(&manifest, object),
            Manifest::ManagedSecret(object) => {
                round_trip(&manifest, object);
                managed_secret(&object.spec);
            }
            Manifest::RotationSchedule(object) => {
                round_trip(&manifest, object);
                rotation_schedule(&object.spec);
            }
            Manifest::SecretPolicy(object) => {
                round_trip(&manifest, object);
                secret_policy(&object.spec);
            }
            Manifest::SecretProduct(object) => round_trip(&manifest, object),
        },
        Err(error) => assert!(!error.to_string().is_empty(), "an error says nothing"),
    }
}

/// A policy either compiles and can be asked, or says where it does not.
fn secret_policy(spec: &SecretPolicySpec) {
    let mut book = PolicySet::default();
    let source = PolicySource::Policy("p".to_owned());
    match book.put("shop", &source, spec) {
        Ok(()) => {
            let principal = Principal {
                identity: Identity::from_username("system:serviceaccount:shop:app"),
                groups: Vec::new(),
            };
            let request = Request {
                principal: &principal,
                action: Action::GetSecretValue,
                secret: SecretRef {
                    namespace: "shop",
                    name: "db",
                },
                key: None,
                owner: None,
                facts: &RequestFacts::default(),
                products: ProductContext::default(),
            };
            let decision = decide(&book, &request);
            assert!(decision.is_ok(), "{decision:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty(), "an error says nothing"),
    }
}

fn round_trip(manifest: &Manifest, object: &impl Serialize) {
    let json = serde_json::to_string(object).map_err(|error| error.to_string());
    let again = json.as_deref().map(parse_manifest);
    assert!(
        again.as_ref().is_ok_and(|again| again.as_ref() == Ok(manifest)),
        "read {manifest:?}, wrote {json:?}, read {again:?}"
    );
}

fn managed_secret(spec: &ManagedSecretSpec) {
    let ValueSource::Generate(source) = &spec.source else {
        return;
    };
    // Key pairs take too long here, and nothing in a manifest reaches their making but an enum.
    let quick = source.keys.iter().filter(|(_, source)| {
        !matches!(
            source,
            KeySource::Rsa(_) | KeySource::Ecdsa(_) | KeySource::Ed25519(_) | KeySource::X509(_)
        )
    });
    let environment = GenerateContext {
        now: Timestamp::UNIX_EPOCH,
        authority: None,
        replaces: PreviousValue::Nothing,
        ssh_auth: false,
    };
    let Ok(mut random) = random::system() else { return };
    let Ok(value) = generate(quick.clone(), &environment, &mut random) else {
        return;
    };
    assert!(value.size() <= VALUE_BYTES, "a value of {} bytes", value.size());
    for key in quick.flat_map(|(name, source)| outputs(name, source)) {
        assert!(value.key(&key).is_some(), "`{key}` was not made");
    }
    let origin = Origin {
        managed_secret: "a",
        version_id: "v-1",
    };
    if let Some(Err(error)) = spec.secret.as_ref().map(|native| content(native, &value, origin)) {
        assert!(!error.to_string().is_empty(), "an error says nothing");
    }
}

fn rotation_schedule(spec: &RotationScheduleSpec) {
    let Ok(timetable) = Timetable::parse(spec) else {
        return;
    };
    let who = JitterSeed {
        schedule_uid: "7f3c",
        secret_id: &[7; 16],
    };
    for last in MOMENTS
        .into_iter()
        .filter_map(|at| Timestamp::from_second(at).ok())
    {
        for now in MOMENTS
            .into_iter()
            .filter_map(|at| Timestamp::from_second(at).ok())
        {
            if let Ok(due) = timetable.next_due(last, now, who) {
                assert!(due >= last, "due at {due}, before the last rotation at {last}");
                assert_eq!(timetable.next_due(last, now, who), Ok(due), "asked twice");
            }
        }
    }
}
