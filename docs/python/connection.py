"""Streams over an encrypted connection: docs/protocol.md, sections 1 to 4.

The initiator's side, over one socket and in one thread: nothing is received
before somebody wants to read it.
"""

import hashlib
import socket
import struct
import time

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseInvalidMessage


class Failure(Exception):
    """What went wrong, in words for people."""


def require(condition, what):
    """Fails with `what` unless the condition holds."""
    if not condition:
        raise Failure(what)


# 1. Keys and names


class Key:
    """A node's secret key."""

    def __init__(self, seed):
        self._signer = Ed25519PrivateKey.from_private_bytes(seed)
        self.node = self._signer.public_key().public_bytes_raw()
        self.x25519 = hashlib.sha512(seed).digest()[:32]  # Clamped by whoever uses it.

    def sign(self, context, message):
        return self._signer.sign(signed_bytes(context, message))


def signed_bytes(context, message):
    return b"antiphon signature\0" + struct.pack("<Q", len(context)) + context + message


def check_signature(node, context, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(node).verify(signature, signed_bytes(context, message))
    except InvalidSignature:
        raise Failure(f"a wrong signature in the context {context.decode()!r}") from None


def montgomery(node):
    """The X25519 form of a node id (RFC 7748, section 4.1)."""
    prime = 2**255 - 19
    y = int.from_bytes(node, "little") & (2**255 - 1)
    require(1 < y < prime - 1, "the node id is no good key")
    return ((1 + y) * pow(1 - y, -1, prime) % prime).to_bytes(32, "little")


# 2. Handshake, 3. Records


class Records:
    """An encrypted connection that carries plaintexts."""

    REKEY_AFTER = 65_536
    PING_AFTER, DEAD_AFTER = 15, 45

    def __init__(self, address, server, device, early):
        self._socket = socket.create_connection(address, timeout=self.PING_AFTER)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = bytearray()
        self._sent = self._received = 0
        self._noise = NoiseConnection.from_name(b"Noise_IK_25519_ChaChaPoly_BLAKE2s")
        self._noise.set_as_initiator()
        self._noise.set_prologue(b"antiphon\x01\x01" + server)
        self._noise.set_keypair_from_private_bytes(Keypair.STATIC, device.x25519)
        self._noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, montgomery(server))
        self._noise.start_handshake()
        first = self._noise.write_message(device.node + early)
        self._socket.sendall(b"\x01" + struct.pack(">H", len(first)) + first)
        try:
            proved = self._noise.read_message(self._message(on_silence=lambda: None))
        except InvalidTag:
            raise Failure("the server does not hold the key of the link") from None
        require(proved == server, "the server names another node id than the link")

    def send(self, plaintext):
        message = self._noise.encrypt(plaintext)
        self._socket.sendall(struct.pack(">H", len(message)) + message)
        self._sent += 1
        if self._sent % self.REKEY_AFTER == 0:
            self._noise.rekey_outbound_cipher()

    def receive(self, on_silence):
        """The next record. `on_silence` is called now and then if none comes."""
        try:
            plaintext = self._noise.decrypt(self._message(on_silence))
        except NoiseInvalidMessage:
            raise Failure("a record is not authentic") from None
        self._received += 1
        if self._received % self.REKEY_AFTER == 0:
            self._noise.rekey_inbound_cipher()
        return plaintext

    def _message(self, on_silence):
        (length,) = struct.unpack(">H", self._exactly(2, on_silence))
        return self._exactly(length, on_silence)

    def _exactly(self, count, on_silence):
        heard = time.monotonic()
        while len(self._unread) < count:
            try:
                piece = self._socket.recv(65_536)
            except TimeoutError:
                require(time.monotonic() - heard < self.DEAD_AFTER, "the server fell silent")
                on_silence()
                continue
            require(piece, "the server closed the connection")
            heard = time.monotonic()
            self._unread += piece
        taken = bytes(self._unread[:count])
        del self._unread[:count]
        return taken


# 4. Frames

OPEN, DATA, RESET, CREDIT, CLASS, PING, GO_AWAY = range(1, 8)
SKIPPABLE = 0x80
FINISH = ANSWER = 1
CONTROL, PLAYING_NOW = 0, 1
SESSION = 1
LARGEST_PAYLOAD = 17_408
STREAM_CREDIT, CONNECTION_CREDIT = 256 * 1024, 1024 * 1024


def frame(kind, stream, payload=b"", flags=0):
    return struct.pack(">BBHI", kind, flags, len(payload), stream) + payload


def cost(payload):
    """What a data frame costs of either credit."""
    return len(payload) + 128 if payload else 0


class Account:
    """Credit of a stream, or of the whole connection."""

    def __init__(self, credit):
        self.window = self.may_come = self.may_send = credit

    def take(self, payload):
        """Takes note of what came; how much to give back now, if it is worth a frame."""
        self.may_come -= cost(payload)
        require(self.may_come >= 0, "the server sent more than it had credit for")
        if self.may_come > self.window // 2:
            return 0
        back, self.may_come = self.window - self.may_come, self.window
        return back


class Stream(Account):
    """A stream, with what came and was not read yet."""

    def __init__(self):
        super().__init__(STREAM_CREDIT)
        self.unread = bytearray()
        self.finished = False


class Connection(Account):
    """Streams over records, with the session stream open."""

    def __init__(self, address, server, device, hello):
        super().__init__(CONNECTION_CREDIT)
        self._streams = {SESSION: Stream()}
        early = frame(OPEN, SESSION, bytes([CONTROL])) + self._data(SESSION, hello, 0)
        self._records = Records(address, server, device, early)
        self._pings = 0
        # A record under the new keys: the handshake was not a repeated one.
        self._ping()

    def ask(self, urgency, message, piece=LARGEST_PAYLOAD):
        """Opens a stream, sends a message in records of so many bytes, and
        finishes; the stream's number."""
        number = max(self._streams) + 2
        self._streams[number] = Stream()
        self._records.send(frame(OPEN, number, bytes([urgency])))
        for at in range(0, len(message), piece):
            payload = message[at : at + piece]
            while min(self.may_send, self._streams[number].may_send) < cost(payload):
                self._receive()
            last = at + piece >= len(message)
            self._records.send(self._data(number, payload, FINISH if last else 0))
        return number

    def read(self, number, count):
        """So many bytes of a stream, or `None` at its end."""
        stream = self._streams[number]
        while len(stream.unread) < count:
            if stream.finished:
                require(not stream.unread, "a stream ends within a message")
                return None
            self._receive()
        taken = bytes(stream.unread[:count])
        del stream.unread[:count]
        return taken

    def _data(self, number, payload, flags):
        for account in (self._streams[number], self):
            account.may_send -= cost(payload)
        return frame(DATA, number, payload, flags)

    def _ping(self):
        self._pings += 1
        self._records.send(frame(PING, 0, struct.pack(">Q", self._pings)))

    def _receive(self):
        plaintext, at = self._records.receive(on_silence=self._ping), 0
        while at < len(plaintext):
            require(len(plaintext) >= at + 8, "a frame is cut off")
            kind, flags, length, number = struct.unpack_from(">BBHI", plaintext, at)
            at += 8 + length
            require(len(plaintext) >= at, "a frame is cut off")
            self._take_frame(kind, flags, number, plaintext[at - length : at])

    def _take_frame(self, kind, flags, number, payload):
        stream = self._streams.get(number)
        if kind == DATA and stream:
            stream.unread += payload
            stream.finished = bool(flags & FINISH)
            for to, account in ((number, stream), (0, self)):
                back = account.take(payload)
                if back and not (to and stream.finished):
                    self._records.send(frame(CREDIT, to, struct.pack(">I", back)))
        elif kind == CREDIT and (stream or number == 0):
            (stream or self).may_send += int.from_bytes(payload, "big")
        elif kind == PING:
            if not flags & ANSWER:
                self._records.send(frame(PING, 0, payload, ANSWER))
        elif kind == RESET and stream:
            code = int.from_bytes(payload, "big")
            raise Failure(f"the server reset a stream, code {code}")
        elif kind == GO_AWAY:
            code, reason = int.from_bytes(payload[:4], "big"), payload[4:].decode(errors="replace")
            require(code == 0, f"the server ended the connection: {reason} (code {code})")
        else:
            require(kind & SKIPPABLE, f"an unexpected frame: type {kind} of stream {number}")
