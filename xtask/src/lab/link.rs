//! Two network namespaces joined by a link in user space.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use super::capture::Capture;
use super::carrier::Carrier;
pub use super::forward::Counters;
use super::namespace::{self, Namespace};
use super::shape::Shape;
use super::tun;
use crate::failure::{Context as _, Failure, Result};

/// The interface of the link in both namespaces.
const INTERFACE: &str = "lab0";

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// 10.77.0.1
    A,
    /// 10.77.0.2
    B,
}

impl Side {
    /// The address of this side. Every link has the same two: no other link
    /// can see them.
    #[must_use]
    pub const fn address(self) -> Ipv4Addr {
        match self {
            Self::A => Ipv4Addr::new(10, 77, 0, 1),
            Self::B => Ipv4Addr::new(10, 77, 0, 2),
        }
    }

    /// The side at the other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::A => 0,
            Self::B => 1,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

/// How a link is to behave.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// From A to B.
    pub a_to_b: Shape,
    /// From B to A.
    pub b_to_a: Shape,
    /// What is drawn for each packet follows from this.
    pub seed: u64,
    /// Where every packet that comes out is written down, in pcap format.
    pub capture: Option<PathBuf>,
}

/// Why no link can be made here, or `None` if one can.
#[must_use]
pub fn unavailable() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("a link between network namespaces needs root".to_owned());
    }
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open(tun::DEVICE) {
        return Some(format!("{}: {error}", tun::DEVICE));
    }
    if Command::new("ip").arg("-V").output().is_err() {
        return Some("there is no `ip`: install iproute2".to_owned());
    }
    None
}

/// Two namespaces and the link between them. All of it is gone when it is
/// dropped, the processes in it included.
///
/// ```no_run
/// use std::process::Command;
/// use xtask::lab::link::{Link, Options, Side};
///
/// let link = Link::new(&Options::default())?;
/// let mut server = link.spawn(Side::A, Command::new("my-server").arg("10.77.0.1"))?;
/// let client = link.within(Side::B, || std::net::TcpStream::connect("10.77.0.1:80"))??;
/// # Ok::<(), xtask::failure::Failure>(())
/// ```
#[derive(Debug)]
pub struct Link {
    sides: [Namespace; 2],
    carrier: Carrier,
}

impl Link {
    /// Makes a link; packets pass once this returns.
    ///
    /// # Errors
    ///
    /// See [`unavailable`]; or the capture file cannot be written.
    pub fn new(options: &Options) -> Result<Self> {
        if let Some(reason) = unavailable() {
            return Err(Failure::new(reason));
        }
        namespace::remove_leftovers();
        let capture = options.capture.as_deref().map(create_capture).transpose()?;
        let sides = [Namespace::new(Side::A.label())?, Namespace::new(Side::B.label())?];
        let device = |side: Side| connect(&sides[side.index()], side);
        let devices = [device(Side::A)?, device(Side::B)?];

        let shapes = [options.a_to_b, options.b_to_a];
        let carrier = Carrier::start(devices, shapes, options.seed, capture)?;
        Ok(Self { sides, carrier })
    }

    /// Starts a process on one side. It finds its address in
    /// `ANTIPHON_LAB_SELF` and the other side's in `ANTIPHON_LAB_PEER`.
    ///
    /// # Errors
    ///
    /// The command does not start.
    pub fn spawn(&self, side: Side, command: &mut Command) -> Result<Child> {
        command.env("ANTIPHON_LAB_SELF", side.address().to_string());
        command.env("ANTIPHON_LAB_PEER", side.other().address().to_string());
        self.sides[side.index()].spawn(command)
    }

    /// Runs `work` on a thread that lives on one side: sockets it opens belong
    /// there, and stay there when they are handed out.
    ///
    /// # Errors
    ///
    /// The namespace is gone.
    pub fn within<T: Send>(&self, side: Side, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.sides[side.index()].within(work)
    }

    /// What became so far of the packets that came from `side`.
    #[must_use]
    pub fn counters(&self, side: Side) -> Counters {
        self.carrier.counters(side.index())
    }

    /// Makes the direction out of `side` behave otherwise. What is under way
    /// is not touched.
    ///
    /// # Errors
    ///
    /// The link has failed; [`Link::close`] says why.
    pub fn reshape(&self, side: Side, shape: Shape) -> Result<()> {
        self.carrier.reshape(side.index(), shape)
    }

    /// Ends the processes on one side: SIGTERM, and after three seconds
    /// SIGKILL.
    pub fn end_processes(&self, side: Side) {
        self.sides[side.index()].end_processes();
    }

    /// Ends the processes on both sides, stops the link and completes the
    /// capture.
    ///
    /// # Errors
    ///
    /// The link failed while it ran.
    pub fn close(mut self) -> Result<()> {
        self.stop()
    }

    fn stop(&mut self) -> Result<()> {
        for side in &self.sides {
            side.end_processes();
        }
        self.carrier.stop()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Err(failure) = self.stop() {
            eprintln!("lab: {failure}");
        }
    }
}

fn create_capture(path: &Path) -> Result<Capture> {
    Capture::create(path).context(|| format!("write {}", path.display()))
}

/// Gives a namespace its end of the link.
fn connect(namespace: &Namespace, side: Side) -> Result<fs::File> {
    let device = namespace.within(|| tun::open(INTERFACE))?;
    let device = device.context(|| format!("make {INTERFACE} from {}", tun::DEVICE))?;
    let own = side.address().to_string();
    let peer = side.other().address().to_string();
    // Without a link-local address the kernel sends no packet of its own accord.
    namespace.ip(&["link", "set", INTERFACE, "addrgenmode", "none"])?;
    namespace.ip(&["address", "add", &own, "peer", &peer, "dev", INTERFACE])?;
    namespace.ip(&["link", "set", INTERFACE, "up"])?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::lab::probe;
    use crate::lab::units::Share;
    use crate::tools::Tool;

    const MS: Duration = Duration::from_millis(1);

    /// A link, or `None` where none can be made; CI must be able to.
    fn link_or_skip(options: &Options) -> Option<Link> {
        Tool::Link.present_or_skip().then(|| Link::new(options).unwrap())
    }

    fn both_ways(shape: Shape) -> Options {
        Options { a_to_b: shape, b_to_a: shape, seed: 1, capture: None }
    }

    #[test]
    fn no_round_trip_is_shorter_than_both_delays() {
        let options = both_ways(Shape { delay: 20 * MS, ..Shape::default() });
        let Some(link) = link_or_skip(&options) else { return };
        link.within(Side::A, || probe::Server::bind(Side::A.address().into()))
            .unwrap()
            .unwrap()
            .start();
        let measure = || probe::measure(Side::A.address().into(), 5, Duration::ZERO);
        let measured = link.within(Side::B, measure).unwrap().unwrap();
        assert!(measured.round_trip_min_ms >= 40.0, "{measured:?}");
        link.close().unwrap();
    }

    #[test]
    fn tcp_brings_every_byte_through_loss_and_the_capture_shows_them() {
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("link.pcap");
        let shape = Shape { delay: MS, loss: Share(0.05), ..Shape::default() };
        let options = Options { capture: Some(capture.clone()), ..both_ways(shape) };
        let Some(link) = link_or_skip(&options) else { return };
        let listen = || TcpListener::bind((Side::A.address(), 9000));
        let listener = link.within(Side::A, listen).unwrap().unwrap();
        let connect = || TcpStream::connect((Side::A.address(), 9000));
        let mut sender = link.within(Side::B, connect).unwrap().unwrap();
        let (mut receiver, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), Side::B.address());

        let song: Vec<u8> = b"antiphon ".iter().copied().cycle().take(200_000).collect();
        let mut heard = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                sender.write_all(&song).unwrap();
                sender.shutdown(Shutdown::Write).unwrap();
            });
            receiver.read_to_end(&mut heard).unwrap();
        });
        assert_eq!(heard, song);
        let counted = link.counters(Side::B);
        assert!(counted.lost > 0 && counted.bytes > 200_000, "{counted:?}");
        link.close().unwrap();
        let captured = fs::read(capture).unwrap();
        assert!(captured.windows(9).any(|bytes| bytes == b"antiphon "));
    }

    #[test]
    fn a_link_can_go_dark_and_come_back() {
        let Some(link) = link_or_skip(&Options::default()) else { return };
        let bind = |side: Side| link.within(side, || UdpSocket::bind((side.address(), 9000)));
        let (a, b) = (bind(Side::A).unwrap().unwrap(), bind(Side::B).unwrap().unwrap());
        b.connect((Side::A.address(), 9000)).unwrap();

        a.set_read_timeout(Some(MS)).unwrap();
        let mut heard = [0; 16];
        let mut hears = |word: &[u8]| {
            b.send(word).unwrap();
            a.recv(&mut heard).is_ok_and(|length| &heard[..length] == word)
        };

        link.reshape(Side::B, Shape { loss: Share(1.0), ..Shape::default() }).unwrap();
        assert!((0..5000).any(|_| !hears(b"dark") && link.counters(Side::B).lost > 0));
        assert!(!(0..20).any(|_| hears(b"dark")));
        link.reshape(Side::B, Shape::default()).unwrap();
        assert!((0..5000).any(|_| hears(b"light")));
    }

    #[test]
    fn nothing_stays_behind() {
        let Some(link) = link_or_skip(&Options::default()) else { return };
        let mut sleeper = link.spawn(Side::A, Command::new("sleep").arg("600")).unwrap();
        let names: Vec<PathBuf> = link.sides.iter().map(Namespace::path).collect();
        assert!(names.iter().all(|path| path.exists()));
        drop(link);
        assert!(names.iter().all(|path| !path.exists()));
        assert!(!sleeper.wait().unwrap().success(), "it was ended");
    }
}
