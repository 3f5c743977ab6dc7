//! Whether the network costs by the byte, as far as the system knows.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// How long the system may take to say.
const PATIENCE: Duration = Duration::from_secs(2);

/// The question to NetworkManager, which nothing of ours is put into. A program
/// that is there with NetworkManager, and not a library of D-Bus: one question at
/// the start and after a change of network is not worth a dozen crates.
const QUESTION: [&str; 8] = [
    "--system",
    "--auto-start=no",
    "--timeout=1",
    "get-property",
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
    "Metered",
];

/// Whether the network is metered, by NetworkManager's word; `None` where there is
/// no NetworkManager or it does not know. Takes 2 seconds at most, and usually
/// some tens of milliseconds.
pub async fn metered() -> Option<bool> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let asked = Command::new("busctl")
        .args(QUESTION)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, asked).await.ok()?.ok()?;
    parse(str::from_utf8(&output.stdout).ok()?)
}

/// Reads the property: `NMMetered` of NetworkManager's reference, as `busctl`
/// prints it. A guess counts.
fn parse(property: &str) -> Option<bool> {
    match property.trim() {
        "u 1" | "u 3" => Some(true),
        "u 2" | "u 4" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_network_manager_says_is_understood() {
        for (said, metered) in [
            ("u 0\n", None),
            ("u 1\n", Some(true)),
            ("u 2\n", Some(false)),
            ("u 3\n", Some(true)),
            ("u 4\n", Some(false)),
            ("u 5\n", None),
            ("s \"yes\"\n", None),
            ("", None),
        ] {
            assert_eq!(parse(said), metered, "{said:?}");
        }
    }
}
