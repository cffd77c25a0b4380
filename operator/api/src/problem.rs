//! The stable codes of problem documents (RFC 9457), each with its status and what there is to do. The page
//! `docs/reference/errors.md` is made of them.

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:literal, $title:literal;)+) => {
        /// Why a request is not answered with what it asked for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// The code that is written so, if there is one.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == name)
            }

            /// The HTTP status.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// What it is, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// Its cause, and what to do.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

codes! {
    /// A parameter or the body is invalid; `detail` names it.
    InvalidRequest = 400, "the request means nothing";
    /// No `Authorization: Bearer` token, or one that has expired, is for another audience, or belongs to a
    /// pod that is gone; mount a projected token with audience `strongroom.dev`.
    Unauthenticated = 401, "the caller is not authenticated";
    /// No policy allows it, or one denies it; `detail` names the statement, `missingPolicies` what to apply.
    PolicyDenied = 403, "no policy allows it";
    /// The secret is a default secret: its name begins with the code of a product, and only the managers of
    /// that SecretProduct make, change and delete it. `detail` names the product and its page; make the
    /// change there ([who may do what](product-matrix.md)).
    ProductManaged = 403, "the secret is managed by a product";
    /// The hosting mode of the default secret does not allow it: a free one has no policies of its own and is
    /// not read from other namespaces, a paid one keeps its EncryptionKey until the tenant gives that up, and
    /// a product offers only the modes in `spec.hosting` of its SecretProduct. Or the gateway does not serve
    /// the secret: a [dedicated one](../gateways.md#what-is-served) has the paid secrets of its products
    /// alone; use the shared gateway.
    HostingRefused = 403, "the hosting mode or the gateway does not allow it";
    /// The product has as many default secrets in the namespace, or in all, as `spec.quota` of its
    /// SecretProduct allows; those in recovery windows count. Delete some and wait for their windows to end,
    /// or have the quota raised.
    QuotaExceeded = 403, "the quota of the product is used up";
    /// `spec.namespaces` of the SecretProduct does not select the namespace, so the product can own no secret
    /// there; label the namespace.
    NamespaceNotSelected = 403, "the product may not own secrets in this namespace";
    /// A ServiceAccount came over `people.strongroom.dev`, which `people.serviceAccounts: false` of the chart
    /// forbids; call the gateway over HTTPS with a projected token of audience `strongroom.dev`.
    ServiceAccountRefused = 403, "ServiceAccounts may not use this API";
    /// No such secret, or you may not know of it.
    SecretNotFound = 404, "no such secret";
    /// The secret has no such version; list its versions.
    VersionNotFound = 404, "no such version";
    /// No version has this stage.
    StageNotFound = 404, "no version has this stage";
    /// The value has no key of this name.
    DataKeyNotFound = 404, "no such key in the value";
    /// The secret has no policy of its own; SetSecretPolicy makes one.
    PolicyNotFound = 404, "the secret has no policy of its own";
    /// The API has no such path.
    NoSuchPath = 404, "no such path";
    /// The path does not allow this method.
    MethodNotAllowed = 405, "the path does not allow this method";
    /// A secret of this name exists; PutSecretValue adds a version.
    SecretExists = 409, "the secret exists";
    /// A secret or ManagedSecret of this name was there before the product owned it, so it is no default
    /// secret; delete it and let the product make it, or choose another name.
    ProductNewer = 409, "the secret is older than its product";
    /// No SecretProduct has the code that the name begins with; have it applied, or choose a name without
    /// `!`.
    ProductUnknown = 409, "there is no such product";
    /// The SecretProduct was deleted. Its secrets can be read, and nobody writes them; apply it again.
    ProductAbsent = 409, "the product was deleted";
    /// The SecretProduct was applied again with other managers, or a manager's namespace was made again, so
    /// nobody writes the secrets; a platform administrator decides with `kubectl strongroom product adopt`.
    ProductChanged = 409, "the product has other managers than before";
    /// `spec.suspend` of the SecretProduct is true, so its managers write nothing; reads go on.
    ProductSuspended = 409, "the product is suspended";
    /// Somebody else, such as a GitOps tool or a person with `kubectl apply`, manages the object or the
    /// field; make the change there.
    ManagedElsewhere = 409, "the object is managed elsewhere";
    /// The version id exists with another value, or you may not be told whether the value differs; versions
    /// are immutable, choose a new id.
    VersionConflict = 409, "the version id exists with another value";
    /// No ManagedSecret with `source: {external: {}}` declares the secret, so its values come from elsewhere.
    SourceNotExternal = 409, "the secret takes no values over the API";
    /// The ManagedSecret names an EncryptionKey that does not exist yet; apply it.
    KeyNotFound = 409, "there is no such encryption key";
    /// An EncryptionKey requires in `spec.requiredFor` that the secret uses it; set `spec.encryptionKey` of
    /// the ManagedSecret to it. Or the product offers paid hosting only; name an EncryptionKey of the tenant
    /// in `encryptionKey`.
    KeyRequired = 409, "the secret must use an encryption key";
    /// The ManagedSecret does not say how to make a new value, or is gone; `source: {generate: …}` does.
    NotRotatable = 409, "no new value can be generated for the secret";
    /// `Current` and `Previous` can be moved but not removed.
    StageReserved = 409, "the stage can only be moved";
    /// A secret has at most 8 stages; remove one first.
    TooManyStages = 409, "the secret has too many stages";
    /// The namespace has reached its limit of secrets or of space in the store
    /// ([limits](../limits.md#room-in-the-store)): no new secret, and no larger value. Delete what is not
    /// needed and wait for its recovery windows to end, or ask an administrator for `kubectl strongroom purge
    /// --namespace`.
    NamespaceFull = 409, "the namespace is full";
    /// The value is sealed for a key that was used, is older than a minute, or was made before a restart; ask
    /// for another key.
    SealingKeyNotFound = 409, "the value is sealed for a key that is gone";
    /// Version and stage were both given and name different versions; give one.
    StageMismatch = 409, "version and stage do not agree";
    /// The secret was deleted; restore it.
    InRecoveryWindow = 409, "the secret was deleted and can be restored";
    /// The secret was not deleted, so there is nothing to restore.
    NotInRecoveryWindow = 409, "the secret was not deleted";
    /// The encryption key of the secret is disabled; enable it.
    KeyDisabled = 409, "the encryption key is disabled";
    /// The encryption key of the secret is scheduled for deletion; cancel that.
    KeyPendingDeletion = 409, "the encryption key is scheduled for deletion";
    /// The namespace was deleted and made again; a cluster administrator can accept the old secrets by
    /// annotation ([namespaces that keep nothing](../deletion.md#namespaces-that-keep-nothing) leave no old
    /// secrets).
    NamespaceRecreated = 409, "the namespace was deleted and created again";
    /// The body is larger than 192 KiB, or the value than 64 KiB.
    TooLarge = 413, "the request is too large";
    /// The rate of the caller, or of all callers of its namespace, is used up, or its address sent too many
    /// requests without a valid token; wait as long as `Retry-After` says.
    TooManyRequests = 429, "too many requests";
    /// Too many requests, watches or connections at the same time; `detail` says whose
    /// ([limits](../limits.md)); wait as long as `Retry-After` says.
    Overloaded = 503, "the gateway is busy";
    /// The request took longer than 30 s, its body included.
    Timeout = 503, "it took too long";
    /// The API server does not answer, and the token was not accepted before; or the API server refuses to
    /// check tokens at the moment.
    AuthenticationUnavailable = 503, "tokens cannot be checked now";
    /// The policies are being loaded.
    PoliciesUnavailable = 503, "policies are not loaded";
    /// The cluster's API server did not accept the change that the request needs; try again.
    ClusterUnavailable = 503, "the cluster's API server does not answer";
    /// No audit record can be written, so the request is refused; `detail` says why: make room on the volume,
    /// or, if the audit log has reached its limit, make the sink that it names receive records again
    /// ([audit](../audit.md#space)).
    AuditUnavailable = 503, "no audit record can be written";
    /// The disk of the store is full, so nothing is changed; make room or enlarge the volume, then the same
    /// request works.
    StoreFull = 503, "the disk of the store is full";
    /// The store does not answer; if `detail` says that an earlier write failed, check the disk and restart.
    StoreUnavailable = 503, "the store is not available";
    /// The record of the secret is damaged; restore a backup.
    StoreDamaged = 500, "a record of the store is damaged";
}
