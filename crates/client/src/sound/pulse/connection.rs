//! A connection to a sound server, and messages over it.

use std::ffi::CString;
use std::io::{self, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use antiphon_types::{CHANNELS, SAMPLE_RATE};
use pulseaudio::protocol::{
    self, AuthParams, AuthReply, ChannelMap, Command, CreatePlaybackStreamReply, DESCRIPTOR_SIZE,
    PlaybackStreamParams, Prop, Props, ProtocolError, SampleFormat, SampleSpec, SetClientNameReply,
    stream::BufferAttr, stream::StreamFlags,
};

use crate::sound::queue::Frame;

/// The protocol has a byte for it.
const STEREO: u8 = 2;
const _: () = assert!(STEREO as u16 == CHANNELS);

/// The bytes of a frame on the wire.
pub(super) const FRAME_BYTES: usize = size_of::<Frame>();

/// How long the server may take to answer before the stream is there.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a server's cookie is long.
const COOKIE_BYTES: usize = 256;

/// What the server and its device hold together.
const HELD: Duration = Duration::from_millis(180);
/// What the server has before it begins, so that the beginning has no gap.
const BEGINNING: Duration = Duration::from_millis(100);
/// What the server asks for at once, at least. The device's own share of what is
/// held is half of what two such pieces leave: 50 ms.
const PIECE: Duration = Duration::from_millis(40);

/// The longest message that is not samples, and the most samples in one.
const BUFFER_BYTES: usize = 64 * 1024;
const PIECE_BYTES: usize = 32 * 1024;

/// Why there is no connection, or no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("no sound server is known: neither PULSE_SERVER nor XDG_RUNTIME_DIR leads to one")]
    Unknown,
    #[error("nothing answers at {path}: {source}")]
    Unreachable { path: String, source: io::Error },
    #[error("the sound server closed the connection")]
    Closed,
    #[error("the sound server took the stream away")]
    Killed,
    #[error("the sound server refuses: {0}")]
    Refused(#[from] ProtocolError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A connection with one stream for playback.
#[derive(Debug)]
pub(super) struct Connection {
    socket: UnixStream,
    version: u16,
    channel: u32,
    sequence: u32,
    /// Frames that the device itself held at first.
    pub(super) latency: usize,
    /// Bytes that the server still wants.
    pub(super) wanted: usize,
    command: Vec<u8>,
    out: Vec<u8>,
    out_at: usize,
    input: Vec<u8>,
    input_end: usize,
}

impl Connection {
    /// Connects, and creates a stream that stands still if `corked`. Waits for
    /// the server's answers.
    pub(super) fn open(device: Option<&str>, corked: bool) -> Result<Self, Lost> {
        let path = pulseaudio::socket_path_from_env().ok_or(Lost::Unknown)?;
        let socket = UnixStream::connect(&path)
            .map_err(|source| Lost::Unreachable { path: path.display().to_string(), source })?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(&socket);
        let auth = AuthParams {
            version: protocol::MAX_VERSION,
            supports_shm: false,
            supports_memfd: false,
            cookie: cookie(),
        };
        let reply: AuthReply = ask(&mut reader, 0, &Command::Auth(auth), protocol::MAX_VERSION)?;
        let version = reply.version.min(protocol::MAX_VERSION);
        let mut names = Props::new();
        names.set(Prop::ApplicationName, c"Antiphon");
        let _: SetClientNameReply = ask(&mut reader, 1, &Command::SetClientName(names), version)?;
        let params = params(device, corked)?;
        let stream: CreatePlaybackStreamReply =
            ask(&mut reader, 2, &Command::CreatePlaybackStream(params), version)?;
        // What came right behind the answer.
        let behind = reader.buffer().to_vec();
        let mut input = vec![0; BUFFER_BYTES.max(behind.len())];
        input[..behind.len()].copy_from_slice(&behind);
        socket.set_nonblocking(true)?;
        Ok(Self {
            version,
            channel: stream.channel,
            sequence: 3,
            latency: frames(Duration::from_micros(stream.stream_latency).min(HELD)),
            wanted: stream.requested_bytes as usize,
            command: Vec::with_capacity(BUFFER_BYTES),
            out: Vec::with_capacity(BUFFER_BYTES),
            out_at: 0,
            input,
            input_end: behind.len(),
            socket,
        })
    }

    pub(super) fn channel(&self) -> u32 {
        self.channel
    }

    pub(super) fn version(&self) -> u16 {
        self.version
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether something waits until the server reads on.
    pub(super) fn is_full(&self) -> bool {
        self.out_at < self.out.len()
    }

    /// Sends a command behind what was sent before; its number.
    pub(super) fn send(&mut self, command: &Command) -> Result<u32, Lost> {
        let sequence = self.sequence;
        self.sequence += 1;
        self.command.clear();
        protocol::encode_command_message(&mut self.command, sequence, command, self.version)?;
        self.out.extend_from_slice(&self.command);
        self.flush()?;
        Ok(sequence)
    }

    /// Sends frames, as many as the server wants and `next` has; how many.
    pub(super) fn send_frames(
        &mut self,
        mut next: impl FnMut() -> Option<Frame>,
    ) -> Result<usize, Lost> {
        let most = self.wanted.min(PIECE_BYTES) / FRAME_BYTES;
        let start = self.out.len();
        self.out.resize(start + DESCRIPTOR_SIZE, 0);
        let frames = std::iter::from_fn(&mut next).take(most);
        for sample in frames.flatten() {
            self.out.extend_from_slice(&sample.to_le_bytes());
        }
        let bytes = self.out.len() - start - DESCRIPTOR_SIZE;
        if bytes == 0 {
            self.out.truncate(start);
            return Ok(0);
        }
        let length = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        self.out[start + 4..start + 8].copy_from_slice(&self.channel.to_be_bytes());
        self.wanted -= bytes;
        self.flush()?;
        Ok(bytes / FRAME_BYTES)
    }

    /// Sends what could not be sent before, as far as that goes.
    pub(super) fn flush(&mut self) -> Result<(), Lost> {
        while self.out_at < self.out.len() {
            match self.socket.write(&self.out[self.out_at..]) {
                Ok(0) => return Err(Lost::Closed),
                Ok(sent) => self.out_at += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(closed(error)),
            }
        }
        self.out.clear();
        self.out_at = 0;
        Ok(())
    }

    /// Reads what the server has sent; `false` if there is nothing.
    pub(super) fn fill(&mut self) -> Result<bool, Lost> {
        loop {
            match self.socket.read(&mut self.input[self.input_end..]) {
                Ok(0) => return Err(Lost::Closed),
                Ok(read) => {
                    self.input_end += read;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(closed(error)),
            }
        }
    }

    /// The length of the next whole message among what was read, its descriptor
    /// included.
    pub(super) fn message(&self) -> Result<Option<usize>, Lost> {
        if self.input_end < DESCRIPTOR_SIZE {
            return Ok(None);
        }
        let length = [self.input[0], self.input[1], self.input[2], self.input[3]];
        let length = u32::from_be_bytes(length) as usize + DESCRIPTOR_SIZE;
        if length > self.input.len() {
            return Err(Lost::Refused(ProtocolError::Invalid(format!(
                "a message of {length} bytes"
            ))));
        }
        Ok((length <= self.input_end).then_some(length))
    }

    /// The payload of the message of that length.
    pub(super) fn payload(&self, length: usize) -> &[u8] {
        &self.input[DESCRIPTOR_SIZE..length]
    }

    /// Forgets the message of that length.
    pub(super) fn consume(&mut self, length: usize) {
        self.input.copy_within(length..self.input_end, 0);
        self.input_end -= length;
    }
}

fn closed(error: io::Error) -> Lost {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Lost::Closed,
        _ => Lost::Io(error),
    }
}

fn ask<R: protocol::CommandReply>(
    reader: &mut BufReader<&UnixStream>,
    sequence: u32,
    command: &Command,
    version: u16,
) -> Result<R, Lost> {
    protocol::write_command_message(reader.get_mut(), sequence, command, version)?;
    Ok(protocol::read_reply_message(reader, version)?.1)
}

/// The cookie that servers of the same user take; one that none takes without
/// it, as its length is checked.
fn cookie() -> Vec<u8> {
    let path = pulseaudio::cookie_path_from_env();
    let mut cookie = path.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    cookie.resize(COOKIE_BYTES, 0);
    cookie
}

fn params(device: Option<&str>, corked: bool) -> Result<PlaybackStreamParams, Lost> {
    let name = device.map(CString::new).transpose();
    let sink_name = name.map_err(|error| Lost::Io(io::Error::other(error)))?;
    let mut props = Props::new();
    props.set(Prop::MediaName, c"Antiphon");
    props.set(Prop::MediaRole, c"music");
    Ok(PlaybackStreamParams {
        sample_spec: SampleSpec {
            format: SampleFormat::S16Le,
            channels: STEREO,
            sample_rate: SAMPLE_RATE,
        },
        channel_map: ChannelMap::stereo(),
        sink_index: None,
        sink_name: Some(sink_name.unwrap_or_else(|| protocol::DEFAULT_SINK.to_owned())),
        buffer_attr: BufferAttr {
            target_length: bytes(HELD),
            pre_buffering: bytes(BEGINNING),
            minimum_request_length: bytes(PIECE),
            ..BufferAttr::default()
        },
        props,
        flags: StreamFlags { start_corked: corked, adjust_latency: true, ..Default::default() },
        ..PlaybackStreamParams::default()
    })
}

fn bytes(time: Duration) -> u32 {
    u32::try_from(frames(time) * FRAME_BYTES).unwrap_or(u32::MAX)
}

fn frames(time: Duration) -> usize {
    let frames = time.as_micros() * u128::from(SAMPLE_RATE) / 1_000_000;
    usize::try_from(frames).unwrap_or(usize::MAX / FRAME_BYTES)
}
