"""What a login process has in a containerVM, on this host: its link process and its sessions.

Logins are accepted on a TCP port of 127.0.0.1. Sessions are processes of this host, of whoever runs it.
"""

import array
import contextlib
import errno
import functools
import os
import queue
import random
import signal
import socket
import struct
import subprocess
import threading
import time

from fake_session import PIECE, SHELL, Session, fields, first, in_thread, member, varint
from packets import DOWN, UP

CONTROL, STDIO, REFUSED, LOGGED_IN, ENDED, LINK = 1, 2, 3, 4, 5, 6
ATTACH, ATTACHED, DATA, ACK, EOF, RESIZE, EXIT, EXIT_ACK, ERROR = range(1, 10)
LINK_KEY = 4  # a field of tether.v1.Secrets
OF_EXEC = 0xFFFFFFFF  # a session: of the exec whose id the writer has


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def relay(source, target, edit=lambda data: data):
    """As a link of small pieces does, which come together or one by one."""
    try:
        while data := source.recv(random.choice((16, 64, 1000, 4096, 30000))):
            if random.random() < 0.02:
                time.sleep(0.002)
            target.sendall(edit(data))
    finally:
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class FakeAgent:
    """Use as a context: with FakeAgent(program, directory) as agent: ... agent.port ..."""

    def __init__(self, program, directory, users=("root",), line=None, with_link=False, deadline=None):
        self.line = line  # bytes that are on the way to and from a login at most
        self.editor = None  # makes what edits the bytes of a connection: see packets.py
        self.deadline = () if deadline is None else (str(deadline),)  # seconds
        self.program, self.directory, self.users = program, directory, users
        self.key = os.path.join(directory, "id")
        self.link_key = os.path.join(directory, "link")  # of the user vch, for subsystem tether
        self.host_key = os.path.join(directory, "host")
        for path in (self.key, self.link_key, self.host_key):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        self.secrets = os.path.join(directory, "secrets")
        with open(self.host_key, "rb") as host, open(self.key + ".pub", "rb") as own:
            text = member(2, host.read()) + member(3, own.read())
        if with_link:  # With it weaker algorithms are offered.
            with open(self.link_key + ".pub", "rb") as link:
                text += member(LINK_KEY, link.read())
        with open(self.secrets, "wb") as file:
            file.write(text)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.news, self.sessions, self.logins = [], {}, []
        self.started, self.requests = {}, {}  # the session of each request: from then on, once it is answered
        self.served = []  # sockets of logins
        self.askers = []  # sockets of requests
        self.env = None  # of logins that come
        self.answers, self.signals = threading.Event(), []  # shells are answered while it is set
        self.answers.set()
        self.starting = 0  # how many signals come before their session has started
        self.lock = threading.Lock()
        self.answered = threading.Condition(self.lock)  # one more of the requests is
        self.config = os.path.join(directory, "config")
        with open(self.host_key + ".pub", encoding="ascii") as file:
            known = " ".join(file.read().split()[:2])
        with open(os.path.join(directory, "known"), "w", encoding="ascii") as file:
            file.write(f"fake {known}\n")
        with open(self.config, "w", encoding="ascii") as file:
            file.write(f"Host fake\n HostName 127.0.0.1\n Port {self.port}\n User root\n"
                       f" IdentityFile {self.key}\n IdentitiesOnly yes\n HostKeyAlias fake\n"
                       f" UserKnownHostsFile {directory}/known\n GlobalKnownHostsFile none\n")

    def __enter__(self):
        in_thread(self.accept)
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)  # whoever waits in accept() hears of it
        self.listener.close()
        for process in self.logins:
            process.kill()
            process.wait()
        for session in list(self.sessions.values()):
            session.signal(signal.SIGKILL)

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            if self.line is None and self.editor is None:
                self.serve(connection)
                continue
            ours, theirs = socket.socketpair()
            if self.line is not None:
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.line)
                ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.line)
            self.serve(theirs)
            edit = self.editor() if self.editor else lambda direction, data: data
            in_thread(relay, connection, ours, functools.partial(edit, UP))
            in_thread(relay, ours, connection, functools.partial(edit, DOWN))

    def serve(self, connection):
        """A login process for a stream socket, which becomes its own."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        process = subprocess.Popen(
            [self.program, str(connection.fileno()), str(theirs.fileno()), self.secrets,
             *self.deadline],
            pass_fds=[connection.fileno(), theirs.fileno()], stdin=subprocess.DEVNULL, env=self.env)
        with self.lock:
            self.logins.append(process)
            self.askers.append(ours)
        connection.close()
        theirs.close()
        in_thread(self.take_requests, ours)
        return process

    def replace(self):
        """As an upgrade does: the link process that serves the logins is another."""
        with self.lock:
            served, self.served = self.served, []
        for sock in served:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def leave(self):
        """There is no link process any more."""
        with self.lock:
            askers, self.askers = self.askers, []
        for sock in askers:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.replace()

    def take_requests(self, sock):
        """Sessions end with the login that started them."""
        own = []
        try:
            while self.take_request(sock, own):
                pass
        finally:
            sock.close()
            for session in own:
                session.signal(signal.SIGKILL)

    def take_request(self, sock, own):
        data, ancillary, _, _ = sock.recvmsg(4096, socket.CMSG_SPACE(4))
        if data and REFUSED <= data[0] <= ENDED:
            with self.lock:
                self.news.append((data[0], data[1:].decode()))
        elif data:
            numbers = array.array("i")
            numbers.frombytes(ancillary[0][2])
            peer = socket.socket(fileno=numbers[0])
            if data[0] == LINK:
                in_thread(self.echo, peer)
            else:
                if data[0] == CONTROL:  # One of the other kind once it has its session.
                    with self.lock:
                        self.served.append(peer)
                in_thread(self.control if data[0] == CONTROL else self.stdio, peer, own)
        return bool(data)

    @staticmethod
    def echo(sock):
        """What stands for a control plane on a byte link."""
        with sock:
            while data := sock.recv(PIECE):
                sock.sendall(data)

    def control(self, sock, own):
        with sock:
            while True:
                self.answer(sock, own)

    def answer(self, sock, own):
        size = shift = 0
        while True:
            byte = read_exactly(sock, 1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        request = fields(read_exactly(sock, size))
        reply = member(1, request[1][0])
        if 7 in request:
            exec_ = fields(request[7][0])
            with self.lock:
                number = self.started.get(request[1][0])
                if number is None:
                    session = Session(self, fields(first(exec_, 6, b"")), fields(first(exec_, 1, b"")))
                    own.append(session)
                    number = self.started[request[1][0]] = len(self.sessions) + 2
                    self.sessions[number] = session
            if self.sessions[number].kind == SHELL:
                self.answers.wait()
            with self.lock:
                self.requests[request[1][0]] = number
                self.answered.notify_all()
            reply += member(4, number)
        elif 4 in request:
            asked = fields(request[4][0])
            if self.starting > 0:
                self.starting -= 1
                reply += member(2, member(2, errno.EAGAIN))
            else:
                self.signals.append((asked[1][0], asked[2][0]))
                self.sessions[asked[1][0]].signal(asked[2][0])
        message = member(1, reply)
        sock.sendall(varint(len(message)) + message)

    def stdio(self, sock, _):
        lock = threading.Lock()

        def put(kind, stream=0, offset=0, payload=b""):
            with lock:
                sock.sendall(struct.pack("<BBHIQ", kind, stream, 0, len(payload), offset) + payload)

        # Who writes to the process may have to wait until its output is acknowledged, here or by the next one.
        inputs = queue.SimpleQueue()

        def feed():
            while (given := inputs.get()) is not None:
                if given == EOF:
                    session.close_input()
                else:
                    put(ACK, offset=session.take(*given))

        in_thread(feed)
        with sock, contextlib.ExitStack() as stack:
            stack.callback(inputs.put, None)
            ended = None
            while True:
                kind, stream, _, size, offset = struct.unpack("<BBHIQ", read_exactly(sock, 16))
                payload = read_exactly(sock, size)
                if kind == ATTACH:
                    number, _, writer, *begins, rows, columns = struct.unpack("<II16sQQHH", payload[:44])
                    if number == OF_EXEC:
                        with self.answered:
                            self.answered.wait_for(lambda name=writer: name in self.requests)
                            number = self.requests[writer]
                    session = self.sessions[number]
                    if session.process is not None:
                        session.resize(rows, columns)
                    put(ATTACHED, payload=struct.pack(
                        "<IIQQQ", number, 4 | (2 if session.input is not None else 0), session.taken, *begins))
                    with self.lock:
                        self.served.append(sock)
                    ended = in_thread(self.run, session, put, begins)
                elif kind == DATA:
                    inputs.put((offset, payload))
                elif kind == ACK:
                    session.outputs[stream - 1].taken(offset)
                elif kind == EOF:
                    inputs.put(EOF)
                elif kind == RESIZE:
                    session.resize(*struct.unpack("<HH", payload))
                elif kind == EXIT_ACK:
                    ended.join()
                    return

    @staticmethod
    def run(session, put, begins):
        senders = [in_thread(FakeAgent.send, output, put, stream, offset)
                   for stream, (output, offset) in enumerate(zip(session.outputs, begins), 1)]
        for thread in senders:
            thread.join()
        code = session.code
        if session.process is not None:
            code = session.process.wait()
        put(EXIT, payload=struct.pack("<IIHHI", code if code >= 0 else 128 - code, max(0, -code),
                                      0, 0, 0))

    @staticmethod
    def send(output, put, stream, offset):
        while data := output.piece(offset):
            put(DATA, stream, offset, data)
            offset += len(data)
        put(EOF, stream, offset)
