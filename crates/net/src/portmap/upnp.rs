//! UPnP: an Internet Gateway Device (IGD 1 and 2) is searched for, says where its
//! port mappings are asked for, and is asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use rand::RngExt as _;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::http::{self, Answer, Url};
use super::wire::{Granted, Wanted};
use super::xml::{self, Piece};
use super::{Failure, Protocol};
use crate::lan::networks::Networks;

/// Where devices are searched for (SSDP).
pub(super) const SEARCH: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);

/// What is searched for.
const DEVICES: [&str; 2] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
];

/// What maps ports, the better first.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// How long answers to each search are waited for: devices take up to a second.
const PATIENCE: [Duration; 2] = [Duration::from_millis(1_300); 2];

/// Descriptions read in one search: whoever answers, and is none.
const MAX_DESCRIPTIONS: usize = 4;

/// Errors of the service: the port is somebody else's; only mappings without end.
const CONFLICT: u16 = 718;
const ONLY_PERMANENT: u16 = 725;

/// Outside ports tried when ours is taken.
const TRIES: usize = 4;

/// A device that maps ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Igd {
    control: Url,
    service: &'static str,
    /// Our address in the mappings: a device does well to map to no other.
    client: Ipv4Addr,
}

impl Igd {
    /// Searches for one; if the `router` is known, for that alone: anybody on the
    /// network could answer.
    pub(super) async fn find(
        search: SocketAddrV4,
        router: Option<Ipv4Addr>,
        client: Ipv4Addr,
    ) -> Result<Self, Failure> {
        let socket = UdpSocket::bind((client, 0)).await.map_err(Failure::io)?;
        let networks = Networks::read().map_err(Failure::io)?;
        let mut seen: Vec<Url> = Vec::new();
        let mut buffer = [0; 2_048];
        for patience in PATIENCE {
            for device in DEVICES {
                let sent = socket.send_to(search_request(device).as_bytes(), search).await;
                sent.map_err(Failure::io)?;
            }
            let until = Instant::now() + patience;
            while let Ok(received) = timeout_at(until, socket.recv_from(&mut buffer)).await {
                let (length, from) = received.map_err(Failure::io)?;
                let Some(location) = location(&buffer[..length], from) else { continue };
                let host = *location.host.ip();
                let trusted = match router {
                    Some(router) => host == router,
                    None => networks.believes(host.into()),
                };
                if !trusted || seen.contains(&location) || seen.len() >= MAX_DESCRIPTIONS {
                    continue;
                }
                if let Some(found) = Self::describe(&location, client).await {
                    return Ok(found);
                }
                seen.push(location);
            }
        }
        Err(if seen.is_empty() { Failure::Silent } else { Failure::Garbage })
    }

    async fn describe(location: &Url, client: Ipv4Addr) -> Option<Self> {
        let answer = http::get(location).await.ok()?;
        let (control, service) = control(&answer.body, location)?;
        Some(Self { control, service, client })
    }

    /// Asks for a mapping, by our port and by others if it is taken.
    pub(super) async fn map(&self, wanted: &Wanted) -> Result<Granted, Failure> {
        let address = self.outside_address().await?;
        let mut port = wanted.suggested;
        for _ in 0..TRIES {
            match self.add(wanted, port).await {
                Err(Failure::Refused(CONFLICT)) => {
                    port = rand::rng().random_range(49_152..=u16::MAX);
                }
                Err(Failure::Refused(ONLY_PERMANENT)) => return Err(Failure::OnlyPermanent),
                Err(failure) => return Err(failure),
                Ok(()) => {
                    let lifetime = wanted.lifetime;
                    return Ok(Granted { port, address: Some(address), lifetime });
                }
            }
        }
        Err(Failure::Refused(CONFLICT))
    }

    async fn add(&self, wanted: &Wanted, port: u16) -> Result<(), Failure> {
        let arguments = format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort>\
             <NewProtocol>{}</NewProtocol><NewInternalPort>{}</NewInternalPort>\
             <NewInternalClient>{}</NewInternalClient><NewEnabled>1</NewEnabled>\
             <NewPortMappingDescription>antiphon</NewPortMappingDescription>\
             <NewLeaseDuration>{}</NewLeaseDuration>",
            name(wanted.protocol),
            wanted.internal,
            self.client,
            wanted.lifetime
        );
        self.act("AddPortMapping", &arguments).await.map(drop)
    }

    /// Removes a mapping of ours.
    pub(super) async fn unmap(&self, protocol: Protocol, port: u16) -> Result<(), Failure> {
        let arguments = format!(
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort>\
             <NewProtocol>{}</NewProtocol>",
            name(protocol)
        );
        self.act("DeletePortMapping", &arguments).await.map(drop)
    }

    async fn outside_address(&self) -> Result<Ipv4Addr, Failure> {
        let answer = self.act("GetExternalIPAddress", "").await?;
        let text = xml::text(&answer.body, "NewExternalIPAddress").ok_or(Failure::Garbage)?;
        text.parse().map_err(|_| Failure::Garbage)
    }

    /// One action; an answer is one that says that it was done.
    async fn act(&self, action: &str, arguments: &str) -> Result<Answer, Failure> {
        let service = self.service;
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope \
             xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{service}\">{arguments}</u:{action}></s:Body></s:Envelope>\r\n"
        );
        let answer = http::post(&self.control, &format!("\"{service}#{action}\""), &body).await?;
        if let Some(code) = xml::text(&answer.body, "errorCode") {
            return Err(code.parse().map_or(Failure::Garbage, Failure::Refused));
        }
        let done = answer.body.contains(&format!("{action}Response"));
        if answer.status == 200 && done { Ok(answer) } else { Err(Failure::Garbage) }
    }
}

const fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}

/// UPnP Device Architecture 1.1, section 1.3.2.
fn search_request(device: &str) -> String {
    format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {SEARCH}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
         ST: {device}\r\n\r\n"
    )
}

/// Where who answers is described: at the address from which it answers, and
/// nowhere else.
fn location(packet: &[u8], from: SocketAddr) -> Option<Url> {
    let text = std::str::from_utf8(packet).ok()?;
    let mut lines = text.lines();
    let status = lines.next()?;
    if !status.starts_with("HTTP/1.") || status.split(' ').nth(1) != Some("200") {
        return None;
    }
    let location = lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case("location").then_some(value.trim())
    })?;
    Url::parse(location).filter(|url| IpAddr::from(*url.host.ip()) == from.ip())
}

/// The best service of a description, and where it is asked.
fn control(description: &str, location: &Url) -> Option<(Url, &'static str)> {
    let base = xml::text(description, "URLBase").and_then(|base| location.join(base));
    let base = base.as_ref().unwrap_or(location);
    let mut found: Vec<(usize, Url)> = Vec::new();
    let (mut inside, mut service, mut path) = ("", None, None);
    for piece in xml::pieces(description) {
        match piece {
            Piece::Open(name) => inside = name,
            Piece::Text(text) if inside == "serviceType" => {
                service = SERVICES.iter().position(|&one| one == text.trim());
            }
            Piece::Text(text) if inside == "controlURL" => path = base.join(text.trim()),
            Piece::Close("service") => {
                found.extend(service.take().zip(path.take()));
            }
            Piece::Close(_) => inside = "",
            Piece::Text(_) => {}
        }
    }
    let (service, url) = found.into_iter().min_by_key(|&(service, _)| service)?;
    Some((url, SERVICES[service]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn service(kind: &str, path: &str) -> String {
        format!(
            "<service><serviceType>urn:schemas-upnp-org:service:{kind}</serviceType>\
             <controlURL>{path}</controlURL><SCPDURL>/scpd.xml</SCPDURL></service>"
        )
    }

    #[test]
    fn a_device_is_where_it_answers_from() {
        let from = "192.168.1.1:1900".parse().unwrap();
        let packet = |location: &str| {
            format!("HTTP/1.1 200 OK\r\nST: x\r\nLocation: {location}\r\nUSN: y\r\n\r\n")
        };
        let good = packet("http://192.168.1.1:5000/root.xml");
        assert_eq!(location(good.as_bytes(), from), Some(url("http://192.168.1.1:5000/root.xml")));
        for bad in [
            packet("http://192.168.1.9:5000/root.xml"),
            packet("http://example.org/root.xml"),
            packet("file:///etc/passwd"),
            good.replace("200 OK", "404 No"),
            good.replace("HTTP/1.1 200 OK", "NOTIFY * HTTP/1.1"),
            good.replace("Location", "Elsewhere"),
        ] {
            assert_eq!(location(bad.as_bytes(), from), None, "{bad}");
        }
        assert_eq!(location(&[0xff; 50], from), None);
    }

    #[test]
    fn the_best_service_of_a_description_is_found() {
        let location = url("http://192.168.1.1:5000/root.xml");
        let services = [
            service("Layer3Forwarding:1", "/l3"),
            service("WANPPPConnection:1", "/ppp"),
            service("WANIPConnection:1", "ip"),
        ];
        let description = format!("<root><serviceList>{}</serviceList></root>", services.concat());
        let found = control(&description, &location);
        assert_eq!(found, Some((url("http://192.168.1.1:5000/ip"), SERVICES[1])));

        let based = format!("<URLBase>http://192.168.1.1:80/</URLBase>{description}");
        let found = control(&based, &location);
        assert_eq!(found, Some((url("http://192.168.1.1:80/ip"), SERVICES[1])));
        // A base elsewhere is none.
        let found = control(&based.replace("1.1:80", "1.9:80"), &location);
        assert_eq!(found, Some((url("http://192.168.1.1:5000/ip"), SERVICES[1])));

        let nowhere = service("WANIPConnection:1", "http://10.0.0.1/ip");
        assert_eq!(control(&nowhere, &location), None);
        assert_eq!(control(&services[0], &location), None);
        assert_eq!(control("", &location), None);
    }
}
