//! How many files and connections the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to what the system lets the process have. A container often begins with 1,024, which is
/// less than the connections that a port takes: whoever held so many would keep the port from everybody else,
/// and the process from its own files.
///
/// # Errors
/// The system's; the limit stays as it is.
pub fn raise_open_files_limit() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(());
    }
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_the_system_allows() {
        let allowed = getrlimit(Resource::Nofile);
        let low = allowed.maximum.map_or(1_024, |maximum| maximum.min(1_024));
        let lowered = Rlimit {
            current: Some(low),
            ..allowed
        };
        setrlimit(Resource::Nofile, lowered).unwrap();
        raise_open_files_limit().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, allowed.maximum);
    }
}
