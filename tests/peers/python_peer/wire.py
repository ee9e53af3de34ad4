"""Frames of the transport: how one looks, and how it is found in a stream of bytes."""

import struct
from typing import NamedTuple

HELLO1, HELLO2, HELLO3, ACK = 1, 2, 3, 4
OPEN, ACCEPT, REFUSE, DATA, CREDIT, FIN, RESET = range(16, 23)
HELLOS = (HELLO1, HELLO2, HELLO3)
TYPES = frozenset((*HELLOS, ACK, OPEN, ACCEPT, REFUSE, DATA, CREDIT, FIN, RESET))

MAGIC = b"\x74\x54"
HEADER = struct.Struct("<2sBBHHIIQI")
TRAILER = struct.Struct("<I")
MAX_PAYLOAD = 16384
MAX_HELLO = 88
HAS_CHECKSUM = 1


def _table():
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        yield value


_CRC32C = tuple(_table())


def crc32c(data, secret=0):
    """RFC 3720's checksum; a secret other than 0 changes where it begins."""
    crc = 0xFFFFFFFF ^ secret
    for byte in data:
        crc = _CRC32C[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


class Frame(NamedTuple):
    type: int
    connection: int = 0
    sequence: int = 0
    ack: int = 0
    bitmap: int = 0
    payload: bytes = b""


def encode(frame, secret, checksum):
    """One frame as bytes; `checksum`: whether the trailer is the payload's own."""
    flags = HAS_CHECKSUM if checksum else 0
    header = HEADER.pack(MAGIC, frame.type, flags, len(frame.payload), frame.connection,
                         frame.sequence, frame.ack, frame.bitmap, 0)[:24]
    check = crc32c(header, secret)
    header += TRAILER.pack(check)
    if not frame.payload:
        return header
    trailer = crc32c(frame.payload, secret) if checksum else check ^ 0xFFFFFFFF
    return header + frame.payload + TRAILER.pack(trailer)


class Parser:
    """Finds frames. `secret` is that of the peer's direction, None before the first HELLO."""

    def __init__(self):
        self.secret = None
        self._buffer = bytearray()
        self._searched = 0        # how far into an incomplete frame HELLOs were looked for
        self._inside_end = None   # end of the HELLO which look_inside() gives just now

    def clear(self):
        self._buffer.clear()
        self._searched = 0

    @property
    def incomplete(self):
        return bool(self._buffer)

    def feed(self, data):
        """Yields the frames which are complete with `data`. The secret may be changed between two of them."""
        self._buffer += data
        while self._buffer:
            frame, end = self._parse(0, TYPES)
            if end is None:
                return
            if frame is None:
                next_start = self._buffer.find(MAGIC[0], 1)
                end = next_start if next_start > 0 else len(self._buffer)
            del self._buffer[:end]
            self._searched = max(0, self._searched - end)
            if frame:
                yield frame

    def look_inside(self):
        """Yields HELLO frames that lie inside the incomplete one: what looks like it may be damaged."""
        position = max(1, self._searched)
        while (position := self._buffer.find(MAGIC[0], position)) > 0:
            frame, end = self._parse(position, HELLOS)
            if end is None:
                break
            if frame is None:
                position += 1
                continue
            self._inside_end = end
            yield frame
            if self._inside_end is None:
                return
            position = end
        self._searched = position if position > 0 else len(self._buffer)
        self._inside_end = None

    def hello_was_proved(self):
        """The HELLO given last is genuine: what lies before its end is not."""
        if self._inside_end is not None:
            del self._buffer[:self._inside_end]
            self._searched, self._inside_end = 0, None

    def _parse(self, start, types):
        """(frame, end); (None, None) while more is needed to tell; (None, start) if there is none at `start`."""
        buffer, none = self._buffer, (None, start)
        if buffer[start:start + 2] != MAGIC[:len(buffer) - start]:
            return none
        if len(buffer) - start < HEADER.size:
            return None, None
        _, kind, flags, length, connection, sequence, ack, bitmap, check = HEADER.unpack_from(buffer, start)
        hello = kind in HELLOS
        secret = 0 if hello else self.secret
        if kind not in types or length > (MAX_HELLO if hello else MAX_PAYLOAD) or secret is None:
            return none
        if crc32c(buffer[start:start + 24], secret) != check:
            return none
        body = start + HEADER.size
        if length == 0:
            return Frame(kind, connection, sequence, ack, bitmap), body
        if len(buffer) < body + length + TRAILER.size:
            return None, None
        payload = bytes(buffer[body:body + length])
        (trailer,) = TRAILER.unpack_from(buffer, body + length)
        wanted = crc32c(payload, secret) if flags & HAS_CHECKSUM else check ^ 0xFFFFFFFF
        if trailer != wanted or (hello and not flags & HAS_CHECKSUM):
            return none
        return Frame(kind, connection, sequence, ack, bitmap, payload), body + length + TRAILER.size
