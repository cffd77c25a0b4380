//! The messages of kubelet in the tree are those of `proto/`. `UPDATE_GENERATED=1` writes them.

use std::path::Path;

use strongroom_testing::assert_generated;

#[test]
fn the_messages_of_kubelet_are_current() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let sources = ["csi.proto", "registration.proto"].map(|name| proto.join(name));
    let files = protox::compile(sources, [&proto]).unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut config = prost_build::Config::new();
    // It holds tokens: `src/proto.rs` says how it is printed.
    config.skip_debug([".csi.v1.NodePublishVolumeRequest"]);
    tonic_prost_build::configure()
        .build_transport(false)
        .client_mod_attribute(".", "#[cfg(feature = \"testing\")]")
        .server_mod_attribute("Controller", "#[cfg(feature = \"testing\")]")
        .out_dir(out.path())
        .compile_fds_with_config(files, config)
        .unwrap();
    for name in ["csi.v1.rs", "pluginregistration.rs"] {
        let current = std::fs::read_to_string(out.path().join(name)).unwrap();
        assert_generated(&format!("operator/node/src/generated/{name}"), &current);
    }
}
