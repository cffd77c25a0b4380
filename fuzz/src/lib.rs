//! Fuzz targets: everything that reads bytes or texts which somebody else may have written. Each is one
//! function from an input to nothing, and a broken promise is a panic. `cargo fuzz` runs them for as long as
//! a person likes, `tests/bounded.rs` for seconds.

pub mod admin;
pub mod anchor;
pub mod audit_log;
pub mod backup;
pub mod hello;
pub mod manifest;
pub mod name;
pub mod pem;
pub mod query;
pub mod ram_policy;
pub mod record;
pub mod seal_file;
pub mod store;
pub mod template;
pub mod token;

/// A reader of what somebody else may have written.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also that of its folder of seeds.
    pub name: &'static str,
    /// Runs it on an input; panics where a promise does not hold.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 14] = [
    Target {
        name: "record",
        run: record::run,
    },
    Target {
        name: "seal_file",
        run: seal_file::run,
    },
    Target {
        name: "audit_log",
        run: audit_log::run,
    },
    Target {
        name: "backup",
        run: backup::run,
    },
    Target {
        name: "template",
        run: template::run,
    },
    Target {
        name: "pem",
        run: pem::run,
    },
    Target {
        name: "manifest",
        run: manifest::run,
    },
    Target {
        name: "admin",
        run: admin::run,
    },
    Target {
        name: "anchor",
        run: anchor::run,
    },
    Target {
        name: "token",
        run: token::run,
    },
    Target {
        name: "hello",
        run: hello::run,
    },
    Target {
        name: "name",
        run: name::run,
    },
    Target {
        name: "query",
        run: query::run,
    },
    Target {
        name: "ram_policy",
        run: ram_policy::run,
    },
];
