"""One connection: a stream of bytes in each direction, with credit."""

import asyncio
import struct

from . import wire

CREDIT = 256 << 10             # bytes that the peer may send beyond what was read
WRITE_AHEAD = 16 << 10         # bytes that may wait here before write() does

PEER_RESTARTED, NO_SUCH_SERVICE, TOO_MANY, CLOSED, PROTOCOL_ERROR, APPLICATION = range(1, 7)


class ConnectionEnded(Exception):
    """A connection ended without both FINs; `reason` is a number of protocol.md, section 5, or the service's own."""

    def __init__(self, reason):
        super().__init__(f"the connection ended for reason {reason}")
        self.reason = reason


class Connection:
    """A stream of bytes in each direction. Made by Endpoint.open()."""

    def __init__(self, endpoint, number, service, kind):
        self.number, self.service, self.kind = number, service, kind
        self.reason = None             # why it ended early
        self.accepted = False
        self.to_send = bytearray()
        self.sent = self.may_send = 0
        self.fin_wanted = self.fin_sent = self.fin_came = False
        self._endpoint = endpoint
        self._received = bytearray()
        self._read = 0                 # by the user; credit follows it
        self._granted = CREDIT
        self._changed = asyncio.Event()

    @property
    def over(self):
        return self.reason is not None or (self.fin_sent and self.fin_came)

    async def write(self, data):
        """Returns when little enough is waiting that more may come."""
        self._check()
        self.to_send += data
        self._endpoint.pump()
        await self.until(lambda: len(self.to_send) < WRITE_AHEAD or self.reason is not None)
        self._check()

    async def read(self, limit=65536):
        """At least one byte; none when the peer has finished."""
        await self.until(lambda: self._received or self.fin_came or self.reason is not None)
        if not self._received and not self.fin_came:
            self._check()
        data = bytes(self._received[:limit])
        del self._received[:len(data)]
        self._read += len(data)
        if self._read + CREDIT - self._granted >= CREDIT // 2 and not self.over and not self.fin_came:
            self._granted = self._read + CREDIT
            self._endpoint.queue(wire.CREDIT, self.number, struct.pack("<Q", self._granted))
        return data

    async def read_exactly(self, size):
        """`size` bytes. EOFError when the peer finishes before them."""
        data = b""
        while len(data) < size:
            more = await self.read(size - len(data))
            if not more:
                raise EOFError("the peer finished in the middle of a message")
            data += more
        return data

    def finish(self):
        """Nothing more will be written."""
        self.fin_wanted = True
        self._endpoint.pump()

    def reset(self, reason=APPLICATION):
        if not self.over:
            self._endpoint.reset(self, reason)

    async def until(self, condition):
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def changed(self):
        self._changed.set()

    def end(self, reason):
        self.reason = reason
        self.changed()

    def take_data(self, data):
        """False if the peer had no right to send it."""
        if self.fin_came or len(self._received) + self._read + len(data) > self._granted:
            return False
        self._received += data
        self.changed()
        return True

    def _check(self):
        if self.reason is not None:
            raise ConnectionEnded(self.reason)
