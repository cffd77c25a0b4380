//! All statements in force, by namespace.
//!
//! The statements of a policy take the place of those before them in one step. A policy that does not compile changes nothing: what was in
//! force of it stays in force, and where nothing is known of it, everything that it is attached to is denied.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use strongroom_crds::v1alpha1::{PolicyEffect, PolicyPrincipal, PolicyStatement, SecretPolicySpec};

use super::Action;
use super::compile::{Attachment, CompileError, Compiled, Said, compile};
use super::request::Request;
use super::shard::{Says, Shard, Target, Unanswerable};
use super::shared::{Shards, Shared};
use super::source::Source;

/// Every statement in force.
#[derive(Debug, Default)]
pub struct PolicyBook {
    namespaces: HashMap<String, Namespace>,
    said: Said,
    shards: Shards,
    /// Sources that went since what nobody says any more was forgotten.
    gone: usize,
    /// How many sources ask for labels of a pod or a node.
    asking: usize,
}

/// After so many sources went, what nobody says any more is looked for.
const FORGET_AFTER: usize = 1_000;

/// Statements of one namespace.
#[derive(Debug, Default)]
struct Namespace {
    sources: BTreeMap<Source, InForce>,
    /// Attached to ServiceAccounts.
    identities: Side,
    /// Attached to secrets.
    secrets: Side,
}

/// What is in force of one source.
#[derive(Debug)]
struct InForce {
    attachment: Attachment,
    sids: Vec<Option<String>>,
    /// Whether a statement asks for labels of a pod or a node.
    asks_labels: bool,
    /// UID of the ManagedSecret that says it about its own secret; none: it counts for whatever it is attached to.
    speaker: Option<Box<str>>,
}

/// Statements by the names that they are attached to. Whoever asks looks at two shards, however many statements there are.
#[derive(Debug, Default)]
struct Side {
    exact: HashMap<String, Shared>,
    wild: Shard,
}

/// A statement, for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatementRef {
    /// Namespace of the policy.
    pub namespace: String,
    /// Where it stands.
    pub source: Source,
    /// Its number there, from 1.
    pub number: usize,
    /// Its name, where it has one.
    pub sid: Option<String>,
}

impl std::fmt::Display for StatementRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "statement {}", self.number)?;
        if let Some(sid) = &self.sid {
            write!(f, " (`{sid}`)")?;
        }
        write!(f, " of {} in namespace `{}`", self.source, self.namespace)
    }
}

impl Side {
    /// Puts statements where those attached to these names belong.
    fn add(
        &mut self,
        attachment: &Attachment,
        statements: &[(String, Arc<Compiled>)],
        shards: &mut Shards,
    ) -> Result<(), String> {
        // A name with a wildcard puts the statement where everybody looks; it tests the names itself.
        if !attachment.is_exact() {
            return statements
                .iter()
                .try_for_each(|(id, statement)| self.wild.add(id, statement));
        }
        for name in attachment.exact_names() {
            let shared = self.exact.entry(name.to_owned()).or_default();
            for (id, statement) in statements {
                shared.add(id, statement, shards);
            }
        }
        Ok(())
    }

    /// Takes statements out from there.
    fn remove(&mut self, attachment: &Attachment, ids: &[String], shards: &mut Shards) {
        if !attachment.is_exact() {
            ids.iter().for_each(|id| self.wild.remove(id));
            return;
        }
        for name in attachment.exact_names() {
            if let Some(shared) = self.exact.get_mut(name) {
                ids.iter().for_each(|id| shared.remove(id, shards));
                if shared.is_empty() {
                    self.exact.remove(name);
                }
            }
        }
    }

    fn ask(
        &self,
        name: &str,
        request: &Request<'_>,
        action: Action,
        target: Target,
    ) -> Result<(Says, Vec<String>), Unanswerable> {
        let (mut says, mut deciding) = self.wild.ask(request, action, target)?;
        if let Some(shard) = self.exact.get(name) {
            let (also, by) = shard.ask(request, action, target)?;
            match (says, also) {
                (Says::Deny, Says::Deny) | (Says::Allow, Says::Allow) => deciding.extend(by),
                (Says::Deny, _) | (_, Says::Nothing) => {}
                (_, also) => (says, deciding) = (also, by),
            }
        }
        Ok((says, deciding))
    }
}

impl Namespace {
    fn side(&mut self, attachment: &Attachment) -> &mut Side {
        match attachment {
            Attachment::Identities(_) => &mut self.identities,
            Attachment::Secrets(_) => &mut self.secrets,
        }
    }

    /// Answers how many sources ask for labels less: 1 or 0.
    fn take_out(&mut self, source: &Source, shards: &mut Shards) -> usize {
        let Some(before) = self.sources.remove(source) else {
            return 0;
        };
        let ids: Vec<_> = (0..before.sids.len())
            .map(|index| source.statement_id(index))
            .collect();
        self.side(&before.attachment)
            .remove(&before.attachment, &ids, shards);
        usize::from(before.asks_labels)
    }

    /// Answers how many sources ask for labels more: 1 or 0.
    fn put_in(
        &mut self,
        source: Source,
        attachment: Attachment,
        statements: Vec<Arc<Compiled>>,
        spec: &SecretPolicySpec,
        shards: &mut Shards,
    ) -> Result<usize, String> {
        let ids = (0..).map(|index| source.statement_id(index));
        let statements: Vec<_> = ids.zip(statements).collect();
        self.side(&attachment).add(&attachment, &statements, shards)?;
        let in_force = InForce {
            asks_labels: spec
                .statements
                .iter()
                .filter_map(|statement| statement.conditions.as_ref())
                .any(|conditions| conditions.pod_labels.is_some() || conditions.node_labels.is_some()),
            attachment,
            sids: spec
                .statements
                .iter()
                .map(|statement| statement.sid.clone())
                .collect(),
            speaker: None,
        };
        let asking = usize::from(in_force.asks_labels);
        self.sources.insert(source, in_force);
        Ok(asking)
    }
}

impl PolicyBook {
    /// Whether anything of a source is in force.
    #[must_use]
    pub fn has(&self, namespace: &str, source: &Source) -> bool {
        let namespace = self.namespaces.get(namespace);
        namespace.is_some_and(|namespace| namespace.sources.contains_key(source))
    }

    /// Puts the statements of a source in force, in the place of those before.
    ///
    /// # Errors
    /// [`CompileError`]: nothing has changed.
    pub fn put(
        &mut self,
        namespace: &str,
        source: &Source,
        spec: &SecretPolicySpec,
    ) -> Result<(), CompileError> {
        let (attachment, statements) = compile(namespace, source, spec, &mut self.said)?;
        let book = self.namespaces.entry(namespace.to_owned()).or_default();
        self.asking -= book.take_out(source, &mut self.shards);
        self.asking += book
            .put_in(source.clone(), attachment, statements, spec, &mut self.shards)
            .map_err(|why| CompileError {
                statement: 0,
                field: "statements".to_owned(),
                column: 1,
                reason: super::CompileReason::Cedar(why),
            })?;
        self.went();
        Ok(())
    }

    /// [`PolicyBook::put`] for what an object with this UID says about its own secret: it counts only where that is the store's owner of it.
    ///
    /// # Errors
    /// [`CompileError`]: nothing has changed.
    pub fn put_of_owner(
        &mut self,
        namespace: &str,
        source: &Source,
        uid: &str,
        spec: &SecretPolicySpec,
    ) -> Result<(), CompileError> {
        self.put(namespace, source, spec)?;
        let book = self.namespaces.get_mut(namespace);
        if let Some(in_force) = book.and_then(|book| book.sources.get_mut(source)) {
            in_force.speaker = Some(uid.into());
        }
        Ok(())
    }

    /// A source may have gone: now and then, forgets what nobody says any more.
    fn went(&mut self) {
        self.gone += 1;
        if self.gone >= FORGET_AFTER {
            self.gone = 0;
            self.said.forget();
            self.shards.forget();
        }
    }

    /// Denies everything that a policy is attached to, because what was in force of it is not known any more.
    ///
    /// # Errors
    /// [`CompileError`]: the attachment itself cannot be compiled.
    pub fn deny(
        &mut self,
        namespace: &str,
        source: &Source,
        spec: &SecretPolicySpec,
    ) -> Result<(), CompileError> {
        let identities = spec.identities.is_some();
        let every = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let everybody = || {
            vec![
                PolicyPrincipal::ServiceAccount("*/*".to_owned()),
                PolicyPrincipal::User("*".to_owned()),
            ]
        };
        let statement = PolicyStatement {
            sid: Some("unknown until this policy compiles".to_owned()),
            effect: PolicyEffect::Deny,
            principals: (!identities).then(everybody),
            actions: every(&["*"]),
            resources: identities.then(|| every(&["*:secret/*", "*:key/*"])),
            conditions: None,
        };
        let spec = SecretPolicySpec {
            statements: vec![statement],
            ..spec.clone()
        };
        self.put(namespace, source, &spec)
    }

    /// Takes the statements of a source out of force.
    pub fn remove(&mut self, namespace: &str, source: &Source) {
        let Some(book) = self.namespaces.get_mut(namespace) else {
            return;
        };
        self.asking -= book.take_out(source, &mut self.shards);
        if book.sources.is_empty() {
            self.namespaces.remove(namespace);
        }
        self.went();
    }

    /// Whether anything of the source is in force.
    #[must_use]
    pub fn holds(&self, namespace: &str, source: &Source) -> bool {
        self.namespaces
            .get(namespace)
            .is_some_and(|book| book.sources.contains_key(source))
    }

    /// The namespaces that have statements in force.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        self.namespaces.keys().cloned().collect()
    }

    /// The sources of a namespace that have statements in force.
    #[must_use]
    pub fn sources(&self, namespace: &str) -> Vec<Source> {
        self.namespaces
            .get(namespace)
            .map(|book| book.sources.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Whether any statement asks for labels of a pod or a node: where none does, nobody has to look them up.
    #[must_use]
    pub const fn asks_labels(&self) -> bool {
        self.asking > 0
    }

    /// Number of statements in force.
    #[must_use]
    pub fn statements(&self) -> usize {
        self.namespaces
            .values()
            .flat_map(|book| book.sources.values())
            .map(|in_force| in_force.sids.len())
            .sum()
    }

    /// How many shards there are that names share.
    #[cfg(test)]
    pub(super) fn shards(&mut self) -> usize {
        self.shards.forget();
        self.shards.len()
    }

    pub(super) fn ask_identities(
        &self,
        namespace: &str,
        account: &str,
        request: &Request<'_>,
        action: Action,
        target: Target,
    ) -> Result<(Says, Vec<StatementRef>), Unanswerable> {
        self.ask(namespace, request.owner, |book| {
            book.identities.ask(account, request, action, target)
        })
    }

    pub(super) fn ask_secrets(
        &self,
        request: &Request<'_>,
        action: Action,
    ) -> Result<(Says, Vec<StatementRef>), Unanswerable> {
        self.ask(request.secret.namespace, request.owner, |book| {
            book.secrets
                .ask(request.secret.name, request, action, Target::Secret)
        })
    }

    fn ask(
        &self,
        namespace: &str,
        owner: Option<&str>,
        ask: impl FnOnce(&Namespace) -> Result<(Says, Vec<String>), Unanswerable>,
    ) -> Result<(Says, Vec<StatementRef>), Unanswerable> {
        let Some(book) = self.namespaces.get(namespace) else {
            return Ok((Says::Nothing, Vec::new()));
        };
        let (says, deciding) = ask(book)?;
        let counts = |id: &&String| {
            let in_force = Source::of_statement(id).and_then(|(source, _)| book.sources.get(&source));
            let speaker = in_force.and_then(|in_force| in_force.speaker.as_deref());
            speaker.is_none_or(|speaker| owner == Some(speaker))
        };
        let counting = deciding.iter().filter(counts).count();
        // Whoever speaks for a secret of his own only allows, so that nothing is denied by what is left out.
        if says == Says::Allow && counting == 0 {
            return Ok((Says::Nothing, Vec::new()));
        }
        let mut statements: Vec<StatementRef> = deciding
            .iter()
            .filter(counts)
            .filter_map(|id| {
                let (source, index) = Source::of_statement(id)?;
                let sid = book
                    .sources
                    .get(&source)
                    .and_then(|source| source.sids.get(index)?.clone());
                Some(StatementRef {
                    namespace: namespace.to_owned(),
                    source,
                    number: index + 1,
                    sid,
                })
            })
            .collect();
        statements.sort();
        statements.dedup();
        Ok((says, statements))
    }
}
