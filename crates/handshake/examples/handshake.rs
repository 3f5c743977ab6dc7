//! Two ends shake hands over a pipe that cuts the stream wherever it likes.
//!
//! `cargo run -p antiphon-handshake --example handshake [SEED]`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::VecDeque;
use std::error::Error;

use antiphon_handshake::identity::{self, NodeSecret};
use antiphon_handshake::{Finished, Handshake, MAX_MESSAGE_BYTES, Params, TAG_BYTES, Turn};
use antiphon_types::NodeId;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Says which version of which service is meant; both ends must agree.
const PROLOGUE: &[u8] = b"example 1.0";

/// One direction of a byte stream, delivered in pieces of 1 to 7 bytes.
#[derive(Default)]
struct Pipe(VecDeque<u8>);

impl Pipe {
    fn send(&mut self, message: &[u8]) -> Result<(), Box<dyn Error>> {
        self.0.extend(u16::try_from(message.len())?.to_be_bytes());
        self.0.extend(message);
        Ok(())
    }

    /// The next piece.
    fn piece(&mut self, rng: &mut ChaCha20Rng) -> Vec<u8> {
        let bytes = (1 + rng.next_u32() as usize % 7).min(self.0.len());
        self.0.drain(..bytes).collect()
    }
}

/// One end: its side of the handshake, and what has come of the next message.
struct End {
    name: &'static str,
    node: NodeId,
    turn: Turn,
    incoming: Vec<u8>,
}

impl End {
    fn new(name: &'static str, node: NodeId, handshake: Handshake) -> Result<Self, Box<dyn Error>> {
        Ok(Self { name, node, turn: handshake.turn()?, incoming: Vec::new() })
    }

    /// Does what there is to do, and waits if that is to read.
    fn advance(mut self, outgoing: &mut Pipe) -> Result<Self, Box<dyn Error>> {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        self.turn = match self.turn {
            Turn::Write(step) => {
                let (next, sent) = step.write(self.node.as_bytes(), &mut buffer)?;
                println!("{:<6} sends a message of {sent} bytes", self.name);
                outgoing.send(&buffer[..sent])?;
                next
            }
            Turn::Read(step) => match take_message(&mut self.incoming) {
                None => Turn::Read(step),
                Some(message) => {
                    let (next, received) = step.read(&message, &mut buffer)?;
                    greet(self.name, &buffer[..received], &next)?;
                    next
                }
            },
            done @ Turn::Done(_) => done,
        };
        Ok(self)
    }

    fn finish(self) -> Option<Finished> {
        match self.turn {
            Turn::Done(finished) => Some(finished),
            Turn::Write(_) | Turn::Read(_) => None,
        }
    }
}

/// The message that has come whole, if there is one: two bytes of length come
/// before it.
fn take_message(incoming: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (length, rest) = incoming.split_first_chunk()?;
    let message = rest.get(..usize::from(u16::from_be_bytes(*length)))?.to_vec();
    incoming.drain(..2 + message.len());
    Some(message)
}

/// Looks at the node id that came in a payload: is it the one whose key the
/// handshake has proven?
fn greet(name: &str, payload: &[u8], turn: &Turn) -> Result<(), Box<dyn Error>> {
    let claimed = NodeId::from_slice(payload).ok_or("the payload is no node id")?;
    match turn.handshake().remote_static() {
        None => println!("{name:<6} hears from {claimed}, unproven"),
        Some(key) if identity::matches(&claimed, &key) => {
            println!("{name:<6} hears from {claimed}");
        }
        Some(_) => return Err("somebody claims a node id that is not its own".into()),
    }
    Ok(())
}

/// Runs `pattern` to its end and sends one record.
fn shake_hands(pattern: &str, rng: &mut ChaCha20Rng) -> Result<(), Box<dyn Error>> {
    let params: Params = format!("Noise_{pattern}_25519_ChaChaPoly_BLAKE2s").parse()?;
    println!("\n{params}");
    let (client, server) = (NodeSecret::generate(rng), NodeSecret::generate(rng));
    let (ours, theirs) = (client.noise_secret(), server.noise_secret());
    let known = (pattern == "IK").then(|| theirs.public_key());
    let initiator = Handshake::initiator(params, PROLOGUE, Some(&ours), known, rng)?;
    let responder = Handshake::responder(params, PROLOGUE, Some(&theirs), None, rng)?;
    let mut client = End::new("client", client.node_id(), initiator)?;
    let mut server = End::new("server", server.node_id(), responder)?;
    let (mut up, mut down) = (Pipe::default(), Pipe::default());

    let mut pieces = 0;
    loop {
        client = client.advance(&mut up)?;
        server = server.advance(&mut down)?;
        server.incoming.extend(up.piece(rng));
        client.incoming.extend(down.piece(rng));
        pieces += 1;
        if matches!((&client.turn, &server.turn), (Turn::Done(_), Turn::Done(_))) {
            break;
        }
    }
    let (client, server) = client.finish().zip(server.finish()).ok_or("an end is not done")?;
    assert_eq!(client.handshake_hash(), server.handshake_hash());
    println!("both   call the session {}", hex::encode(&client.handshake_hash()[..8]));

    let mut record = b"play".to_vec();
    record.resize(record.len() + TAG_BYTES, 0);
    client.into_transport()?.sender.encrypt_in_place(&mut record)?;
    let bytes = server.into_transport()?.receiver.decrypt_in_place(&mut record)?;
    let text = String::from_utf8_lossy(&record[..bytes]);
    println!("server decrypts a first record after {pieces} pieces: {text}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let seed = match std::env::args().nth(1) {
        Some(seed) => seed.parse()?,
        None => u64::from(std::process::id()),
    };
    println!("seed {seed}: the same again with this argument");
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    shake_hands("IK", &mut rng)?;
    shake_hands("XX", &mut rng)
}
