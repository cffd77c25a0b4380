//! The operation matrix: operation × who asks × hosting × listener. It is read from `matrix.csv`, of which
//! the page `docs/reference/product-matrix.md` is made as well.
//!
//! INVARIANT: what the file does not say, or says in a word that is not known, is refused.

use std::fmt::{self, Write as _};
use std::sync::LazyLock;

use strongroom_model::Hosting;

use crate::policy::Action;

/// The matrix as it stands in the repository: an operation a line, and a column for each of who asks, hosting
/// and listener.
pub const MATRIX_CSV: &str = include_str!("matrix.csv");

/// As whom somebody asks about a default secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProductRole {
    /// A ServiceAccount by which the product acts.
    Manager,
    /// Everybody else.
    User,
}

impl ProductRole {
    /// Both, in the order of the columns.
    pub const ALL: [Self; 2] = [Self::Manager, Self::User];

    /// The word in the names of columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manager => "product",
            Self::User => "user",
        }
    }
}

/// What kind of listener a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenerKind {
    /// The one for everybody.
    Shared,
    /// One for the paid secrets of certain products.
    Dedicated,
}

impl ListenerKind {
    /// Both, in the order of the columns.
    pub const ALL: [Self; 2] = [Self::Shared, Self::Dedicated];

    /// The word in the names of columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Dedicated => "dedicated",
        }
    }
}

/// What the matrix says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatrixCell {
    /// The product may: no policy has to allow it, and one can deny it.
    Yes,
    /// Identity policies decide.
    Identity,
    /// Policies of both kinds decide.
    Both,
    /// Nobody may: the change is made in the product.
    Managed,
    /// Free secrets are at the shared listener alone.
    Hosting,
    /// Nobody may, but where `spec.userMay` of the product names it: then policies decide.
    UserMay,
    /// The secret has no policy of its own.
    NoPolicy,
}

impl MatrixCell {
    /// Each with its word in the file and its meaning on the page.
    const WORDS: [(Self, &'static str, &'static str); 7] = [
        (
            Self::Yes,
            "yes",
            "the product may, and no policy has to allow it; a Deny still wins",
        ),
        (Self::Identity, "identity", "identity policies decide"),
        (
            Self::Both,
            "both",
            "policies of both kinds decide: in the secret's namespace either is enough, from another one both must allow",
        ),
        (
            Self::Managed,
            "managed",
            "refused with `ProductManaged`: make the change in the product",
        ),
        (
            Self::Hosting,
            "hosting",
            "refused with `HostingRefused`: a free secret is at the shared gateway alone",
        ),
        (
            Self::UserMay,
            "user-may",
            "refused with `ProductManaged`, unless `spec.userMay` of the SecretProduct names the operation: then policies decide",
        ),
        (
            Self::NoPolicy,
            "no-policy",
            "refused: a free secret has no policy of its own (`PolicyNotFound` for GetSecretPolicy, `HostingRefused` for SetSecretPolicy)",
        ),
    ];

    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let mut words = Self::WORDS.iter();
        words
            .find(|(cell, ..)| *cell == self)
            .map_or("", |(_, word, _)| *word)
    }

    fn named(word: &str) -> Option<Self> {
        let mut words = Self::WORDS.iter();
        words.find(|(_, known, _)| *known == word).map(|(cell, ..)| *cell)
    }
}

impl fmt::Display for MatrixCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The operations of the matrix, in the order of its lines.
pub(super) const OPERATIONS: [Action; 14] = [
    Action::CreateSecret,
    Action::ListSecrets,
    Action::DescribeSecret,
    Action::UpdateSecret,
    Action::PutSecretValue,
    Action::UpdateSecretVersionStage,
    Action::DeleteSecret,
    Action::RestoreSecret,
    Action::ListSecretVersionIds,
    Action::RotateSecret,
    Action::UpdateSecretRotationPolicy,
    Action::SetSecretPolicy,
    Action::GetSecretValue,
    Action::GetSecretPolicy,
];

/// The line of an operation; none has what destroys without a window and what only uses a key.
const fn line(action: Action) -> Option<usize> {
    Some(match action {
        Action::CreateSecret => 0,
        Action::ListSecrets => 1,
        Action::DescribeSecret => 2,
        Action::UpdateSecret => 3,
        Action::PutSecretValue => 4,
        Action::UpdateSecretVersionStage => 5,
        Action::DeleteSecret => 6,
        Action::RestoreSecret => 7,
        Action::ListSecretVersionIds => 8,
        Action::RotateSecret => 9,
        Action::UpdateSecretRotationPolicy => 10,
        Action::SetSecretPolicy => 11,
        Action::GetSecretValue => 12,
        Action::GetSecretPolicy => 13,
        Action::PurgeSecret | Action::Decrypt | Action::GenerateDataKey => return None,
    })
}

const fn column(role: ProductRole, hosting: Hosting, listener: ListenerKind) -> usize {
    let role = match role {
        ProductRole::Manager => 0,
        ProductRole::User => 4,
    };
    let hosting = match hosting {
        Hosting::Free => 0,
        Hosting::Paid => 2,
    };
    let listener = match listener {
        ListenerKind::Shared => 0,
        ListenerKind::Dedicated => 1,
    };
    role + hosting + listener
}

/// The columns in their order.
pub(super) fn columns() -> impl Iterator<Item = (ProductRole, Hosting, ListenerKind)> {
    ProductRole::ALL.into_iter().flat_map(|role| {
        Hosting::ALL.into_iter().flat_map(move |hosting| {
            ListenerKind::ALL
                .into_iter()
                .map(move |listener| (role, hosting, listener))
        })
    })
}

/// The name of an operation, as the API has it.
pub(super) fn operation_name(action: Action) -> &'static str {
    let name = action.as_str();
    name.split_once(':').map_or(name, |(_, operation)| operation)
}

type Matrix = [[MatrixCell; 8]; OPERATIONS.len()];

static MATRIX: LazyLock<Matrix> = LazyLock::new(|| parse(MATRIX_CSV));

fn parse(text: &str) -> Matrix {
    let mut matrix: Matrix = [[MatrixCell::Managed; 8]; OPERATIONS.len()];
    for row in text.lines() {
        let mut words = row.split(',');
        let name = words.next().unwrap_or_default();
        let line = OPERATIONS
            .iter()
            .position(|action| operation_name(*action) == name);
        let Some(cells) = line.and_then(|line| matrix.get_mut(line)) else {
            continue;
        };
        for (cell, word) in cells.iter_mut().zip(words) {
            *cell = MatrixCell::named(word).unwrap_or(MatrixCell::Managed);
        }
    }
    matrix
}

/// What the matrix says to an operation.
#[must_use]
pub fn cell(action: Action, role: ProductRole, hosting: Hosting, listener: ListenerKind) -> MatrixCell {
    let cells = line(action).and_then(|line| MATRIX.get(line));
    let cell = cells.and_then(|cells| cells.get(column(role, hosting, listener)));
    cell.copied().unwrap_or(MatrixCell::Managed)
}

/// The page `docs/reference/product-matrix.md`.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Who may do what with a product's secret\n\n\
         Made of `operator/rules/src/product/matrix.csv`. [Products](../concepts/products.md) says what the words mean. The \
         table is asked before any policy. *Product* is a ServiceAccount of `spec.managers`, *user* everybody else; *free* is a secret \
         under the namespace's default key, *paid* one under an EncryptionKey; *dedicated* is a gateway of the chart's \
         `gateways` that is for the product.\n\n",
    );
    let _ = write!(page, "| operation |");
    for (role, hosting, listener) in columns() {
        let hosting = hosting.as_str().to_lowercase();
        let _ = write!(page, " {}, {hosting}, {} |", role.as_str(), listener.as_str());
    }
    let _ = writeln!(page, "\n|---|{}", "---|".repeat(columns().count()));
    for action in OPERATIONS {
        let _ = write!(page, "| {} |", operation_name(action));
        for (role, hosting, listener) in columns() {
            let _ = write!(page, " {} |", cell(action, role, hosting, listener));
        }
        page.push('\n');
    }
    page.push_str("\n| word | meaning |\n|---|---|\n");
    for (_, word, meaning) in MatrixCell::WORDS {
        let _ = writeln!(page, "| {word} | {meaning} |");
    }
    page.push_str(
        "\nGetSecretHistory, ListSecretConsumers and ExplainAccess go with DescribeSecret; BatchGetSecretValue, WatchSecret and volumes with \
         GetSecretValue. PurgeSecret is refused to everybody. A secret under an EncryptionKey takes `keys:Decrypt` to read and \
         `keys:GenerateDataKey` to write, for the product as well.\n",
    );
    page
}
