//! Many sessions on one server, and strangers at its door.

use crate::support::alone;

/// What an idle session may cost the server, in KiB of resident memory.
const SESSION_KIB: f64 = 16.0;

#[test]
fn h1_an_idle_session_is_small_and_a_flood_of_strangers_keeps_nobody_out() {
    let _alone = alone();
    // Plays and logins go on beside 500 half-open handshakes a second from the
    // same address, or this fails.
    let measured = xtask::lab::crowd::measure(1_500, 20, 500).unwrap();
    eprintln!("{measured:?}");
    assert_eq!(measured.sessions, 1_500);
    assert!(measured.kib_per_session <= SESSION_KIB, "{measured:?}");
}
