//! What is wrong with the way to a server, in our words.

use std::error::Error;
use std::io;

/// The cause that an error of a client names, as far as its causes say: never a text of somebody else.
#[must_use]
pub fn transport_error_cause(error: &(dyn Error + 'static)) -> &'static str {
    let mut cause = Some(error);
    let mut found = "the connection broke";
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            found = io_error_cause(error).unwrap_or(found);
        }
        cause = error.source();
    }
    found
}

fn io_error_cause(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some("connection refused"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Some("the connection was reset"),
        io::ErrorKind::TimedOut => Some("no answer in time"),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Some("there is no route to it"),
        io::ErrorKind::UnexpectedEof => Some("the connection was closed"),
        // So TLS says it: of a certificate on either side.
        io::ErrorKind::InvalidData => Some("its certificate is not trusted, or ours is not"),
        // The resolver of the C library has no kind of its own.
        _ if error.to_string().starts_with("failed to lookup address") => Some("its name cannot be resolved"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("hunter2")]
    struct Outer(#[source] io::Error);

    #[test]
    fn the_innermost_cause_is_named() {
        for (error, said) in [
            (
                io::Error::from(io::ErrorKind::ConnectionRefused),
                "connection refused",
            ),
            (io::Error::other("hunter2"), "the connection broke"),
            (
                io::Error::other("failed to lookup address information: hunter2"),
                "its name cannot be resolved",
            ),
        ] {
            assert_eq!(transport_error_cause(&Outer(error)), said);
        }
    }
}
