//! Rows of products: what it costs when all want the last place of a quota, and what the station between
//! finding and policies adds to a read. Without a server.

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::json;
use strongroom_model::id::NamespaceId;
use strongroom_model::name::SecretName;
use strongroom_model::time::Timestamp;
use strongroom_model::{DefaultSecretName, Hosting};
use strongroom_rules::policy::{
    Action, Identity, PolicySet, PolicySource, Principal, ProductContext, Request, RequestFacts, SecretRef,
    decide,
};
use strongroom_rules::product::{
    ListenerFacts, ManagerFacts, NamespaceSelection, ProductDirectory, ProductFacts, ProductState,
    QuotaLimits, Target, decide_product,
};
use strongroom_store::vault::{
    BindNamespace, ProductManager, ProductQuota, ProductRecord, PutProduct, Refusal, Store, StoreError,
};

use crate::row::Row;
use crate::store::{ROUNDS, WRITERS, make, meta, new_secret};
use crate::{Outcome, fresh};

const CODE: &str = "pg";
const NAMESPACE: &str = "tenant";
/// How often all want one place, in a repetition.
const PLACES: usize = 20;
/// Products that there are, and secrets of one of them that are read.
const PRODUCTS: usize = 50;
const SECRETS: usize = 1_000;
/// Reads in a repetition, and repetitions.
const READS: u16 = 20_000;
const READ_ROUNDS: usize = 9;

/// The product, which may have so many free secrets.
fn record(limit: u64) -> Outcome<ProductRecord> {
    let manager = ProductManager {
        namespace: "system".parse()?,
        name: "manager".to_owned(),
        namespace_uid: None,
    };
    let quota = ProductQuota {
        per_namespace: limit,
        total: limit,
    };
    Ok(ProductRecord {
        code: CODE.parse()?,
        incarnation: "uid-product".parse()?,
        since: Timestamp::from_millis(0),
        managers: BTreeSet::from([manager]),
        hosting: BTreeMap::from([(Hosting::Free, quota)]),
        adopted: false,
    })
}

/// Makes a default secret, where the product's quota has a place for it.
fn create(store: &Store, namespace: NamespaceId, number: u64) -> Outcome<bool> {
    let command = new_secret(namespace, &format!("{CODE}!secret-{number}"))?;
    match store.run(command, meta()?) {
        Ok(_) => Ok(true),
        Err(StoreError::Refused(Refusal::ProductQuotaExceeded { .. })) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// A store with the product, and what was made in it.
struct QuotaBench {
    store: Store,
    namespace: NamespaceId,
    /// Creations that were tried: each has a name of its own.
    tried: u64,
    /// Secrets that there are.
    made: u64,
}

impl QuotaBench {
    fn make(path: &Path) -> Outcome<Self> {
        let (store, _) = make(path, 0)?;
        let bind = BindNamespace {
            name: NAMESPACE.parse()?,
            uid: "uid-tenant".parse()?,
        };
        let namespace = store.run(bind, meta()?)?;
        Ok(Self {
            store,
            namespace,
            tried: 0,
            made: 0,
        })
    }

    /// Creations a second by as many at once as there are writers, where so many places are left each time.
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    fn rate(&mut self, places: u64) -> Outcome<f64> {
        let mut time = Duration::ZERO;
        for _ in 0..PLACES {
            self.store.run(PutProduct(record(self.made + places)?), meta()?)?;
            let start = Instant::now();
            let made = self.together()?;
            time += start.elapsed();
            if made != places {
                return Err(format!("{made} secrets were made where there were {places} places").into());
            }
            self.made += made;
        }
        Ok((PLACES * WRITERS) as f64 / time.as_secs_f64())
    }

    /// All of them begin at once. How many got a place.
    fn together(&mut self) -> Outcome<u64> {
        let (store, namespace, first) = (&self.store, self.namespace, self.tried);
        self.tried += WRITERS as u64;
        let barrier = Barrier::new(WRITERS);
        std::thread::scope(|scope| -> Outcome<u64> {
            let writers: Vec<_> = (first..)
                .take(WRITERS)
                .map(|number| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        barrier.wait();
                        create(store, namespace, number)
                    })
                })
                .collect();
            let mut made = 0;
            for writer in writers {
                made += u64::from(writer.join().map_err(|_| "a writer panicked")??);
            }
            Ok(made)
        })
    }
}

/// The last place of a quota, which 64 want at once: one of them gets it.
pub(crate) fn quota(dir: &Path) -> Outcome<Vec<Row>> {
    let keep = fresh(dir, "quota")?;
    let mut bench = QuotaBench::make(&keep.path().join("store"))?;
    let all = WRITERS as u64;
    bench.rate(all)?;
    let (mut last, mut enough) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        last.push(bench.rate(1)?);
        enough.push(bench.rate(all)?);
    }
    bench.store.close();
    Ok(vec![
        Row::from_samples("product.create.quota64", "create/s", &last)
            .against("the same with a place for each", &enough),
    ])
}

/// A product that owns paid secrets everywhere.
fn facts(code: &str, known: &RequestFacts) -> Outcome<ProductFacts> {
    let limits = QuotaLimits {
        per_namespace: 100,
        total: 5_000,
    };
    Ok(ProductFacts {
        code: code.parse()?,
        state: ProductState::Present,
        since: known.now,
        display_name: None,
        docs: None,
        managers: vec![ManagerFacts {
            namespace: format!("{code}-system"),
            name: "manager".to_owned(),
            namespace_uid: None,
        }],
        managers_before: Vec::new(),
        namespaces: NamespaceSelection::All,
        hosting: BTreeMap::from([(Hosting::Paid, limits)]),
        secret_policies: true,
        gateway: None,
        users_rotate: false,
        suspend: false,
    })
}

/// Who reads which secret.
struct Reader {
    principal: Principal,
    secret: SecretName,
}

/// What a read is decided by.
struct ReadBench {
    policies: PolicySet,
    products: ProductDirectory,
    readers: Vec<Reader>,
    facts: RequestFacts,
}

impl ReadBench {
    /// Each secret has a policy of its own, and a reader.
    fn make() -> Outcome<Self> {
        let facts = RequestFacts {
            stages: ["Current".to_owned()].into(),
            ..RequestFacts::default()
        };
        let others = (1..PRODUCTS).map(|number| format!("product-{number}"));
        let products = others
            .chain([CODE.to_owned()])
            .map(|code| self::facts(&code, &facts))
            .collect::<Outcome<Vec<_>>>()?;
        let (mut policies, mut readers) = (PolicySet::default(), Vec::new());
        for number in 0..SECRETS {
            let (secret, account) = (format!("{CODE}!secret-{number}"), format!("reader-{number}"));
            let spec = serde_json::from_value(json!({"secrets": [secret], "statements": [{
                "effect": "Allow",
                "principals": [{"serviceAccount": account}],
                "actions": ["secrets:GetSecretValue", "secrets:Describe*"],
            }]}))?;
            let source = PolicySource::Policy(format!("policy-{number}"));
            policies
                .put(NAMESPACE, &source, &spec)
                .map_err(|error| error.to_string())?;
            let username = format!("system:serviceaccount:{NAMESPACE}:{account}");
            readers.push(Reader {
                principal: Principal {
                    identity: Identity::from_username(&username),
                    groups: Vec::new(),
                },
                secret: secret.parse()?,
            });
        }
        Ok(Self {
            policies,
            products: ProductDirectory::new(products),
            readers,
            facts,
        })
    }

    /// Microseconds of a read's decision, on the mean: each an allowed read, with what `station` makes of it.
    fn decided<'a>(
        &'a self,
        station: impl Fn(&'a Self, &'a Reader) -> Outcome<ProductContext<'a>>,
    ) -> Outcome<f64> {
        let start = Instant::now();
        for reader in self.readers.iter().cycle().take(usize::from(READS)) {
            let request = Request {
                principal: &reader.principal,
                action: Action::GetSecretValue,
                secret: SecretRef {
                    namespace: NAMESPACE,
                    name: reader.secret.as_str(),
                },
                key: None,
                owner: None,
                facts: &self.facts,
                products: station(self, reader)?,
            };
            if !decide(black_box(&self.policies), &request)?.allowed {
                return Err(format!("a read of {} is not allowed", reader.secret).into());
            }
        }
        Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(READS))
    }

    /// What the gateway does for each read of a default secret: the context of policies, and the matrix.
    fn station<'a>(&'a self, reader: &'a Reader) -> Outcome<ProductContext<'a>> {
        let products = black_box(&self.products);
        let name = DefaultSecretName::split(&reader.secret)?.ok_or("an ordinary secret")?;
        let target = Target {
            namespace: NAMESPACE,
            name,
            hosting: Hosting::Paid,
        };
        let caller = products.caller(&reader.principal.identity);
        let context = products.context(&caller, &target);
        let action = black_box(Action::GetSecretValue);
        black_box(decide_product(
            products,
            &caller,
            &target,
            action,
            ListenerFacts::Shared,
        )?);
        Ok(context)
    }
}

/// What products add to the decision about a read, one of fifty owning the secret.
pub(crate) fn matrix() -> Outcome<Vec<Row>> {
    let bench = ReadBench::make()?;
    let alone = |_: &ReadBench, _: &Reader| Ok(ProductContext::default());
    bench.decided(alone)?;
    bench.decided(ReadBench::station)?;
    let (mut added, mut policies) = (Vec::new(), Vec::new());
    for _ in 0..READ_ROUNDS {
        let without = bench.decided(alone)?;
        added.push(bench.decided(ReadBench::station)? - without);
        policies.push(without);
    }
    Ok(vec![
        Row::from_samples("product.matrix_us", "µs", &added)
            .against("the decision of policies alone", &policies),
    ])
}
