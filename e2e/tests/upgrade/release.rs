//! The two releases: that of the commit from which is upgraded, and this tree.

use std::path::{Path, PathBuf};

use strongroom_e2e::Strongroom;

use crate::support::Fixture;

/// The tag of the images of the old release. Both charts have the same version, and those of this tree have
/// it as their tag.
const OLD_TAG: &str = "old";

/// Archives that `e2e/upgrade` made, and the images in them.
const IMAGES: [(&str, &str); 3] = [
    ("strongroom", "strongroom.dev/strongroom"),
    ("node", "strongroom.dev/strongroom-node"),
    ("exec", "strongroom.dev/strongroom-exec"),
];

/// Whose program, chart or image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Release {
    /// That of the other commit.
    Old,
    /// That of this tree.
    New,
}

impl Release {
    /// Each of them.
    pub(crate) const ALL: [Self; 2] = [Self::Old, Self::New];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Old => "old",
            Self::New => "new",
        }
    }

    pub(crate) fn chart(self) -> PathBuf {
        match self {
            Self::Old => told("STRONGROOM_OLD_CHART"),
            Self::New => Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/strongroom"),
        }
    }

    /// `strongroom`, for this machine.
    pub(crate) fn server(self) -> PathBuf {
        match self {
            Self::Old => told("STRONGROOM_OLD_PROGRAMS").join("strongroom"),
            Self::New => Strongroom::binary(),
        }
    }

    /// `kubectl strongroom`.
    pub(crate) fn client(self) -> PathBuf {
        self.server().with_file_name("kubectl-strongroom")
    }

    /// Values by which the chart has this release's images.
    pub(crate) fn image_values(self) -> Vec<String> {
        match self {
            Self::Old => ["image.tag", "node.image.tag", "env.image.tag"]
                .map(|value| format!("{value}={OLD_TAG}"))
                .to_vec(),
            Self::New => Vec::new(),
        }
    }

    /// Whether a container's image is of this release.
    pub(crate) fn has_image(self, image: &str) -> bool {
        let is_old = image.ends_with(&format!(":{OLD_TAG}"));
        is_old == (self == Self::Old)
    }
}

/// The commit from which is upgraded.
pub(crate) fn commit() -> String {
    told("STRONGROOM_OLD_COMMIT").display().to_string()
}

fn told(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value.map_or_else(
        || panic!("{variable} is not set; run this test by `make upgrade`"),
        PathBuf::from,
    )
}

/// Puts the images of both releases onto the node.
pub(crate) fn load_images(f: &Fixture) {
    let version = version_of(&Release::Old.chart());
    let ctr = "ctr --address /run/node-a.sock --namespace k8s.io images";
    for (archive, image) in IMAGES {
        let archive = told("STRONGROOM_OLD_IMAGES").join(format!("{archive}.tar"));
        f.cluster.load(&archive).unwrap();
        // Before the image of this tree takes the name.
        let said = f.on_node(&format!(
            "{ctr} tag --force {image}:{version} {image}:{OLD_TAG} 2>&1; {ctr} list --quiet"
        ));
        let has_tag = said.lines().any(|line| line == format!("{image}:{OLD_TAG}"));
        assert!(has_tag, "{said}");
    }
    f.cluster.load_strongroom().unwrap();
    f.cluster.load_node_plugin().unwrap();
    f.cluster.load_exec().unwrap();
}

/// The version of a chart's programs, which is the tag of their images.
fn version_of(chart: &Path) -> String {
    let text = std::fs::read_to_string(chart.join("Chart.yaml")).unwrap();
    let version = text.lines().find_map(|line| line.strip_prefix("appVersion: "));
    version.unwrap().trim_matches('"').to_owned()
}
