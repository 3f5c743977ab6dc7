"""Makes the example of docs/protocol.md, section 10: a handshake with fixed keys,
and the proofs of a small blob. A test holds the page to what this prints.
"""

import struct

from blake3 import blake3
from noise.connection import Keypair, NoiseConnection

from antiphon_client import pack
from block_proof import BLOCK, CHUNK, chaining_value, parent
from connection import CONTROL, DATA, OPEN, PING, SESSION, Key, frame, montgomery


def show(name, data):
    digits = data.hex()
    lines = [digits[at : at + 64] for at in range(0, len(digits), 64)]
    print(f"{name:<11} {lines[0]}")
    for line in lines[1:]:
        print(f"{'':<11} {line}")


def side(starts, ephemeral, own, other, prologue):
    """One side of a handshake, with an ephemeral key that is none."""
    noise = NoiseConnection.from_name(b"Noise_IK_25519_ChaChaPoly_BLAKE2s")
    (noise.set_as_initiator if starts else noise.set_as_responder)()
    noise.set_prologue(prologue)
    noise.set_keypair_from_private_bytes(Keypair.STATIC, own.x25519)
    noise.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral)
    if starts:
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, montgomery(other.node))
    noise.start_handshake()
    return noise


def handshake():
    server, device, peer = (Key(bytes([seed]) * 32) for seed in (1, 2, 3))
    for name, key in (("server", server), ("device", device), ("peer key", peer)):
        show(name, key.node)
        show("  X25519", montgomery(key.node))
    proof = peer.sign(b"antiphon peer key v1", device.node + server.node)
    show("proof", proof)
    hello = pack("ClientNotice", hello={"peer_key": peer.node, "peer_key_proof": proof})
    early = frame(OPEN, SESSION, bytes([CONTROL])) + frame(DATA, SESSION, hello)
    show("early", early)
    prologue = b"antiphon\x01\x01" + server.node
    show("prologue", prologue)
    client = side(True, bytes([4]) * 32, device, server, prologue)
    answerer = side(False, bytes([5]) * 32, server, device, prologue)
    first = bytes(client.write_message(device.node + early))
    assert answerer.read_message(first) == device.node + early
    show("client", b"\x01" + struct.pack(">H", len(first)) + first)
    answer = bytes(answerer.write_message(server.node))
    assert client.read_message(answer) == server.node
    show("server", struct.pack(">H", len(answer)) + answer)
    record = client.encrypt(frame(PING, 0, bytes(range(8))))
    show("client", struct.pack(">H", len(record)) + record)


def proofs():
    blob = bytes(at % 251 for at in range(40_000))
    blocks = [blob[at : at + BLOCK] for at in range(0, len(blob), BLOCK)]
    values = [chaining_value(block, at * BLOCK // CHUNK) for at, block in enumerate(blocks)]
    for at, value in enumerate(values):
        show(f"block {at}", value)
    lower = values[0] + values[1]
    upper = parent(lower) + values[2]
    show("upper pair", upper)
    show("lower pair", lower)
    show("blob", blake3(blob).digest())


if __name__ == "__main__":
    handshake()
    print()
    proofs()
