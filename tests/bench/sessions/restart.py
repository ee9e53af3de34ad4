"""What it takes until a stream flows again when the process that holds the host's end of the link is
killed. With tether the same stream goes on; SSH ends with its connection, so there the clock stops at
the first byte of a new stream through a new login, and what was under way is lost."""

import os
import selectors
import socket
import threading
import time

from machines import wait_until
from measure import PEER, STAMPED, Stream, outage, start

STREAM = 24 << 20
KILL_AT = 4 << 20  # bytes that the host has by then


def resume_time(tether):
    """Milliseconds from the kill; the stream is checked to its end."""
    stream = Stream(tether, STREAM)
    wait_until(lambda: stream.size() > KILL_AT, "the stream flows")
    killed = tether.kill_link()
    stream.check()
    return outage(stream.arrivals, killed)


def first_byte(peer):
    """A new stream, as far as its first byte."""
    process = start(peer, PEER, "write", str(STAMPED), str(STAMPED))
    if len(process.stdout.read(1)) != 1:
        raise AssertionError(f"{peer.name}: no stream after a new login")
    arrived = time.perf_counter()
    process.stdout.read()
    process.wait()
    return arrived


def new_login_time(peer):
    stream = Stream(peer, STREAM)
    wait_until(lambda: stream.size() > KILL_AT, "the stream flows")
    killed = peer.kill_link()
    stream.abandon()
    peer.start()
    return (first_byte(peer) - killed) * 1e3


class CountingSocket:
    """Takes a listening socket's place and counts what goes through, both ways."""

    def __init__(self, path):
        self._path, self._real = path, path + ".real"
        os.rename(path, self._real)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen()
        self.bytes = 0
        self._ending = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        while True:
            client, _ = self._listener.accept()
            if self._ending:
                client.close()
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._real)
            self._relay(client, server)

    def _relay(self, client, server):
        """Until either is gone."""
        with client, server, selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in ready.select():
                    try:
                        piece = key.fileobj.recv(1 << 16)
                        key.data.sendall(piece)
                    except OSError:
                        return
                    if not piece:
                        return
                    self.bytes += len(piece)

    def close(self):
        """When nobody is connected any more."""
        self._ending = True
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self._path)
        self._thread.join()
        self._listener.close()
        os.rename(self._real, self._path)


class CountingPipe:
    """The same for a named pipe, whose bytes come `from_guest` or go there."""

    def __init__(self, path, from_guest):
        self.bytes = 0
        real = path + ".real"
        os.rename(path, real)
        os.mkfifo(path, 0o600)
        # Both for reading and writing: no end of file while one shim ends and the next begins.
        ends = [os.open(real, os.O_RDWR), os.open(path, os.O_RDWR)]
        self._from, self._to = ends if from_guest else reversed(ends)
        threading.Thread(target=self._relay, daemon=True).start()

    def _relay(self):
        while True:
            piece = os.read(self._from, 1 << 16)
            self.bytes += len(piece)
            while piece:
                piece = piece[os.write(self._to, piece):]


def resume_bytes(tether):
    """How many more bytes the link has moved for a stream with a kill in it than for one without.
    The last of all: the pipes stay as they are."""
    out, in_ = tether.link_pipes()
    pipes = CountingPipe(out, True), CountingPipe(in_, False)
    tether.kill_link()  # the next shim comes through them
    moved = []
    for kill in (False, True):
        start(tether, "/usr/bin/true").wait()
        before = sum(pipe.bytes for pipe in pipes)
        stream = Stream(tether, STREAM)
        wait_until(lambda s=stream: s.size() > KILL_AT, "the stream flows")
        if kill:
            tether.kill_link()
        stream.check()
        moved.append(sum(pipe.bytes for pipe in pipes) - before)
    return moved[1] - moved[0]


def new_login_bytes(peer):
    """The bytes of a new login and of a stream's start."""
    peer.kill_link()
    proxy = CountingSocket(peer.socket)
    peer.start()
    first_byte(peer)
    moved = proxy.bytes - STAMPED
    peer.kill_link()
    proxy.close()
    peer.start()
    return moved
