//! `miniupnpd` on a router: ports on request by UPnP-IGD, PCP and NAT-PMP.

use std::fs::File;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::failure::{Failure, Result};
use crate::lab::namespace::Namespace;

/// Where NAT-PMP and PCP listen (RFC 6886, section 1.1).
const PMP_PORT: u16 = 5351;
/// A question is asked again after this long.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often it is asked: the daemon takes a moment to start.
const TRIES: usize = 50;
/// How long a mapping lives, in seconds.
const LIFETIME: u32 = 600;

/// The chains that the daemon fills.
const RULES: &str = "table inet miniupnpd {
  chain forward {
    type filter hook forward priority filter - 1
    jump miniupnpd
  }
  chain miniupnpd { }
  chain prerouting {
    type nat hook prerouting priority dstnat
    jump prerouting_miniupnpd
  }
  chain prerouting_miniupnpd { }
  chain postrouting {
    type nat hook postrouting priority srcnat - 1
    jump postrouting_miniupnpd
  }
  chain postrouting_miniupnpd { }
}
";

const CONFIG: &str = "ext_ifname=wan
listening_ip=lan
enable_natpmp=yes
enable_upnp=yes
secure_mode=yes
system_uptime=yes
min_lifetime=60
max_lifetime=86400
upnp_table_name=miniupnpd
upnp_nat_table_name=miniupnpd
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
uuid=b7a1f2f0-6c0f-4d2e-9d7c-0d3f6a5b4c21
allow 1024-65535 192.168.1.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
";

/// The daemon. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Igd {
    daemon: Child,
    router: Ipv4Addr,
    _folder: TempDir,
}

impl Igd {
    /// Starts it on a router.
    ///
    /// # Errors
    ///
    /// There is no `miniupnpd`.
    pub(super) fn start(namespace: &Namespace, router: Ipv4Addr) -> Result<Self> {
        namespace.nft(RULES)?;
        let folder = tempfile::tempdir()?;
        let (config, log) = (folder.path().join("miniupnpd.conf"), folder.path().join("log"));
        std::fs::write(&config, CONFIG)?;
        let log = File::create(&log)?;
        let mut command = Command::new("/usr/sbin/miniupnpd");
        // In the foreground.
        command.arg("-d").arg("-f").arg(&config).arg("-P").arg(folder.path().join("pid"));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let daemon = namespace
            .spawn(&mut command)
            .map_err(|failure| failure.hint("install Debian's miniupnpd-nftables"))?;
        Ok(Self { daemon, router, _folder: folder })
    }

    /// Asks for the outside port of the same number to lead to the calling host;
    /// the port that was given (RFC 6886, section 3.3).
    ///
    /// # Errors
    ///
    /// The daemon refuses, or does not answer within five seconds.
    pub(super) fn map(&self, port: u16, udp: bool) -> Result<u16> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((self.router, PMP_PORT))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let operation = if udp { 1 } else { 2 };
        let mut question = vec![0, operation, 0, 0];
        question.extend_from_slice(&port.to_be_bytes());
        question.extend_from_slice(&port.to_be_bytes());
        question.extend_from_slice(&LIFETIME.to_be_bytes());
        for _ in 0..TRIES {
            // Refused until the daemon listens.
            let _ = socket.send(&question);
            let mut answer = [0; 16];
            match socket.recv(&mut answer) {
                Ok(16) if answer[1] == 128 + operation => {
                    if answer[2..4] != [0, 0] {
                        let code = u16::from_be_bytes([answer[2], answer[3]]);
                        return Err(Failure::new(format!("miniupnpd refuses: {code}")));
                    }
                    return Ok(u16::from_be_bytes([answer[10], answer[11]]));
                }
                Ok(_) => {}
                Err(_) => std::thread::sleep(PATIENCE),
            }
        }
        Err(Failure::new("miniupnpd does not answer"))
    }
}

impl Drop for Igd {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
