//! How many sockets and files the process may have open.

/// Takes as many as the system allows: the usual soft limit of 1,024 is for
/// programs that know nothing above, and each listener takes one.
#[cfg(unix)]
pub(crate) fn allow_all() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let maximum = getrlimit(Resource::Nofile).maximum;
    let wanted = Rlimit { current: maximum, maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!("the limit of open files stays where it is: {error}");
    }
}

/// Only Unix has such a limit.
#[cfg(not(unix))]
pub(crate) fn allow_all() {}
