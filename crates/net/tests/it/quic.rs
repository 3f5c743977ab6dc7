//! What is particular to QUIC.
//!
//! Of the cases that `docs/protocol.md` leaves to QUIC itself, invalid transport
//! parameters (q1), pieces with many gaps (q2), connection ids that are retired
//! by force (q5), floods of path challenges (q6), acknowledgements of what was
//! never sent (q7) and migration towards a victim (q9) are met by quinn. That
//! its version is new enough is checked with the floors of all dependencies.

use antiphon_net::{Connection, Transport};
use antiphon_types::Class;

use crate::support::{dial, listen, stream};

/// The buffer of a socket is of the process, not of each peer.
#[tokio::test]
async fn connections_that_we_dial_share_a_socket_and_move_together() {
    let mut acceptor = listen().await;
    let mut connections = Vec::new();
    for _ in 0..3 {
        let client = Connection::dial(dial(acceptor.local_address(), Transport::Quic));
        client.established().await.unwrap();
        connections.push((client, acceptor.accept().await));
    }
    let ports = |connections: &[(Connection, Connection)]| -> Vec<u16> {
        connections.iter().map(|(client, _)| client.addresses().unwrap().0.port()).collect()
    };
    let before = ports(&connections);
    assert!(before.iter().all(|port| *port == before[0]));
    connections[0].0.network_changed().unwrap();
    let after = ports(&connections);
    assert!(after.iter().all(|port| *port == after[0] && *port != before[0]));
    for (client, server) in &connections {
        stream(client, server, Class::Now).await;
    }
}
