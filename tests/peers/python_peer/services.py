"""The services of a containerVM: `control` asks and listens, `stdio` carries the streams of one session."""

import asyncio
import os
import struct
from typing import NamedTuple

from .connection import APPLICATION, PEER_RESTARTED, ConnectionEnded
from .protobuf import get_varint, put_varint

MAX_MESSAGE = 4 << 20


class RequestFailed(Exception):
    def __init__(self, failure):
        super().__init__("{object}: {errno_value}; {hint}".format_map(failure))
        self.failure = failure


class Control:
    """Requests are carried out once, events come once, whatever becomes of the connections in between."""

    def __init__(self, endpoint, schema):
        self.events = asyncio.Queue()
        self.restarts = 0              # how often the connection ended because an end was replaced
        self._endpoint, self._schema = endpoint, schema
        self._connection, self._pending = None, {}
        self._last_event, self._subscribed = 0, False
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def request(self, **what):
        """request(signal={"number": 15}): the Reply as a dict. RequestFailed with the agent's reason."""
        identity = os.urandom(16)
        reply = asyncio.get_running_loop().create_future()
        self._pending[identity] = (self._message(identity, what), reply)
        await self._send(self._pending[identity][0])
        await asyncio.wait((reply, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            self._task.result()        # raises what ended it
        return reply.result()

    async def subscribe(self, first=1):
        """From now on `events` gets every event from number `first` on."""
        self._last_event, self._subscribed = first - 1, True
        await self.request(subscribe={"from": first})

    def close(self):
        self._task.cancel()
        if self._connection:
            self._connection.reset()

    def _message(self, identity, what):
        data = self._schema.encode("Request", {"id": identity, **what})
        return put_varint(len(data)) + data

    async def _send(self, message):
        """A message that is lost here is sent by _run(), on the next connection."""
        if self._connection:
            try:
                await self._connection.write(message)
            except ConnectionEnded:
                pass

    async def _run(self):
        while True:
            try:
                connection = await self._endpoint.open("control", 0)
                self._connection = connection
                if self._subscribed:
                    subscribe = {"subscribe": {"from": self._last_event + 1}}
                    await connection.write(self._message(os.urandom(16), subscribe))
                for message, _ in list(self._pending.values()):
                    await connection.write(message)
                while True:
                    self._take(await self._read_message(connection))
            except ConnectionEnded as end:
                if end.reason != PEER_RESTARTED:
                    raise
                self.restarts += 1

    async def _read_message(self, connection):
        prefix = b""
        while not prefix or prefix[-1] & 0x80:
            prefix += await connection.read_exactly(1)
        size, _ = get_varint(prefix, 0)
        if size > MAX_MESSAGE:
            raise ValueError(f"a message of {size} bytes is longer than a message can be")
        return self._schema.decode("Message", await connection.read_exactly(size))

    def _take(self, message):
        event, reply = message.get("event"), message.get("reply")
        if event and event["number"] > self._last_event:
            self._last_event = event["number"]
            self.events.put_nowait(event)
        if reply and reply["id"] in self._pending:
            _, future = self._pending.pop(reply["id"])
            if "failure" in reply:
                future.set_exception(RequestFailed(reply["failure"]))
            else:
                future.set_result(reply)


ATTACH, ATTACHED, DATA, ACK, EOF, RESIZE, EXIT, EXIT_ACK, ERROR, GAP = range(1, 11)
STDIN, STDOUT, STDERR = range(3)
SENDS_STDIN, WANTS_OUTPUT = 1, 2
WHERE_OTHERS_STOPPED = (1 << 64) - 1
MAX_UNACKNOWLEDGED = (64 << 10) - 1

_HEADER = struct.Struct("<BBHIQ")
_ATTACH = struct.Struct("<II16sQQHH12x")
_ATTACHED = struct.Struct("<IIQQQ")
_EXIT = struct.Struct("<IIHHI")


class Exit(NamedTuple):
    code: int
    signal: int
    stage: int      # not 0: the session never started, for this reason
    errno: int
    object: str


class StreamLost(Exception):
    """Output is no longer held by the agent, or a session cannot be attached to; the text says why."""


class Attachment:
    """One client of one session. run() attaches, again when an end was replaced, and returns at the session's end.

    `output(stream, data)` is called with each piece of output exactly once; when it returns, the piece is acknowledged.
    A run() that was cancelled can be followed by another, over another endpoint.
    """

    def __init__(self, output, session=0, stdin=False, offsets=(0, 0)):
        self.offsets = {STDOUT: offsets[0], STDERR: offsets[1]}     # of the first byte not dealt with
        self.attached = 0                                           # how often
        self._output, self._session = output, session
        self._flags = WANTS_OUTPUT | (SENDS_STDIN if stdin else 0)
        self._writer = os.urandom(16)
        self._stdin_offset, self._unacknowledged = 0, bytearray()   # offset of the first byte not acknowledged
        self._sent, self._stdin_ended = 0, False                    # offset of the first byte not sent
        self._connection = None
        self._changed = asyncio.Event()

    async def run(self, endpoint):
        while True:
            connection = await endpoint.open("stdio")
            try:
                return await self._follow(connection)
            except ConnectionEnded as end:
                if end.reason != PEER_RESTARTED:
                    raise
            finally:
                self._connection = None
                connection.reset()

    async def write(self, data):
        """Gives input to the session; returns when it may still have to be sent again, but has a place here."""
        for at in range(0, len(data), 16384):
            piece = data[at:at + 16384]
            while len(self._unacknowledged) + len(piece) > MAX_UNACKNOWLEDGED:
                self._changed.clear()
                await self._changed.wait()
            self._unacknowledged += piece
            await self._send_stdin()

    async def close_stdin(self):
        self._stdin_ended = True
        await self._send_stdin()

    def detach(self):
        """run() ends with ConnectionEnded; the session goes on."""
        if self._connection:
            self._connection.reset(APPLICATION)

    async def _send_stdin(self):
        """Sends what is not sent yet. If the connection ends meanwhile, the next begins at the accepted offset."""
        connection = self._connection
        if connection is None:
            return
        data = bytes(self._unacknowledged[self._sent - self._stdin_offset:])
        offset, self._sent = self._sent, self._sent + len(data)
        try:
            if data:
                await _send(connection, DATA, STDIN, offset, data)
            if self._stdin_ended:
                await _send(connection, EOF, STDIN, offset + len(data))
        except ConnectionEnded:
            pass

    async def _follow(self, connection):
        attach = _ATTACH.pack(self._session, self._flags, self._writer,
                              self.offsets[STDOUT], self.offsets[STDERR], 0, 0)
        await _send(connection, ATTACH, 0, 0, attach)
        while True:
            kind, stream, _, size, offset = _HEADER.unpack(await connection.read_exactly(_HEADER.size))
            payload = await connection.read_exactly(size)
            if kind == ATTACHED:
                await self._begin(connection, *_ATTACHED.unpack(payload))
            elif kind == DATA:
                await self._take(connection, stream, offset, payload)
            elif kind == ACK:
                self._take_ack(offset)
            elif kind == GAP:
                raise StreamLost(f"stream {stream} goes on at {offset}, after {self.offsets[stream]}")
            elif kind == ERROR:
                raise StreamLost(payload.decode(errors="backslashreplace"))
            elif kind == EXIT:
                await _send(connection, EXIT_ACK, 0, 0)
                connection.finish()
                code, signal, stage, _, errno = _EXIT.unpack_from(payload)
                return Exit(code, signal, stage, errno, payload[_EXIT.size:].decode(errors="backslashreplace"))

    async def _begin(self, connection, _session, _flags, accepted, stdout, stderr):
        for stream, offset in ((STDOUT, stdout), (STDERR, stderr)):
            if self.offsets[stream] == WHERE_OTHERS_STOPPED:
                self.offsets[stream] = offset
        self.attached += 1
        self._take_ack(accepted)
        self._sent = self._stdin_offset
        self._connection = connection
        await self._send_stdin()

    async def _take(self, connection, stream, offset, data):
        if offset != self.offsets[stream]:
            raise StreamLost(f"stream {stream} goes on at {offset}, after {self.offsets[stream]}")
        self._output(stream, data)
        self.offsets[stream] += len(data)
        await _send(connection, ACK, stream, self.offsets[stream])

    def _take_ack(self, offset):
        if self._stdin_offset < offset <= self._stdin_offset + len(self._unacknowledged):
            del self._unacknowledged[:offset - self._stdin_offset]
            self._stdin_offset = offset
            self._changed.set()


async def _send(connection, kind, stream, offset, payload=b""):
    await connection.write(_HEADER.pack(kind, stream, 0, len(payload), offset) + payload)
