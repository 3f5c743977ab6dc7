//! Slow on purpose: those who greet in crumbs, and those who give at a trickle. Case F2
//! of the threats, and H1.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::listener::ended;
use crate::support::{Process, Service, faulty_client, music, wait_for};

/// How many come to greet in crumbs.
const CROWD: usize = 300;
/// How many of one address may be half open; see `DoorLimits`.
const HALF_OPEN: usize = 64;
/// Sockets that a listener has for other things, with room.
const OTHER_SOCKETS: usize = 40;
/// What each of the crowd says first: nothing, or what a greeting may begin with.
const BEGINNINGS: [&[u8]; 4] = [&[], &[1], &[1, 0], &[1, 0, 200, 7, 7]];

/// An address of this machine at which nobody listens.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.88:0").unwrap().local_addr().unwrap()
}

fn sockets(process: &Process) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap();
    let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

/// One of the crowd, when the listener is there.
fn begin(address: SocketAddr, number: usize) -> TcpStream {
    let mut stream = wait_for("somebody who listens", || TcpStream::connect(address).ok());
    stream.write_all(BEGINNINGS[number % BEGINNINGS.len()]).unwrap();
    stream
}

/// Whether the other side has closed it.
fn is_over(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(0) => true,
        Ok(_) => panic!("a stranger is answered"),
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn f2_those_who_greet_in_crumbs_disturb_nobody_and_do_not_stay() {
    let (service, track) = (Service::start(), &music().middle);
    let holder = service.listener("holder");
    let held = holder.hold(track, &[]);
    let address = free_address();
    let a = service.listener("a").at(address);
    let mut playing = a.click(track, 8, &["--stay"]);
    let mut crowd: Vec<TcpStream> = (0..CROWD).map(|number| begin(address, number)).collect();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for stream in &crowd {
            stream.set_nonblocking(true).unwrap();
        }
        scope.spawn(|| {
            // Each says a little more, as long as anybody listens.
            while !over.load(Ordering::Relaxed) {
                crowd.iter().for_each(|mut stream| drop(stream.write(&[7])));
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let play = wait_for("the end of the play", || a.plays().pop());
        play.assert_heard_without_a_stall(track);
        assert!(play.bytes("peers") > 0, "{play:?}");
        let open = sockets(&playing);
        assert!(open <= HALF_OPEN + OTHER_SOCKETS, "{open} sockets");

        // Meanwhile somebody gets in who means it.
        held.kill();
        let b = service.listener("b");
        let play = ended(&b, &mut b.click(track, 8, &[]));
        play.assert_heard_without_a_stall(track);
        assert!(play.bytes("peers") > 0, "{play:?}");
        over.store(true, Ordering::Relaxed);
    });
    wait_for("the end of the crowd", || crowd.iter_mut().all(is_over).then_some(()));
    assert!(playing.try_wait().is_none(), "she is still there");
}

#[test]
fn f2_a_peer_that_gives_at_a_trickle_is_not_waited_for() {
    let (service, track) = (Service::start(), &music().middle);
    let mallory = service.listener("mallory").with_program(faulty_client());
    let _holder = mallory.hold(track, &["--trickle-uploads"]);
    let b = service.listener("b");
    let mut play = b.click(track, 8, &[]);
    b.wait_for_event("peer_up");
    let play = ended(&b, &mut play);
    play.assert_heard_without_a_stall(track);
    // A block in 1.5 s, and as many as one request may ask for.
    assert!(play.bytes("peers") < 20 * 16_384, "{play:?}");
}
