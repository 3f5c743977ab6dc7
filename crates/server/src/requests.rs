//! The answers to a listener's requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use antiphon_catalog::{BytesBySource, PlayRecord, RecordPlayError};
use antiphon_media::RenditionKey;
use antiphon_net::{Connection, Stream, StreamError, wall_clock_ms};
use antiphon_store::{OriginBlob, ProofCursor};
use antiphon_types::{Bitrate, BlobId, BlockRange, BlockSet, Rendition, SAMPLE_RATE, TrackId};
use antiphon_wire::proto::{
    self, Blocks, BlocksFollow, FindPeers, Found, Lease, Message as _, Peers, Play, Playing,
    PlaysReported, Refused, Reply, ReportPlays, Request, Search, SignedManifest, TrackSummary,
    refused, reply, request,
};
use bytes::Bytes;

use crate::pace::Pace;
use crate::service::{LEASE_LIFETIME, Service};
use crate::session::Listener;
/// The most that is sent unasked, in milliseconds of audio (B02).
const MAX_PUSH_MS: u32 = 15_000;
/// Tracks in one answer to a search.
const MAX_FOUND: u32 = 200;
/// An answer to a search ends with the track that passes this.
const MAX_FOUND_BYTES: usize = 48 * 1024;
/// Plays in one report.
const MAX_REPORTED: usize = 100;
/// Ranges in one `Play` that are looked at.
const MAX_HELD_RANGES: usize = 256;
/// Blocks in one request.
const MAX_BLOCKS: u32 = 4096;

/// Answers all requests of a connection until it ends.
pub(crate) async fn serve_all(service: Arc<Service>, connection: Connection, listener: Listener) {
    while let Ok(stream) = connection.accept().await {
        let (service, connection) = (Arc::clone(&service), connection.clone());
        tokio::spawn(async move {
            let _active = service.served.begin_request();
            if let Err(error) = answer(&service, &connection, listener, stream).await {
                tracing::debug!(device = ?listener.device, "request ended: {error}");
            }
        });
    }
}

#[derive(Debug, thiserror::Error)]
enum AnswerError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("{0}")]
    Refused(Refused),
}

impl AnswerError {
    fn refused(reason: refused::Reason, message: &str) -> Self {
        Self::Refused(Refused::new(reason, message))
    }

    fn unavailable(what: &str, error: impl std::fmt::Display) -> Self {
        tracing::error!("{what} failed: {error}");
        Self::refused(refused::Reason::Unavailable, "the server cannot answer this now")
    }
}

async fn answer(
    service: &Arc<Service>,
    connection: &Connection,
    listener: Listener,
    mut stream: Stream,
) -> Result<(), AnswerError> {
    let request: Option<Request> = stream.receive_message().await?;
    let kind = request.and_then(|request| request.kind);
    if !matches!(kind, Some(request::Kind::Play(_) | request::Kind::Search(_))) {
        // Only those are worth hurrying for. The rest is not done for what may
        // be a recording.
        connection.confirmed().await.map_err(StreamError::from)?;
    }
    let outcome = match kind {
        Some(request::Kind::Play(play)) => answer_play(service, listener, &mut stream, play).await,
        Some(request::Kind::Blocks(blocks)) => answer_blocks(service, &mut stream, &blocks).await,
        Some(request::Kind::Search(search)) => answer_search(service, &mut stream, search).await,
        Some(request::Kind::FindPeers(find)) => {
            answer_find_peers(service, listener, &mut stream, &find).await
        }
        Some(request::Kind::ReportPlays(report)) => {
            answer_report(service, listener, &mut stream, report).await
        }
        None => Err(AnswerError::refused(
            refused::Reason::Malformed,
            "this server does not know that request; it may be older than you",
        )),
    };
    if let Err(AnswerError::Refused(refused)) = &outcome {
        send(&mut stream, reply::Kind::Refused(refused.clone())).await?;
    }
    stream.finish();
    outcome
}

async fn answer_play(
    service: &Arc<Service>,
    listener: Listener,
    stream: &mut Stream,
    play: Play,
) -> Result<(), AnswerError> {
    let track = TrackId::from_slice(&play.track)
        .ok_or(AnswerError::refused(refused::Reason::Malformed, "a track id has 16 bytes"))?;
    let bitrate = Bitrate::from_kbps(play.kbps)
        .ok_or(AnswerError::refused(refused::Reason::Malformed, "no such bitrate"))?;
    let plan = {
        let service = Arc::clone(service);
        blocking(move || plan_play(&service, listener, track, bitrate)).await??
    };
    service.served.plays.fetch_add(1, Ordering::Relaxed);
    let push_ms = match play.push_ms.min(MAX_PUSH_MS) {
        0 => 0,
        wish_ms => service.pushes.admit(listener.device, wish_ms, !plan.peers.is_empty()),
    };
    let push = pushed_blocks(&plan.rendition, push_ms);
    let playing = Playing {
        manifest: Some(plan.manifest),
        leases: plan.leases,
        peers: plan.peers,
        edges: Vec::new(),
        push: Some(push.into()),
    };
    send(stream, reply::Kind::Playing(playing)).await?;
    let held = held_blocks(&plan.rendition, push, &play.held);
    let wanted = push.iter().filter(|block| !held.contains(*block)).collect();
    let pace = Pace::new(&plan.rendition, play.push_kbps);
    send_blocks(service, stream, plan.blob, wanted, Some(pace)).await
}

/// What a play needs, looked up.
struct Plan {
    manifest: SignedManifest,
    rendition: Rendition,
    leases: Vec<Lease>,
    peers: Vec<proto::Peer>,
    blob: OriginBlob,
}

fn plan_play(
    service: &Service,
    listener: Listener,
    track: TrackId,
    bitrate: Bitrate,
) -> Result<Plan, AnswerError> {
    let not_found = || AnswerError::refused(refused::Reason::NotFound, "there is no such track");
    let unavailable = |error| AnswerError::unavailable("the catalogue", error);
    let entry = service.catalog.track(track).map_err(unavailable)?.ok_or_else(not_found)?;
    let manifest = SignedManifest::decode(entry.manifest.as_slice())
        .map_err(|error| AnswerError::unavailable("decoding a manifest", error))?;
    let described = proto::Manifest::decode(manifest.manifest.clone())
        .map_err(|error| AnswerError::unavailable("decoding a manifest", error))?;
    let rendition = described
        .renditions
        .iter()
        .find(|rendition| rendition.kbps == bitrate.kbps())
        .ok_or_else(not_found)?;
    let rendition = Rendition::try_from(rendition)
        .map_err(|error| AnswerError::unavailable("reading a manifest", error))?;
    let blob = service.origin.get(rendition.blob()).ok_or_else(|| {
        AnswerError::unavailable("finding a blob", format!("{} is gone", rendition.blob()))
    })?;
    let expires_ms =
        wall_clock_ms() + u64::try_from(LEASE_LIFETIME.as_millis()).unwrap_or(u64::MAX);
    let leases = entry
        .renditions
        .iter()
        .map(|stored| {
            let key = RenditionKey::derive(&service.keys.content, &stored.plaintext_hash);
            Lease {
                kbps: stored.bitrate.kbps(),
                key: Bytes::copy_from_slice(key.as_bytes()),
                expires_ms,
            }
        })
        .collect();
    let peers = service.find_peers(rendition.blob(), listener);
    Ok(Plan { manifest, rendition, leases, peers, blob })
}

/// The blocks that hold the headers and the first `push_ms` of audio.
fn pushed_blocks(rendition: &Rendition, push_ms: u32) -> BlockRange {
    if push_ms == 0 {
        return BlockRange::new(0, 0);
    }
    let sample = u64::from(push_ms) * u64::from(SAMPLE_RATE) / 1000;
    let last = rendition.offset_at(sample).min(rendition.size().bytes() - 1);
    let end = rendition.size().block_at(last).map_or(1, |block| block.get() + 1);
    BlockRange::new(0, end)
}

/// Which of the pushed blocks the asker says to hold.
fn held_blocks(rendition: &Rendition, push: BlockRange, ranges: &[proto::Range]) -> BlockSet {
    let mut held = BlockSet::empty(rendition.size());
    // Ranges from a stranger are cut before they are walked.
    for range in ranges.iter().take(MAX_HELD_RANGES) {
        for block in range.start..range.end.min(push.end) {
            held.insert(block);
        }
    }
    held
}

async fn answer_blocks(
    service: &Arc<Service>,
    stream: &mut Stream,
    blocks: &Blocks,
) -> Result<(), AnswerError> {
    let not_found = || AnswerError::refused(refused::Reason::NotFound, "there is no such block");
    let blob = BlobId::from_slice(&blocks.blob)
        .ok_or(AnswerError::refused(refused::Reason::Malformed, "a blob id has 32 bytes"))?;
    let shared = Arc::clone(service);
    let blob = blocking(move || shared.origin.get(blob)).await?.ok_or_else(not_found)?;
    if blocks.start >= blocks.end || blocks.end > blob.size().block_count() {
        return Err(not_found());
    }
    if blocks.end - blocks.start > MAX_BLOCKS {
        return Err(AnswerError::refused(
            refused::Reason::Malformed,
            "ask for at most 4096 blocks at once",
        ));
    }
    send(stream, reply::Kind::BlocksFollow(BlocksFollow {})).await?;
    send_blocks(service, stream, blob, (blocks.start..blocks.end).collect(), None).await
}

/// Sends blocks as they are read. Ends when the other side wants no more.
async fn send_blocks(
    service: &Arc<Service>,
    stream: &mut Stream,
    blob: OriginBlob,
    blocks: Vec<u32>,
    mut pace: Option<Pace>,
) -> Result<(), AnswerError> {
    let mut cursor = ProofCursor::default();
    let blob = Arc::new(blob);
    for block in blocks {
        if let Some(pace) = &mut pace {
            pace.wait(block).await;
        }
        let reader = Arc::clone(&blob);
        let (data, proof, used) = blocking(move || {
            let mut cursor = cursor;
            let data = reader.read(block)?;
            let proof = reader.proof(block, &mut cursor);
            Ok::<_, antiphon_store::OriginReadError>((data, proof, cursor))
        })
        .await?
        .map_err(|error| AnswerError::unavailable("reading a block", error))?;
        cursor = used;
        service.served.count_block(data.len());
        stream.send_block(block, &proof, data).await?;
    }
    Ok(())
}

async fn answer_search(
    service: &Arc<Service>,
    stream: &mut Stream,
    search: Search,
) -> Result<(), AnswerError> {
    let limit = search.limit.clamp(1, MAX_FOUND);
    let shared = Arc::clone(service);
    let (tracks, total) = blocking(move || {
        let catalog = &shared.catalog;
        Ok::<_, antiphon_catalog::DatabaseError>((
            catalog.search(&search.words, limit, search.offset)?,
            catalog.count_found(&search.words)?,
        ))
    })
    .await?
    .map_err(|error| AnswerError::unavailable("the search", error))?;
    let total = u32::try_from(total).unwrap_or(u32::MAX);
    let mut found = Found { tracks: Vec::new(), total };
    for track in tracks {
        found.tracks.push(TrackSummary {
            track: Bytes::copy_from_slice(track.id.as_bytes()),
            title: track.title,
            artist: track.artist,
            album: track.album,
            samples: track.samples,
        });
        // The rest is found by asking on from here.
        if found.encoded_len() > MAX_FOUND_BYTES {
            break;
        }
    }
    send(stream, reply::Kind::Found(found)).await?;
    Ok(())
}

async fn answer_find_peers(
    service: &Arc<Service>,
    listener: Listener,
    stream: &mut Stream,
    find: &FindPeers,
) -> Result<(), AnswerError> {
    let blob = BlobId::from_slice(&find.blob)
        .ok_or(AnswerError::refused(refused::Reason::Malformed, "a blob id has 32 bytes"))?;
    let shared = Arc::clone(service);
    let peers = blocking(move || shared.find_peers(blob, listener)).await?;
    send(stream, reply::Kind::Peers(Peers { peers })).await?;
    Ok(())
}

async fn answer_report(
    service: &Arc<Service>,
    listener: Listener,
    stream: &mut Stream,
    report: ReportPlays,
) -> Result<(), AnswerError> {
    let shared = Arc::clone(service);
    blocking(move || {
        for play in report.plays.iter().take(MAX_REPORTED) {
            let Some(record) = play_record(listener, play) else { continue };
            match shared.catalog.record_play(&record) {
                // A play of a track that is gone is of no use to anyone, and
                // shall not be told again and again.
                Ok(_) | Err(RecordPlayError::UnknownTrack(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })
    .await?
    .map_err(|error| AnswerError::unavailable("recording a play", error))?;
    send(stream, reply::Kind::PlaysReported(PlaysReported {})).await?;
    Ok(())
}

fn play_record(listener: Listener, play: &proto::PlayEvent) -> Option<PlayRecord> {
    let told = |micros: u64| (micros > 0).then_some(micros);
    Some(PlayRecord {
        id: play.id.as_ref().try_into().ok()?,
        device: listener.device,
        track: TrackId::from_slice(&play.track)?,
        bitrate: Bitrate::from_kbps(play.kbps)?,
        started_at_ms: play.started_ms,
        listened_ms: play.listened_ms,
        bytes: BytesBySource {
            cache: play.bytes_cache,
            peers: play.bytes_peers,
            edge: play.bytes_edge,
            server: play.bytes_server,
        },
        first_byte_us: told(play.first_byte_us),
        first_sound_us: told(play.first_sound_us),
        stalls: play.stalls,
        stalled_us: play.stalled_us,
        finished: play.finished,
    })
}

async fn send(stream: &mut Stream, kind: reply::Kind) -> Result<(), StreamError> {
    stream.send(&Reply { kind: Some(kind) }).await
}

/// Runs what touches the disk where it may take its time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AnswerError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        AnswerError::refused(refused::Reason::Unavailable, "the server is shutting down")
    })
}
