//! Hears what other servers pass on.

use std::time::{Duration, Instant};

use redis::RedisResult;
use tokio::sync::mpsc;

use super::Shared;
use super::settings::{Backoff, LIFE_SECONDS};

/// How often it is looked whether the tracker is gone.
const LOOK_UP: Duration = Duration::from_secs(1);

/// A server sends this to itself with each beat: a connection that does not
/// bring it is dead, even if nothing says so.
pub(crate) const ECHO: &[u8] = b"";

/// Hears until the tracker is gone.
pub(crate) fn run(shared: &Shared, messages: &mpsc::Sender<Vec<u8>>) {
    let mut backoff = Backoff::new();
    while !shared.is_over() {
        if let Err(error) = hear(shared, messages, &mut backoff) {
            tracing::debug!("nothing is heard from other servers: {error}");
        }
        if !shared.is_over() {
            std::thread::sleep(backoff.wait());
        }
    }
}

fn hear(
    shared: &Shared,
    messages: &mpsc::Sender<Vec<u8>>,
    backoff: &mut Backoff,
) -> RedisResult<()> {
    let mut connection = shared.settings.connect(LOOK_UP)?;
    let mut inbox = connection.as_pubsub();
    inbox.subscribe(shared.settings.key('c', shared.id.as_bytes()))?;
    inbox.set_read_timeout(Some(LOOK_UP))?;
    let mut heard = Instant::now();
    while !shared.is_over() && heard.elapsed() < Duration::from_secs(LIFE_SECONDS) {
        match inbox.get_message() {
            Ok(message) => {
                heard = Instant::now();
                backoff.reset();
                let message = message.get_payload_bytes();
                // Full: a flood, and what is passed on is of the moment.
                if message != ECHO && messages.try_send(message.to_vec()).is_err() {
                    tracing::debug!("too much is passed on by other servers");
                }
            }
            Err(error) if error.is_timeout() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
