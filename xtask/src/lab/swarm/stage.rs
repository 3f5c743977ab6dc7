//! Who takes part: the server, the seeds, and a client that fetches.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::binaries::Binaries;
use crate::demo::catalogue_of_lengths;
use crate::failure::{Failure, Result};
use crate::lab::internet::nat::Nat;
use crate::lab::internet::{Access, House, Internet};
use crate::lab::interrupt;
use crate::lab::nodes::{Client, Line, Play, Service, Start, copy};

/// Heard before anything is measured, and between, in seconds: long enough that
/// peers are asked for it, so that links to them stand.
const BEFORE: u32 = 60;
/// Long enough that beginnings count for little.
const LONG: u32 = 300;
/// Tracks have from so many seconds on, up to twice that.
const SHORTEST: u32 = 50;
/// How fast a track is heard that is only to be had.
const HASTE: u32 = 200;
/// How long a track may take at that; and how long anything else may.
const PATIENCE: Duration = Duration::from_secs(60);
/// A download is over when the link was at rest for this long; it is given up
/// after that long, or if it has not begun by then.
const QUIET: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(20);
const LATEST: Duration = Duration::from_secs(4);
/// What passes a link at rest: keep-alives and the like, in bytes.
const MURMUR: u64 = 2_000;
/// How long until a play that was left is recorded.
const RECORDING: Duration = Duration::from_secs(2);
/// How long links may take to come about, and what follows to settle.
const LINKING: Duration = Duration::from_secs(8);
const REST: Duration = Duration::from_secs(1);
/// House of the client, and those of the seeds.
const CLIENT: usize = 0;
const SEEDS: usize = 4;
const PORT: u16 = 20_000;
const SERVER_PORT: u16 = 7700;

/// The network and everybody on it but the client.
pub(super) struct Stage {
    binaries: Binaries,
    folder: PathBuf,
    transport: String,
    /// The short one, the ones to fetch, the long one.
    tracks: Vec<String>,
    seeds: Vec<Client>,
    service: Service,
    internet: Internet,
}

impl Stage {
    /// Makes music, hears all of it once, and lays it into the seeds' caches.
    pub(super) fn build(
        binaries: &Binaries,
        folder: &Path,
        tracks: usize,
        transport: &str,
    ) -> Result<Self> {
        let lengths = (0_u32..).take(tracks).map(|track| SHORTEST + track * 37 % SHORTEST);
        let lengths: Vec<u32> = [BEFORE].into_iter().chain(lengths).chain([LONG]).collect();
        let tracks = catalogue_of_lengths(binaries, folder, &lengths)?;
        if tracks.len() != lengths.len() {
            return Err(Failure::new("the music was not ingested whole"));
        }
        let mut internet = Internet::new(Access::default(), 1)?;
        for _ in 0..=SEEDS {
            internet.add_house(Nat::None, Access::default(), 1)?;
        }
        let service =
            Service::start(binaries, &folder.join("server"), internet.server(), SERVER_PORT)?;
        let stage = Self {
            binaries: binaries.clone(),
            folder: folder.to_owned(),
            transport: transport.to_owned(),
            tracks,
            seeds: Vec::new(),
            service,
            internet,
        };
        stage.hear_everything()?;
        Ok(stage)
    }

    /// The folder of a listener who knows every track.
    fn knowing(&self) -> PathBuf {
        self.folder.join("knowing")
    }

    fn hear_everything(&self) -> Result<()> {
        let playlist = self.folder.join("everything");
        fs::write(&playlist, self.tracks.join("\n"))?;
        let folder = self.knowing();
        let playlist = playlist.to_string_lossy().into_owned();
        let start = self.start(&folder, &playlist, HASTE);
        let mut client = Client::start(&self.binaries, self.internet.house(CLIENT).host(0), start)?;
        let mut from = 0;
        for _ in &self.tracks {
            let heard = |line: &Line| line.play().map(|play| play.finished);
            if client.wait_for(from, PATIENCE, heard)? != Some(true) {
                return Err(Failure::new("a track was not heard whole"));
            }
            let next = client.events.iter().skip(from).position(|line| line.play().is_some());
            from += next.map_or(0, |next| next + 1);
        }
        client.stop()?;
        for seed in 0..SEEDS {
            copy(&folder.join("cache"), &self.seed_folder(seed).join("cache"))?;
        }
        Ok(fs::remove_dir_all(folder.join("cache"))?)
    }

    fn start<'a>(&'a self, folder: &'a Path, track: &'a str, speed: u32) -> Start<'a> {
        let link = self.service.link();
        Start { link, folder, transport: &self.transport, port: PORT, track, kbps: 160, speed }
    }

    fn seed_folder(&self, seed: usize) -> PathBuf {
        self.folder.join(format!("seed-{seed}"))
    }

    /// Gives every link its shape.
    pub(super) fn shape(&self, server: Access, client: Access, seeds: &[Access]) -> Result<()> {
        self.internet.reshape_server(server)?;
        self.internet.house(CLIENT).reshape(client)?;
        let houses = self.internet.houses().iter().skip(CLIENT + 1);
        houses.zip(seeds).try_for_each(|(house, access)| house.reshape(*access))
    }

    /// Lets so many seeds be there.
    pub(super) fn start_seeds(&mut self, count: usize) -> Result<()> {
        for seed in self.seeds.len()..count {
            let client = self.seed(seed)?;
            self.seeds.push(client);
        }
        interrupt::wait(REST)
    }

    fn seed(&self, seed: usize) -> Result<Client> {
        let folder = self.seed_folder(seed);
        let host = self.internet.house(CLIENT + 1 + seed).host(0);
        let start = self.start(&folder, &self.tracks[0], 1);
        let mut client = Client::start(&self.binaries, host, start)?;
        let up = client.wait_for(0, PATIENCE, |line| line.is_server_up().then_some(()))?;
        up.ok_or_else(|| Failure::new("a seed has no session"))?;
        Ok(client)
    }

    /// Ends the server.
    pub(super) fn stop_service(&mut self) -> Result<()> {
        self.service.stop()
    }

    /// Starts it again; returns when all seeds have a session with it.
    pub(super) fn restart_service(&mut self) -> Result<()> {
        let from: Vec<usize> = self.seeds.iter().map(|seed| seed.events.len()).collect();
        let host = self.internet.server();
        self.service =
            Service::start(&self.binaries, &self.folder.join("server"), host, SERVER_PORT)?;
        for (seed, from) in self.seeds.iter_mut().zip(from) {
            let up = seed.wait_for(from, PATIENCE, |line| line.is_server_up().then_some(()))?;
            up.ok_or_else(|| Failure::new("a seed does not come back to the server"))?;
        }
        Ok(())
    }

    pub(super) fn freeze_seed(&self, seed: usize, frozen: bool) -> Result<()> {
        self.seeds[seed].freeze(frozen)
    }

    pub(super) fn kill_seed(&self, seed: usize) {
        self.seeds[seed].kill();
    }

    /// Starts a seed again that was killed.
    pub(super) fn restart_seed(&mut self, seed: usize) -> Result<()> {
        self.seeds[seed] = self.seed(seed)?;
        Ok(())
    }

    /// The number of the long track.
    pub(super) const fn long_track(&self) -> usize {
        self.tracks.len() - 2
    }

    fn track(&self, number: usize) -> &str {
        &self.tracks[1 + number]
    }
}

/// A client that fetches, and what is looked at meanwhile.
pub(super) struct Listening {
    client: Client,
    /// When the play was asked for, where its events begin, and what had passed the
    /// link.
    clicked: Instant,
    from: usize,
    passed: u64,
}

/// One track that was fetched.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) play: Play,
    /// What passed the client's link both ways, without headers.
    pub(super) payload: u64,
    /// From the click until it was left.
    pub(super) heard_for: Duration,
}

impl Listening {
    /// A client that has heard nothing, with its session and links.
    pub(super) fn start(stage: &Stage, name: &str) -> Result<Self> {
        Self::start_in(stage, &stage.folder.join(name))
    }

    /// A client that knows all tracks, and has none of them.
    pub(super) fn start_knowing(stage: &Stage, name: &str) -> Result<Self> {
        let folder = stage.folder.join(name);
        copy(&stage.knowing(), &folder)?;
        Self::start_in(stage, &folder)
    }

    fn start_in(stage: &Stage, folder: &Path) -> Result<Self> {
        let host = stage.internet.house(CLIENT).host(0);
        let start = stage.start(folder, &stage.tracks[0], 1);
        let mut client = Client::start(&stage.binaries, host, start)?;
        let up = client.wait_for(0, PATIENCE, |line| line.is_server_up().then_some(()))?;
        up.ok_or_else(|| Failure::new("the client has no session"))?;
        let seeds = stage.seeds.len();
        interrupt::wait_for(LINKING, || {
            client.read()?;
            let links = client.events.iter().filter(|line| line.peer_up().is_some()).count();
            Ok((links >= seeds).then_some(()))
        })?;
        let listening = Self { client, clicked: Instant::now(), from: 0, passed: 0 };
        listening.until_quiet(stage.internet.house(CLIENT))?;
        Ok(listening)
    }

    /// Waits until the client knows that it has no server.
    pub(super) fn until_server_is_gone(&mut self) -> Result<()> {
        let gone = self.client.wait_for(0, PATIENCE, |line| line.is_server_down().then_some(()))?;
        gone.ok_or_else(|| Failure::new("the client does not notice that the server is gone"))
    }

    pub(super) fn process(&self) -> u32 {
        self.client.id()
    }

    /// Lets everything settle.
    pub(super) fn rest(&self) -> Result<()> {
        interrupt::wait(REST)
    }

    /// Asks for a track.
    pub(super) fn click(&mut self, stage: &Stage, track: usize) -> Result<()> {
        self.client.read()?;
        self.clicked = Instant::now();
        self.from = self.client.events.len();
        self.passed = payload(stage.internet.house(CLIENT));
        self.client.order(&format!("play {}", stage.track(track)))
    }

    /// Goes on to something else; what was heard of the track.
    pub(super) fn leave(&mut self, stage: &Stage, track: usize) -> Result<Measured> {
        let payload = payload(stage.internet.house(CLIENT)) - self.passed;
        let heard_for = self.clicked.elapsed();
        self.client.order(&format!("play {}", stage.tracks[0]))?;
        let track = stage.track(track);
        let of_it = |play: &&Play| play.track == track;
        let wanted = |line: &Line| line.play().filter(of_it).cloned();
        let heard = self.client.wait_for(self.from, RECORDING, wanted)?;
        // One that never began is not recorded.
        let play = heard.unwrap_or_default();
        Ok(Measured { play, payload, heard_for })
    }

    /// Fetches a track: until nothing more comes.
    pub(super) fn fetch(&mut self, stage: &Stage, track: usize) -> Result<Measured> {
        self.click(stage, track)?;
        self.until_quiet(stage.internet.house(CLIENT))?;
        self.leave(stage, track)
    }

    /// Hears a track again from the cache, for as long as when it was fetched.
    pub(super) fn hear_again(&mut self, stage: &Stage, track: usize, time: Duration) -> Result<()> {
        self.click(stage, track)?;
        interrupt::wait(time)?;
        self.leave(stage, track).map(drop)
    }

    /// Waits until something has come and nothing more comes.
    fn until_quiet(&self, house: &House) -> Result<()> {
        let begun = Instant::now();
        let (mut at_rest, mut passed) = (begun, payload(house));
        interrupt::wait_for(LONGEST, || {
            let now = payload(house);
            if now > passed + MURMUR {
                (at_rest, passed) = (Instant::now(), now);
            }
            let patience = if at_rest == begun { LATEST } else { QUIET };
            Ok((at_rest.elapsed() > patience).then_some(()))
        })
        .map(drop)
    }

    pub(super) fn stop(self) -> Result<()> {
        self.client.stop()
    }
}

fn payload(house: &House) -> u64 {
    let (up, down) = house.passed();
    up.payload + down.payload
}
