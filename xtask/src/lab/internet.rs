//! A small internet of our own: a server and households behind routers of every
//! kind, each on a link with a rate, a delay and a queue.
//!
//! ```text
//! server 11.255.0.1, .2 ──link── core ──link── router 11.N.0.1 ──bridge── hosts
//! ```
//!
//! Every box is a network namespace; every link is a [`Carrier`]. Hosts of all
//! homes with a NAT share 192.168.1.0/24, as they do out there: an address of one
//! home means nothing, or somebody else, in another. The public addresses look
//! public to every program (`miniupnpd` refuses those set aside for
//! documentation); no packet leaves the namespaces.

mod igd;
pub(super) mod nat;
pub(super) mod prove;

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::{Child, Command};
use std::time::Duration;

use self::igd::Igd;
use self::nat::Nat;
use super::carrier::Carrier;
use super::forward::Counters;
use super::link::unavailable;
use super::namespace::{self, Namespace};
use super::shape::Shape;
use super::tun;
use super::units::{QueueLength, Rate};
use crate::failure::{Context as _, Failure, Result};

/// The interface towards the core, in every box but the core.
const WAN: &str = "wan";
/// The device of a [`Carrier`] at home, and the one in the core.
const HOME: usize = 0;
const CORE: usize = 1;
/// Number of the server's network; those of households count from 1.
const SERVER: u8 = 255;
/// So many households at most.
const MAX_HOUSES: usize = 200;

/// How a box is connected to the core.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Access {
    /// Away from the box.
    pub(super) up: Shape,
    /// Towards it.
    pub(super) down: Shape,
}

impl Access {
    /// So many Mbit/s, with a delay each way and a queue of 100 ms.
    pub(super) fn mbit(up: f64, down: f64, delay: Duration) -> Self {
        let shape = |mbit: f64| {
            let rate = Rate(Some(bits(mbit)));
            Shape { rate, delay, queue: QueueLength::default(), ..Shape::default() }
        };
        Self { up: shape(up), down: shape(down) }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates from the command line, positive and far below 2^53"
)]
fn bits(mbit: f64) -> u64 {
    (mbit * 1e6).max(1.0) as u64
}

/// A computer on which programs run.
#[derive(Debug)]
pub(super) struct Host {
    namespace: Namespace,
    address: Ipv4Addr,
}

impl Host {
    /// Its address, on its own network.
    pub(super) const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Starts a process there.
    pub(super) fn spawn(&self, command: &mut Command) -> Result<Child> {
        self.namespace.spawn(command)
    }

    /// Runs `work` on a thread that lives there.
    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        self.namespace.within(work)
    }
}

/// A router, those behind it, and its link.
#[derive(Debug)]
pub(super) struct House {
    nat: Nat,
    wan: Ipv4Addr,
    /// Runs on the router; ends before it.
    igd: Option<Igd>,
    hosts: Vec<Host>,
    _router: Namespace,
    link: Carrier,
}

impl House {
    /// What the router does with addresses.
    pub(super) const fn nat(&self) -> Nat {
        self.nat
    }

    /// The address by which the world knows it; of a home without NAT, the
    /// router's own.
    pub(super) const fn wan(&self) -> Ipv4Addr {
        self.wan
    }

    /// A computer behind the router.
    pub(super) fn host(&self, number: usize) -> &Host {
        &self.hosts[number]
    }

    /// Asks the router to let the world in at this port, if it takes requests.
    fn open_port(&self, host: &Host, port: u16, udp: bool) -> Result<Option<u16>> {
        let Some(igd) = &self.igd else { return Ok(None) };
        host.within(|| igd.map(port, udp))?.map(Some)
    }

    /// What passed its link so far: upwards and downwards.
    pub(super) fn passed(&self) -> (Counters, Counters) {
        (self.link.counters(HOME), self.link.counters(CORE))
    }

    /// Makes its link behave otherwise.
    pub(super) fn reshape(&self, access: Access) -> Result<()> {
        reshape(&self.link, access)
    }
}

/// The core, the server and the households. All of it is gone when it is
/// dropped, the processes in it included.
#[derive(Debug)]
pub(super) struct Internet {
    houses: Vec<House>,
    server: Host,
    server_link: Carrier,
    core: Namespace,
    seed: u64,
}

impl Internet {
    /// A core with a server on it.
    ///
    /// # Errors
    ///
    /// See [`unavailable`].
    pub(super) fn new(server: Access, seed: u64) -> Result<Self> {
        if let Some(reason) = unavailable() {
            return Err(Failure::new(reason));
        }
        namespace::remove_leftovers();
        let core = router("core")?;
        let namespace = Namespace::new("server")?;
        namespace.choose_congestion_control();
        // As operators are advised: a click comes after a rest.
        namespace.set("ipv4/tcp_slow_start_after_idle", "0")?;
        let server_link = connect(&core, &namespace, SERVER, server, seed)?;
        let (address, other) = (public(SERVER, 0, 1), public(SERVER, 0, 2));
        namespace.ip_lines(&format!("address add {other}/32 dev {WAN}\n"))?;
        let server = Host { namespace, address };
        Ok(Self { houses: Vec::new(), server, server_link, core, seed })
    }

    /// The server's computer. Its addresses end in 1 and 2.
    pub(super) const fn server(&self) -> &Host {
        &self.server
    }

    /// What passed the server's link so far: upwards and downwards.
    pub(super) fn server_passed(&self) -> (Counters, Counters) {
        (self.server_link.counters(HOME), self.server_link.counters(CORE))
    }

    /// Makes the server's link behave otherwise.
    pub(super) fn reshape_server(&self, access: Access) -> Result<()> {
        reshape(&self.server_link, access)
    }

    /// Adds a household with so many computers; its number.
    ///
    /// # Errors
    ///
    /// There are too many, or the router cannot be made.
    pub(super) fn add_house(&mut self, nat: Nat, access: Access, hosts: u8) -> Result<usize> {
        let index = self.houses.len();
        let number = u8::try_from(index + 1).unwrap_or(u8::MAX);
        if usize::from(number) > MAX_HOUSES {
            return Err(Failure::new(format!("more than {MAX_HOUSES} households")));
        }
        let router = router("router")?;
        let seed = self.seed.wrapping_add(u64::from(number));
        let link = connect(&self.core, &router, number, access, seed)?;
        let lan = Lan::of(nat, number);
        router.ip_lines(&format!(
            "link add lan type bridge\nlink set lan up\naddress add {}/24 dev lan\n",
            lan.address(1)
        ))?;
        let hosts = (0..hosts).map(|host| lan.host(&router, host)).collect::<Result<Vec<_>>>()?;
        if let Some(rules) = nat.rules() {
            router.nft(&rules)?;
        }
        let igd = (nat == Nat::Upnp).then(|| Igd::start(&router, lan.address(1))).transpose()?;
        let wan = public(number, 0, 1);
        self.houses.push(House { nat, wan, igd, hosts, _router: router, link });
        Ok(index)
    }

    /// A household by its number.
    pub(super) fn house(&self, number: usize) -> &House {
        &self.houses[number]
    }

    /// All of them.
    pub(super) fn houses(&self) -> &[House] {
        &self.houses
    }
}

fn reshape(link: &Carrier, access: Access) -> Result<()> {
    link.reshape(HOME, access.up)?;
    link.reshape(CORE, access.down)
}

/// An address that looks public: of each network, N.
const fn public(network: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(11, network, c, d)
}

/// The network within a home.
struct Lan {
    /// Of the router; hosts differ in the last byte.
    prefix: [u8; 3],
    first_host: u8,
}

impl Lan {
    fn of(nat: Nat, number: u8) -> Self {
        let prefix = if nat == Nat::None { [11, number, 1] } else { [192, 168, 1] };
        // Two homes seldom give their computers the same addresses.
        Self { prefix, first_host: 10 + number % 200 }
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        let [a, b, c] = self.prefix;
        Ipv4Addr::new(a, b, c, last)
    }

    /// A computer on the router's bridge.
    fn host(&self, router: &Namespace, number: u8) -> Result<Host> {
        let namespace = Namespace::new("host")?;
        namespace.choose_congestion_control();
        let address = self.address(self.first_host + number);
        let port = format!("port{number}");
        router.ip_lines(&format!("link add {port} type veth peer name {port}x\n"))?;
        router.give(&format!("{port}x"), &namespace, "lan")?;
        router.ip_lines(&format!("link set {port} master lan\nlink set {port} up\n"))?;
        namespace.ip_lines(&format!(
            "address add {address}/24 dev lan\nlink set lan up\nroute add default via {}\n",
            self.address(1)
        ))?;
        Ok(Host { namespace, address })
    }
}

/// A namespace that passes packets on.
fn router(label: &str) -> Result<Namespace> {
    let namespace = Namespace::new(label)?;
    namespace.set("ipv4/ip_forward", "1")?;
    for scope in ["all", "default"] {
        namespace.set(&format!("ipv4/conf/{scope}/rp_filter"), "0")?;
    }
    Ok(namespace)
}

/// Joins a box to the core; the core finds its network through the link.
fn connect(
    core: &Namespace,
    namespace: &Namespace,
    network: u8,
    access: Access,
    seed: u64,
) -> Result<Carrier> {
    let name = format!("net{network}");
    let devices = [device(namespace, WAN)?, device(core, &name)?];
    namespace.ip_lines(&format!(
        "address add {}/32 dev {WAN}\nlink set {WAN} up\nroute add default dev {WAN}\n",
        public(network, 0, 1)
    ))?;
    core.ip_lines(&format!(
        "link set {name} up\nroute add {}/16 dev {name}\n",
        public(network, 0, 0)
    ))?;
    Carrier::start(devices, [access.up, access.down], seed, None)
}

fn device(namespace: &Namespace, name: &str) -> Result<File> {
    let device = namespace.within(|| tun::open(name))?;
    let device = device.context(|| format!("make {name} from {}", tun::DEVICE))?;
    // Without a link-local address the kernel sends no packet of its own accord.
    namespace.ip(&["link", "set", name, "addrgenmode", "none"])?;
    Ok(device)
}
