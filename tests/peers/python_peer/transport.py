"""The host end of the transport: one byte link, any number of connections, which outlive the link's interruptions."""

import asyncio
import hmac
import os
import struct
import time

from . import wire
from .connection import CREDIT, NO_SUCH_SERVICE, PEER_RESTARTED, PROTOCOL_ERROR, Connection, ConnectionEnded

WINDOW = 64                    # sequenced frames under way
BYTES_UNDER_WAY = 256 << 10
DATA_BYTES = 16352
TICK = 0.02
RESEND_AFTER = 0.2
HEARTBEAT_AFTER = 2.0

HELLO = struct.Struct("<BBBBIQ16s")
STATEMENT = struct.Struct("<QIB11x")
VERSION, GUEST, HOST = 1, 1, 2


class _Sent:
    """A sequenced frame under way."""

    def __init__(self, kind, connection, payload):
        self.kind, self.connection, self.payload = kind, connection, payload
        self.arrived = False
        self.at = 0.0                  # when it was last sent; 0: it has to be
        self.tries = 0


class Endpoint(asyncio.Protocol):
    """`path`: the link's UNIX socket, connected again whenever it was lost. `key`: the machine's link_key."""

    def __init__(self, path, key):
        self.incarnation = int.from_bytes(os.urandom(8), "little") | 1
        self.sessions = 0              # how often a session began; more than 1: something was forgotten
        self.resumed = 0               # how often one went on
        self._path, self._key = path, key
        self._link, self._paused = None, False
        self._up = False               # a HELLO has succeeded on this link
        self._calling = False
        self._hello1 = self._hello3 = self._answered = b""
        self._call_at = self._call_interval = self._last_call = self._last_hello3 = 0.0
        self._calls_to_resume = 0
        self._parser = wire.Parser()
        self._heard = self._fed = 0.0
        self._heartbeats = 0
        self._connections, self._next_number = {}, 1
        self._secret, self._checksums = 0, False
        self._task = None
        self._forget(first=True)

    # -- what a user calls ---------------------------------------------------------------------------------------

    def start(self):
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self):
        """Drops the link at once, as a killed process would. start() goes on, in the same incarnation."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.drop_link()

    def drop_link(self):
        if self._link:
            self._link.abort()
            self.connection_lost(None)

    async def idle(self):
        """Waits until all that was to be sent has arrived, or the link is gone."""
        while self._link and (self._queue or self._under_way):
            await asyncio.sleep(TICK)

    async def open(self, service, kind=2):
        """A new connection. ConnectionEnded when it is refused."""
        while self._next_number in self._connections:
            self._next_number = (self._next_number + 2) & 0xFFFF
        connection = Connection(self, self._next_number, service.encode(), kind)
        self._next_number = (self._next_number + 2) & 0xFFFF
        self._connections[connection.number] = connection
        self._queue_open(connection)
        await connection.until(lambda: connection.accepted or connection.reason is not None)
        if not connection.accepted:
            raise ConnectionEnded(connection.reason)
        return connection

    # -- the link ------------------------------------------------------------------------------------------------

    async def _run(self):
        loop = asyncio.get_running_loop()
        while True:
            if self._link is None:
                try:
                    await loop.create_unix_connection(lambda: self, self._path)
                except OSError:
                    await asyncio.sleep(0.1)
                    continue
            self._tick(time.monotonic())
            await asyncio.sleep(TICK)

    def connection_made(self, transport):
        self._link, self._paused, self._up = transport, False, False
        self._parser.clear()
        self._call()

    def connection_lost(self, _error):
        self._link, self._up, self._calling = None, False, False

    def pause_writing(self):
        self._paused = True

    def resume_writing(self):
        self._paused = False
        self.pump()

    def data_received(self, data):
        self._fed = time.monotonic()
        for frame in self._parser.feed(data):
            self._take(frame)
        self.pump()

    def _tick(self, now):
        if self._link is None:
            return
        if self._parser.incomplete and now - self._fed > TICK:
            for frame in self._parser.look_inside():
                self._take(frame)
        if self._calling and now >= self._call_at:
            self._send_call(now)
            self._call_interval = min(self._call_interval * 2, 1.0)
            self._call_at = now + self._call_interval
        if self._up and now - self._heard > HEARTBEAT_AFTER * (self._heartbeats + 1):
            self._heartbeats += 1
            if self._heartbeats > 2 and not self._calling:
                self._call()
            else:
                self._send(wire.Frame(wire.ACK, 1, 0, self._expected & 0xFFFFFFFF, self._bitmap()))
        self.pump()

    def _take(self, frame):
        self._heard, self._heartbeats = time.monotonic(), 0
        if frame.type == wire.HELLO1:
            self._take_hello1(frame.payload)
        elif frame.type == wire.HELLO2:
            self._take_hello2(frame.payload)
        elif frame.type != wire.HELLO3:
            self._take_acknowledgement(frame)
            if frame.type != wire.ACK:
                self._take_sequenced(frame)
            elif frame.connection == 1:
                self._ack_due = True

    # -- HELLO ---------------------------------------------------------------------------------------------------

    def _call(self):
        self._hello1 = HELLO.pack(VERSION, VERSION, HOST, 0, 0, self.incarnation, os.urandom(16))
        self._calling, self._call_interval = True, 0.1
        self._call_at = time.monotonic() + self._call_interval
        self._send_call(time.monotonic())

    def _send_call(self, now):
        self._last_call = now
        self._send(wire.Frame(wire.HELLO1, payload=self._hello1))

    def _take_hello1(self, payload):
        now = time.monotonic()
        if not _is_guest(payload[:32]):
            return
        if self._calling:
            if now - self._last_call >= 0.02:
                self._send_call(now)
        elif now - self._last_hello3 >= 0.3:
            self._call()

    def _take_hello2(self, payload):
        guest, statement, proof = payload[:32], payload[32:56], payload[56:]
        if not _is_guest(guest) or not hmac.compare_digest(proof, self._hmac(b"\2", guest, statement)):
            return
        self._parser.hello_was_proved()
        if not self._calling:
            if guest == self._answered:
                self._send(wire.Frame(wire.HELLO3, payload=self._hello3))
            else:
                self._call()
            return
        session, expected, _ = STATEMENT.unpack(statement)
        incarnation = HELLO.unpack(guest)[5]
        known = self._session != 0 and (session, incarnation) == (self._session, self._peer)
        arrived = (expected - self._oldest) & 0xFFFFFFFF
        resume = known and arrived <= self._next - self._oldest
        if known and not resume and self._calls_to_resume < 2:
            self._calls_to_resume += 1
            self._call()
            return
        self._begin(guest, incarnation, self._oldest + arrived if resume else None)

    def _begin(self, guest, incarnation, resume_at):
        """Answers HELLO2 with HELLO3; the session goes on at `resume_at`, or a new one begins."""
        if resume_at is not None:
            self.resumed += 1
            self._acknowledged_before(resume_at)
            for sent in self._under_way.values():
                sent.at = 0.0
        statement = STATEMENT.pack(self._session, self._expected & 0xFFFFFFFF, resume_at is not None)
        self._hello3 = self._hello1 + statement + self._hmac(b"\3", guest, statement)
        self._answered = guest
        self._calling, self._up, self._calls_to_resume = False, True, 0
        self._send(wire.Frame(wire.HELLO3, payload=self._hello3))
        self._last_hello3 = time.monotonic()
        self._secret = self._new_secret(guest, HOST)
        self._parser.secret = self._new_secret(guest, GUEST)
        self._checksums = bool(HELLO.unpack(guest)[3] & 1)
        if resume_at is None:
            self._forget()
            self._session = int.from_bytes(self._hmac(b"\0", guest, b"ses\0")[:8], "little") | 1
            self._peer = incarnation
        self._ack_due = True

    def _hmac(self, kind, guest, rest):
        return hmac.digest(self._key, kind + self._hello1 + guest + rest, "sha256")

    def _new_secret(self, guest, role):
        return int.from_bytes(self._hmac(b"\0", guest, b"crc" + bytes([role]))[:4], "little")

    def _forget(self, first=False):
        """Begins with nothing: connections end, those which were only asked for are asked for again."""
        self._session = self._peer = 0
        self._oldest = self._next = 1      # sequences of what goes out: first not acknowledged, next new one
        self._under_way = {}               # sequence: _Sent
        self._expected, self._early = 1, {}
        self._queue = []
        self._ack_due = False
        if first:
            return
        self.sessions += 1
        for connection in list(self._connections.values()):
            if connection.accepted:
                self._end(connection, PEER_RESTARTED)
            else:
                self._queue_open(connection)

    # -- sequences -----------------------------------------------------------------------------------------------
    # Sequences are kept as they count from 1, and cut to 32 bits only on the link.

    def pump(self):
        """Sends whatever may be sent now."""
        if self._link is None or not self._up:
            return
        now = time.monotonic()
        for sequence, sent in self._under_way.items():
            if not sent.arrived and now - sent.at > RESEND_AFTER * min(sent.tries, 32) and not self._paused:
                self._send_sequenced(sequence, sent, now)
        while not self._paused and self._next - self._oldest < WINDOW and self._bytes_under_way() < BYTES_UNDER_WAY:
            sent = self._take_next()
            if sent is None:
                break
            self._under_way[self._next] = sent
            self._send_sequenced(self._next, sent, now)
            self._next += 1
        if self._ack_due:
            self._send(wire.Frame(wire.ACK, 0, 0, self._expected & 0xFFFFFFFF, self._bitmap()))

    def queue(self, kind, connection, payload=b""):
        self._queue.append(_Sent(kind, connection, payload))
        self.pump()

    def _take_next(self):
        if self._queue:
            return self._queue.pop(0)
        for number, connection in list(self._connections.items()):
            size = min(len(connection.to_send), DATA_BYTES, connection.may_send - connection.sent)
            if size > 0:
                payload = bytes(connection.to_send[:size])
                del connection.to_send[:size]
                connection.sent += size
                connection.changed()
                self._connections[number] = self._connections.pop(number)   # the others' turn
                return _Sent(wire.DATA, number, payload)
            if connection.accepted and connection.fin_wanted and not connection.fin_sent and not connection.to_send:
                connection.fin_sent = True
                self._drop_if_over(connection)
                return _Sent(wire.FIN, number, b"")
        return None

    def _bytes_under_way(self):
        return sum(len(sent.payload) for sent in self._under_way.values() if not sent.arrived)

    def _send_sequenced(self, sequence, sent, now):
        sent.at, sent.tries = now, sent.tries + 1
        self._send(wire.Frame(sent.kind, sent.connection, sequence & 0xFFFFFFFF, self._expected & 0xFFFFFFFF,
                              self._bitmap(), sent.payload))

    def _send(self, frame):
        if self._link:
            hello = frame.type in wire.HELLOS
            self._link.write(wire.encode(frame, 0 if hello else self._secret, hello or self._checksums))
            self._ack_due = self._ack_due and hello

    def _bitmap(self):
        return sum(1 << (sequence - self._expected - 1) for sequence in self._early)

    def _acknowledged_before(self, sequence):
        for old in range(self._oldest, sequence):
            del self._under_way[old]
        self._oldest = sequence

    def _take_acknowledgement(self, frame):
        count = (frame.ack - self._oldest) & 0xFFFFFFFF
        if count > self._next - self._oldest:
            return
        self._acknowledged_before(self._oldest + count)
        if frame.bitmap:
            for sequence, sent in self._under_way.items():
                bit = sequence - self._oldest - 1
                sent.arrived = sent.arrived or (bit >= 0 and bool(frame.bitmap >> bit & 1))

    def _take_sequenced(self, frame):
        self._ack_due = True
        ahead = (frame.sequence - self._expected) & 0xFFFFFFFF
        if ahead < WINDOW:
            self._early[self._expected + ahead] = frame
        while self._expected in self._early:
            self._expected += 1
            self._deliver(self._early.pop(self._expected - 1))

    # -- connections ---------------------------------------------------------------------------------------------

    def _deliver(self, frame):
        connection, payload = self._connections.get(frame.connection), frame.payload
        if frame.type == wire.OPEN:
            if frame.connection and frame.connection % 2 == 0:
                self.queue(wire.REFUSE, frame.connection, struct.pack("<H", NO_SUCH_SERVICE))
        elif connection is None:
            pass                       # our RESET is under way
        elif len(payload) != {wire.ACCEPT: 4, wire.REFUSE: 2, wire.CREDIT: 8, wire.FIN: 0, wire.RESET: 2}.get(
                frame.type, len(payload)):
            self.reset(connection, PROTOCOL_ERROR)
        elif frame.type == wire.ACCEPT:
            connection.accepted, connection.may_send = True, struct.unpack("<I", payload)[0]
            connection.changed()
        elif frame.type == wire.CREDIT:
            connection.may_send = max(connection.may_send, struct.unpack("<Q", payload)[0])
        elif frame.type in (wire.REFUSE, wire.RESET):
            self._end(connection, struct.unpack("<H", payload)[0])
        elif frame.type == wire.FIN:
            connection.fin_came = True
            connection.changed()
            self._drop_if_over(connection)
        elif not connection.take_data(payload):
            self.reset(connection, PROTOCOL_ERROR)

    def reset(self, connection, reason):
        self._end(connection, reason)
        self.queue(wire.RESET, connection.number, struct.pack("<H", reason))

    def _queue_open(self, connection):
        name = connection.service
        self.queue(wire.OPEN, connection.number, struct.pack("<IBB", CREDIT, connection.kind, len(name)) + name)

    def _end(self, connection, reason):
        self._connections.pop(connection.number, None)
        connection.end(reason)

    def _drop_if_over(self, connection):
        if connection.over:
            self._connections.pop(connection.number, None)


def _is_guest(hello1):
    if len(hello1) != HELLO.size:
        return False
    lowest, highest, role, *_ = HELLO.unpack(hello1)
    return lowest <= VERSION <= highest and role == GUEST
