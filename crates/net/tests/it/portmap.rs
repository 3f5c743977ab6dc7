//! Port mappings, of routers that the tests play. Against a real one
//! (`miniupnpd`) they are tried by `examples/portmap.rs`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use antiphon_net::portmap::{
    Failure, MapState, Mappings, Method, PortMap, PortMapConfig, RouterAddress,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// Longer than anything takes that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

const TCP: u16 = 4_711;
const UDP: u16 = 4_712;

fn outside(port: u16) -> Option<SocketAddrV4> {
    Some(SocketAddrV4::new(OUTSIDE, port))
}

/// A part of a router, as long as it is kept.
struct Part {
    address: SocketAddrV4,
    task: AbortHandle,
}

impl Drop for Part {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    let SocketAddr::V4(address) = address else { panic!("bound to IPv4") };
    address
}

/// Answers each packet with what `answer` makes of it.
async fn udp_part(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Part {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = v4(socket.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            for packet in answer(&buffer[..length]) {
                socket.send_to(&packet, from).await.unwrap();
            }
        }
    });
    Part { address, task: task.abort_handle() }
}

/// An address where nobody answers.
async fn silence() -> Part {
    udp_part(|_| Vec::new()).await
}

/// What a router has mapped: outside ports by protocol number and inside port.
type Table = Arc<Mutex<BTreeMap<(u8, u16), u16>>>;

fn held(table: &Table) -> Vec<((u8, u16), u16)> {
    table.lock().unwrap().iter().map(|(&key, &port)| (key, port)).collect()
}

/// A PCP answer to a request: granted, for `lifetime` seconds at most.
fn pcp_answer(request: &[u8], table: &Table, lifetime: u32, outside: Ipv4Addr) -> Vec<u8> {
    let mut answer = request.to_vec();
    answer[1] |= 0x80;
    let asked = u32::from_be_bytes(request[4..8].try_into().unwrap());
    let given = asked.min(lifetime);
    answer[4..8].copy_from_slice(&given.to_be_bytes());
    answer[8..24].fill(0);
    let inside = u16::from_be_bytes(request[40..42].try_into().unwrap());
    let mut table = table.lock().unwrap();
    if asked == 0 {
        table.remove(&(request[36], inside));
    } else {
        let port = *table.entry((request[36], inside)).or_insert(inside + 1_000);
        answer[42..44].copy_from_slice(&port.to_be_bytes());
        answer[44..60].copy_from_slice(&outside.to_ipv6_mapped().octets());
    }
    answer
}

async fn pcp_router(table: &Table, lifetime: u32, outside: Ipv4Addr) -> Part {
    let table = table.clone();
    udp_part(move |request| {
        // Garbage, and an answer to somebody else, come before.
        let mut stranger = pcp_answer(request, &Table::default(), lifetime, outside);
        stranger[30] ^= 1;
        vec![Vec::new(), vec![0xff; 60], stranger, pcp_answer(request, &table, lifetime, outside)]
    })
    .await
}

fn config(pcp: &Part, search: &Part) -> PortMapConfig {
    let router = RouterAddress { pcp: pcp.address, search: search.address };
    PortMapConfig { router: Some(router), ..PortMapConfig::new(TCP, UDP) }
}

async fn only_upnp(search: &Part) -> PortMapConfig {
    PortMapConfig { pcp: false, nat_pmp: false, ..config(&silence().await, search) }
}

/// What stands when it is no longer being asked.
async fn settled(map: &PortMap) -> Mappings {
    let mut watch = map.watch();
    let settled = watch.wait_for(|mappings| mappings.state != MapState::Asking);
    *timeout(PATIENCE, settled).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_router_with_pcp_maps_both_ports_and_unmaps_them() {
    let (table, search) = (Table::default(), silence().await);
    let pcp = pcp_router(&table, 3_600, OUTSIDE).await;
    let map = PortMap::start(config(&pcp, &search));
    assert_eq!(
        settled(&map).await,
        Mappings {
            tcp: outside(TCP + 1_000),
            udp: outside(UDP + 1_000),
            method: Some(Method::Pcp),
            state: MapState::Mapped,
        }
    );
    assert_eq!(held(&table), [((6, TCP), TCP + 1_000), ((17, UDP), UDP + 1_000)]);
    let mut watch = map.watch();
    map.close().await;
    assert_eq!(held(&table), []);
    assert_eq!(watch.borrow_and_update().state, MapState::Closed);
}

#[tokio::test]
async fn what_is_dropped_is_unmapped_too() {
    let (table, search) = (Table::default(), silence().await);
    let pcp = pcp_router(&table, 3_600, OUTSIDE).await;
    let map = PortMap::start(config(&pcp, &search));
    settled(&map).await;
    let mut watch = map.watch();
    drop(map);
    let closed = watch.wait_for(|mappings| mappings.state == MapState::Closed);
    timeout(PATIENCE, closed).await.unwrap().unwrap();
    assert_eq!(held(&table), []);
}

/// The clock stands still but for what is waited for, so that half of a lease
/// passes at once.
#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_at_its_half() {
    let (table, search) = (Table::default(), silence().await);
    let pcp = pcp_router(&table, 600, OUTSIDE).await;
    let map = PortMap::start(config(&pcp, &search));
    settled(&map).await;
    // The router forgets, and maps anew to another port when it is asked again.
    table.lock().unwrap().clear();
    table.lock().unwrap().insert((6, TCP), 9_000);
    let begin = tokio::time::Instant::now();
    let mut watch = map.watch();
    timeout(Duration::from_secs(600), watch.wait_for(|now| now.tcp == outside(9_000)))
        .await
        .unwrap()
        .unwrap();
    assert!((300..310).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
    assert_eq!(held(&table), [((6, TCP), 9_000), ((17, UDP), UDP + 1_000)]);
}

/// A router of before 2013.
#[tokio::test]
async fn a_router_with_nat_pmp_alone_maps_by_that() {
    let (removed, search) = (Arc::new(Mutex::new(Vec::new())), silence().await);
    let removals = removed.clone();
    let pcp = udp_part(move |request| match request {
        [0, 0] => vec![[&[0, 0x80, 0, 0, 0, 0, 0, 1], OUTSIDE.octets().as_slice()].concat()],
        [0, opcode @ (1 | 2), _, _, inside @ .., _, _, a, b, c, d] => {
            if [a, b, c, d] == [&0, &0, &0, &0] {
                removals.lock().unwrap().push(*opcode);
            }
            let head = [0, 0x80 | opcode, 0, 0, 0, 0, 0, 1];
            vec![[&head, inside, &[0x20, *opcode, *a, *b, *c, *d]].concat()]
        }
        _ => vec![vec![0, 0x81, 0, 1, 0, 0, 0, 1]],
    })
    .await;
    let map = PortMap::start(config(&pcp, &search));
    let mapped = settled(&map).await;
    assert_eq!(mapped.method, Some(Method::NatPmp));
    assert_eq!((mapped.tcp, mapped.udp), (outside(0x2002), outside(0x2001)));
    map.close().await;
    assert_eq!(*removed.lock().unwrap(), [2, 1]);
}

/// The parts of a router with UPnP: one that answers searches, one that answers
/// actions, `(name, body)`, with the inside of an envelope or an error's number.
async fn upnp_router(
    answer: impl Fn(&str, &str) -> Result<String, u16> + Send + 'static,
) -> (Part, Part) {
    const DESCRIPTION: &str = "<?xml version=\"1.0\"?><root><device><serviceList><service>\
        <serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
        <controlURL>/control</controlURL></service></serviceList></device></root>";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = v4(listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let whole = |request: &[u8]| {
                let text = String::from_utf8_lossy(request).into_owned();
                text.starts_with("GET") && text.ends_with("\r\n\r\n")
                    || text.trim_end().ends_with("</s:Envelope>")
            };
            while !whole(&request) {
                assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
            }
            let request = String::from_utf8(request).unwrap();
            let (status, body) = if request.starts_with("GET /root.xml ") {
                (200, DESCRIPTION.to_owned())
            } else {
                assert!(request.starts_with("POST /control "));
                let (_, action) = request.split_once("WANIPConnection:1#").unwrap();
                let (action, _) = action.split_once('"').unwrap();
                match answer(action, &request) {
                    Ok(inside) => (
                        200,
                        format!(
                            "<s:Body><u:{action}Response>{inside}</u:{action}Response></s:Body>"
                        ),
                    ),
                    Err(code) => (500, format!("<UPnPError><errorCode>{code}</errorCode>")),
                }
            };
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    let http = Part { address, task: task.abort_handle() };
    let search = udp_part(move |request| {
        assert!(request.starts_with(b"M-SEARCH * HTTP/1.1\r\n"));
        let device =
            |at: &str| format!("HTTP/1.1 200 OK\r\nLOCATION: http://{at}/root.xml\r\n\r\n");
        // Some who answer are elsewhere, or nowhere.
        ["127.0.0.2:9", "example.org", &address.to_string()]
            .map(|at| device(at).into_bytes())
            .to_vec()
    })
    .await;
    (http, search)
}

/// The value of an argument of an action.
fn argument(body: &str, name: &str) -> u16 {
    let (_, rest) = body.split_once(&format!("<{name}>")).unwrap();
    rest.split('<').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_router_with_upnp_maps_to_another_port_if_ours_is_taken() {
    let table = Table::default();
    let shared = table.clone();
    let (_http, search) = upnp_router(move |action, body| {
        let mut table = shared.lock().unwrap();
        let protocol = if body.contains("<NewProtocol>TCP<") { 6 } else { 17 };
        match action {
            "GetExternalIPAddress" => {
                Ok(format!("<NewExternalIPAddress>{OUTSIDE}</NewExternalIPAddress>"))
            }
            "AddPortMapping" => {
                assert!(body.contains("<NewInternalClient>127.0.0.1</NewInternalClient>"));
                assert_eq!(argument(body, "NewLeaseDuration"), 3_600);
                let port = argument(body, "NewExternalPort");
                if port == TCP {
                    return Err(718);
                }
                table.insert((protocol, argument(body, "NewInternalPort")), port);
                Ok(String::new())
            }
            "DeletePortMapping" => {
                let port = argument(body, "NewExternalPort");
                table.retain(|&(of, _), &mut mapped| (of, mapped) != (protocol, port));
                Ok(String::new())
            }
            other => panic!("{other}"),
        }
    })
    .await;
    let map = PortMap::start(only_upnp(&search).await);
    let mapped = settled(&map).await;
    assert_eq!((mapped.method, mapped.udp), (Some(Method::Upnp), outside(UDP)));
    let port = mapped.tcp.unwrap().port();
    assert!(port >= 49_152, "{port}");
    assert_eq!(held(&table), [((6, TCP), port), ((17, UDP), UDP)]);
    map.close().await;
    assert_eq!(held(&table), []);
}

#[tokio::test]
async fn what_a_router_will_not_do_is_said() {
    for (code, failure) in [(725, Failure::OnlyPermanent), (606, Failure::Refused(606))] {
        let (_http, search) = upnp_router(move |action, _| match action {
            "GetExternalIPAddress" => {
                Ok(format!("<NewExternalIPAddress>{OUTSIDE}</NewExternalIPAddress>"))
            }
            _ => Err(code),
        })
        .await;
        let map = PortMap::start(only_upnp(&search).await);
        assert_eq!(settled(&map).await, failed(failure));
    }
}

fn failed(failure: Failure) -> Mappings {
    Mappings { tcp: None, udp: None, method: None, state: MapState::Failed(failure) }
}

/// A router that says nothing is given up, and whoever closes does not wait for
/// it either.
#[tokio::test(start_paused = true)]
async fn a_silent_router_is_given_up() {
    let (pcp, search) = (silence().await, silence().await);
    let map = PortMap::start(config(&pcp, &search));
    assert_eq!(settled(&map).await, failed(Failure::Silent));
    map.close().await;
    let early = PortMap::start(config(&pcp, &search));
    early.close().await;
}

/// Lies: a mapping without an end, an address of nobody, and no sense at all. What
/// was granted nevertheless is given back.
#[tokio::test(start_paused = true)]
async fn a_router_that_lies_maps_nothing() {
    for (lifetime, address, failure) in [
        (0, OUTSIDE, Failure::OnlyPermanent),
        (3_600, Ipv4Addr::LOCALHOST, Failure::Garbage),
        (3_600, Ipv4Addr::UNSPECIFIED, Failure::Garbage),
        (3_600, Ipv4Addr::BROADCAST, Failure::Garbage),
    ] {
        let (table, search) = (Table::default(), silence().await);
        let pcp = pcp_router(&table, lifetime, address).await;
        let only_pcp = PortMapConfig { nat_pmp: false, upnp: false, ..config(&pcp, &search) };
        let map = PortMap::start(only_pcp);
        assert_eq!(settled(&map).await, failed(failure), "{lifetime} {address}");
        assert_eq!(held(&table), [], "{lifetime} {address}");
    }
    let pcp = udp_part(|_| vec![vec![0x5a; 1_000]; 20]).await;
    let search = udp_part(|_| vec![b"HTTP/1.1 200 OK\r\nLOCATION: \xff\r\n".to_vec(); 20]).await;
    let map = PortMap::start(config(&pcp, &search));
    assert_eq!(settled(&map).await, failed(Failure::Silent));
}

/// A page without an end costs what a page may have, and no more time than one.
#[tokio::test]
async fn an_endless_description_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = v4(listener.local_addr().unwrap());
    let sent = Arc::new(Mutex::new(0));
    let count = sent.clone();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        while let Ok(length) = stream.write(&[b'<'; 1_000]).await {
            *count.lock().unwrap() += length;
        }
    });
    let search = udp_part(move |_| {
        vec![format!("HTTP/1.1 200 OK\r\nLOCATION: http://{address}/x\r\n\r\n").into_bytes()]
    })
    .await;
    let map = PortMap::start(only_upnp(&search).await);
    assert_eq!(settled(&map).await, failed(Failure::Garbage));
    timeout(PATIENCE, task).await.unwrap().unwrap();
    assert!(*sent.lock().unwrap() < 16_000_000, "what sockets hold, and no more");
}
