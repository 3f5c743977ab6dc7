//! One pair at a time: a server, a holder, an asker.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::binaries::Binaries;
use crate::failure::{Failure, Result};
use crate::lab::internet::nat::{Nat, Transport};
use crate::lab::internet::{Host, House};
use crate::lab::nodes::{Client, Line, Service, Start, copy};

/// The port of the first lane's server.
const FIRST_PORT: u16 = 7700;
/// How long a session or a short play may take to come about.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long until listeners have told the server what they hold, and where they
/// are; where a router opens ports on request, until it has.
const SETTLING: Duration = Duration::from_millis(300);
const SETTLING_MAPPED: Duration = Duration::from_millis(2_500);
/// How fast the holder hears the track.
const HASTE: u32 = 100;

/// A server with a catalogue, and room for two listeners.
pub(super) struct Lane {
    folder: PathBuf,
    service: Service,
    /// The track that is asked for, and the one before it.
    tracks: [String; 2],
    attempts: usize,
}

/// Who is to meet, and how.
pub(super) struct Attempt<'a> {
    /// Of the holder and of the asker.
    pub(super) houses: [&'a House; 2],
    pub(super) transport: Transport,
    /// The holder's; the asker has the next.
    pub(super) port: u16,
    /// How long a link may take.
    pub(super) patience: Duration,
}

/// What became of it.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) holder: Nat,
    pub(super) asker: Nat,
    pub(super) transport: Transport,
    /// `None` if they did not meet.
    pub(super) met: Option<Met>,
    /// Why they could not even try.
    pub(super) trouble: Option<String>,
}

/// A link that came about.
#[derive(Debug, Clone)]
pub(super) struct Met {
    /// From the click to the link.
    pub(super) took: Duration,
    /// How, as the asker says; of clients that do not say, who dialled.
    pub(super) path: String,
}

impl Lane {
    /// Starts the server on a copy of a catalogue.
    pub(super) fn start(
        binaries: &Binaries,
        host: &Host,
        catalogue: &Path,
        folder: &Path,
        number: u16,
        tracks: [String; 2],
    ) -> Result<Self> {
        let data = folder.join("server");
        copy(catalogue, &data)?;
        let service = Service::start(binaries, &data, host, FIRST_PORT + number)?;
        Ok(Self { folder: folder.to_owned(), service, tracks, attempts: 0 })
    }

    /// Has one listener hold the track and another ask for it.
    pub(super) fn attempt(
        &mut self,
        binaries: &Binaries,
        attempt: &Attempt<'_>,
    ) -> Result<Outcome> {
        self.attempts += 1;
        let [holder, asker] = attempt.houses.map(House::nat);
        let mut outcome =
            Outcome { holder, asker, transport: attempt.transport, met: None, trouble: None };
        match self.try_to_meet(binaries, attempt)? {
            Ok(met) => outcome.met = met,
            Err(trouble) => outcome.trouble = Some(trouble),
        }
        Ok(outcome)
    }

    /// The link, or why they could not even try.
    fn try_to_meet(
        &self,
        binaries: &Binaries,
        attempt: &Attempt<'_>,
    ) -> Result<std::result::Result<Option<Met>, String>> {
        let [track, before] = &self.tracks;
        let folder = self.folder.join(format!("{:03}-{}", self.attempts, attempt.houses[1].nat()));
        let start = |name: &str| folder.join(format!("{name}-{}", attempt.transport));
        let (holder_folder, asker_folder) = (start("holder"), start("asker"));
        let transport = attempt.transport.to_string();
        let holder = Start {
            link: self.service.link(),
            folder: &holder_folder,
            transport: &transport,
            port: attempt.port,
            track,
            kbps: 160,
            speed: HASTE,
        };
        let asker = Start {
            folder: &asker_folder,
            port: attempt.port + 1,
            track: before,
            speed: 1,
            ..holder
        };
        let mut holder = Client::start(binaries, attempt.houses[0].host(0), holder)?;
        let heard = |line: &Line| line.play().map(|play| play.finished);
        let mut asker = Client::start(binaries, attempt.houses[1].host(0), asker)?;
        match holder.wait_for(0, PATIENCE, heard)? {
            Some(true) => {}
            Some(false) => return Ok(Err("the holder did not hear its track whole".to_owned())),
            None => return Ok(Err("the holder has no session".to_owned())),
        }
        let up = asker.wait_for(0, PATIENCE, |line| line.is_server_up().then_some(()))?;
        if up.is_none() {
            return Ok(Err("the asker has no session".to_owned()));
        }
        let mapped = attempt.houses.iter().any(|house| house.nat() == Nat::Upnp);
        thread::sleep(if mapped { SETTLING_MAPPED } else { SETTLING });
        let clicked_ms = now_ms()?;
        asker.order(&format!("play {track}"))?;
        let link = asker.wait_for(0, attempt.patience, |line| {
            line.peer_up().map(|peer| (line.at_ms, peer.clone()))
        })?;
        let met = link.map(|(at_ms, peer)| Met {
            // Some meet before they need each other.
            took: Duration::from_millis(at_ms.saturating_sub(clicked_ms)),
            path: peer
                .path
                .unwrap_or_else(|| if peer.dialled { "dialled" } else { "was dialled" }.to_owned()),
        });
        asker.stop()?;
        holder.stop()?;
        Ok(Ok(met))
    }
}

fn now_ms() -> Result<u64> {
    let now = SystemTime::UNIX_EPOCH.elapsed()?;
    u64::try_from(now.as_millis()).map_err(|_| Failure::new("the clock is far in the future"))
}
