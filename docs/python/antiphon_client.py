#!/usr/bin/env python3
"""Another client of Antiphon, written from docs/protocol.md and proto/ alone.

It logs in, searches, plays a track, checks every block of it, and writes the
Ogg file that it heard:

    antiphon_client.py antiphon://HOST:PORT/NODEID --secret S --play first --out a.ogg

This file is sections 5, 6 and 8 of the page; `connection.py` is what lies
below, `block_proof.py` the proofs.
"""

import argparse
import os
import re
import struct
import sys
import tempfile
import time
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.message import DecodeError
from grpc_tools import protoc

from block_proof import Blob, DoesNotVerify
from connection import (
    LARGEST_PAYLOAD,
    PLAYING_NOW,
    SESSION,
    Connection,
    Failure,
    Key,
    check_signature,
    require,
)

# 5. Messages on a stream

PROTOBUF, BLOCK = 0, 1


def compile_messages():
    """The classes of all messages, compiled from proto/."""
    source = Path(__file__).resolve().parents[2] / "proto"
    files = [str(file) for file in source.glob("antiphon/v1/*.proto")]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "compiled")
        status = protoc.main(["protoc", f"-I{source}", f"--descriptor_set_out={out}", *files])
        require(status == 0, f"the files in {source} do not compile")
        compiled = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    classes = message_factory.GetMessages(compiled.file)
    return {name.removeprefix("antiphon.v1."): made for name, made in classes.items()}


MESSAGES = compile_messages()


def decode(name, encoded):
    try:
        return MESSAGES[name].FromString(encoded)
    except DecodeError:
        raise Failure(f"what came is no {name}") from None


def pack(name, **fields):
    """A message as it travels on a stream."""
    encoded = MESSAGES[name](**fields).SerializeToString()
    return struct.pack(">BI", PROTOBUF, len(encoded)) + encoded


def next_message(connection, stream, name):
    """The next message of a stream, a block as `(number, proof, data)`; `None`
    at the end."""
    head = connection.read(stream, 5)
    if head is None:
        return None
    kind, length = struct.unpack(">BI", head)
    require(kind in (PROTOBUF, BLOCK) and length <= 65_536, f"kind {kind}, {length} bytes?")
    body = connection.read(stream, length)
    require(body is not None, "a stream ends within a message")
    if kind == PROTOBUF:
        return decode(name, body)
    require(length > 6, "a block without data")
    number, proof = struct.unpack_from(">IH", body)
    return number, body[6 : 6 + proof], body[6 + proof :]


def expect(answer, kind):
    """The answer's content, which has to be of this kind."""
    require(answer is not None, f"the stream ends without {kind}")
    require(not isinstance(answer, tuple), f"a block came instead of {kind}")
    got = answer.WhichOneof("kind")
    if got == "refused":
        reason = type(answer.refused).Reason.Name(answer.refused.reason)
        raise Failure(f"refused, {reason}: {answer.refused.message}")
    require(got == kind, f"{got} came instead of {kind}")
    return getattr(answer, kind)


# 6. Client and server


class Client:
    """A session with a server."""

    def __init__(self, address, server, device, secret):
        self.server = server
        peer = Key(os.urandom(32))
        hello = {
            "agent": "antiphon_client.py",
            "peer_key": peer.node,
            "peer_key_proof": peer.sign(b"antiphon peer key v1", device.node + server),
            "join_secret": secret,
        }
        self.connection = Connection(address, server, device, pack("ClientNotice", hello=hello))
        self.welcome = expect(next_message(self.connection, SESSION, "ServerNotice"), "welcome")
        signed = self.welcome.ticket
        check_signature(server, b"antiphon ticket v1", signed.ticket, signed.signature)
        self.ticket = decode("Ticket", signed.ticket)
        require(self.ticket.peer_key == peer.node, "the ticket is for another")
        require(self.ticket.service == server, "the ticket is of another service")
        require(self.ticket.expires_ms > time.time() * 1000, "the ticket has expired")

    def search(self, words, piece=LARGEST_PAYLOAD):
        return self._request("found", piece, search={"words": words, "limit": 20})[1]

    def play(self, track, kbps, alter):
        """The manifest, the rendition in it, and the rendition's bytes."""
        wish = {"track": track, "kbps": kbps, "push_ms": 5_000}
        stream, playing = self._request("playing", play=wish)
        signed = playing.manifest
        check_signature(self.server, b"antiphon manifest v1", signed.manifest, signed.signature)
        manifest = decode("Manifest", signed.manifest)
        require(manifest.track == track, "the manifest is of another track")
        rendition = next((it for it in manifest.renditions if it.kbps == kbps), None)
        key = next((lease.key for lease in playing.leases if lease.kbps == kbps), None)
        require(rendition and key, f"no rendition of {kbps} kbit/s, or no key to it")
        blob = Blob(rendition.blob, rendition.bytes)
        have = self._receive_blocks(stream, blob, alter)
        print(f"verified: {len(have)} blocks that came unasked")
        for start, end in gaps(have, blob.blocks):
            wish = {"blob": blob.name, "start": start, "end": end, "class": PLAYING_NOW}
            stream, _ = self._request("blocks_follow", blocks=wish)
            have |= self._receive_blocks(stream, blob, alter)
        require(len(have) == blob.blocks, f"{len(have)} blocks came, not {blob.blocks}")
        whole = b"".join(have[number] for number in range(blob.blocks))
        require(blake3(whole).digest() == blob.name, "the whole is another blob")
        print(f"verified: all {blob.blocks} blocks and the whole, {len(whole)} bytes")
        return manifest, rendition, decrypt(key, whole)

    def _request(self, answer, piece=LARGEST_PAYLOAD, **request):
        stream = self.connection.ask(PLAYING_NOW, pack("Request", **request), piece)
        return stream, expect(next_message(self.connection, stream, "Reply"), answer)

    def _receive_blocks(self, stream, blob, alter):
        """The blocks that follow on a stream, each checked as it comes."""
        have = {}
        while (block := next_message(self.connection, stream, "Reply")) is not None:
            if not isinstance(block, tuple):
                expect(block, "a block")
            number, proof, data = block
            data = alter(data)
            blob.verify(number, proof, data)
            have[number] = data
        return have


def gaps(have, end):
    """What is missing, as ranges."""
    start = None
    for number in range(end + 1):
        missing = number < end and number not in have
        if missing and start is None:
            start = number
        if not missing and start is not None:
            yield start, number
            start = None


# 8. Renditions


def decrypt(key, blob):
    # The library takes the counter, little-endian, and the nonce in one.
    cipher = algorithms.ChaCha20(key, bytes(4) + bytes(12))
    return Cipher(cipher, mode=None).decryptor().update(blob)


def check_ogg(ogg, rendition):
    """Compares a rendition with what the manifest says of it."""
    require(ogg.startswith(b"OggS"), "what was decrypted is no Ogg file")
    offset = 0
    for segment, delta in enumerate(rendition.segment_offset_deltas):
        offset += delta
        require(ogg.startswith(b"OggS", offset), f"no page begins where segment {segment} should")
    (granule,) = struct.unpack_from("<Q", ogg, ogg.rindex(b"OggS") + 6)
    require(granule == rendition.samples, f"the last page ends at sample {granule}")


# The program


def device_key(file):
    """The device's key, kept in a file if there is to be one."""
    if file is None:
        return Key(os.urandom(32))
    if not file.exists():
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(os.urandom(32))
    return Key(file.read_bytes())


def flip_a_bit(data):
    return bytes([data[0] ^ 1]) + data[1:]


def arguments():
    parser = argparse.ArgumentParser(description="Plays from an Antiphon server, and checks.")
    option = parser.add_argument
    option("link", help="antiphon://HOST:PORT/NODEID")
    option("--secret", default="", help="what lets a new device in")
    option("--key", type=Path, help="file of the device's key; without it, a new device")
    option("--search", metavar="WORDS", help="list the tracks that have these words")
    option("--play", metavar="TRACK", help="32 hexadecimal digits, or `first` of those found")
    option("--kbps", type=int, default=160, help="96, 160 or 320")
    option("--out", type=Path, help="file for the music")
    option("--tamper", action="store_true", help="flip a bit of each block before its check")
    option("--rekey", action="store_true", help="first send enough records to change the keys")
    return parser.parse_args()


def run():
    wanted = arguments()
    link = re.fullmatch(r"antiphon://\[?(.+?)\]?:(\d+)/([0-9a-f]{64})", wanted.link)
    require(link, "a link looks like antiphon://HOST:PORT/NODEID")
    device = device_key(wanted.key)
    client = Client((link[1], int(link[2])), bytes.fromhex(link[3]), device, wanted.secret)
    hours = (client.ticket.expires_ms - client.ticket.issued_ms) / 3_600_000
    print(f"logged in: {client.welcome.service!r}, a ticket for {hours:g} h")
    if wanted.rekey:
        # Each byte of these travels in a record of its own.
        for _ in range(66):
            client.search("nothing " * 125, piece=1)
    tracks = []
    if wanted.search is not None or wanted.play == "first":
        found = client.search(wanted.search or "")
        tracks = found.tracks
        print(f"found: {found.total}")
        for track in tracks:
            print(f"  {track.track.hex()} {track.artist}: {track.title}")
    if wanted.play is None:
        return
    require(tracks or wanted.play != "first", "nothing was found to be played")
    track = tracks[0].track if wanted.play == "first" else bytes.fromhex(wanted.play)
    alter = flip_a_bit if wanted.tamper else bytes
    manifest, rendition, ogg = client.play(track, wanted.kbps, alter)
    check_ogg(ogg, rendition)
    print(f"played: {manifest.artist}: {manifest.title}, {rendition.samples / 44_100:.1f} s")
    if wanted.out:
        wanted.out.write_bytes(ogg)


if __name__ == "__main__":
    try:
        run()
    except (Failure, DoesNotVerify, OSError) as failure:
        sys.exit(f"antiphon_client.py: {failure}")
