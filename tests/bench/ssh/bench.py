#!/usr/bin/env python3
"""SSH to a containerVM beside dropbear and OpenSSH's sshd: one table.

usage: TETHER_BUILD=DIR bench.py [--quick] [--no-instructions] [--no-times]

Two guests with the same kernel, image, memory and kind of port, both up: a containerVM, whose logins
come by `vch dial --fdpass` as those of `vch ssh` do, and one whose ports lead to the other servers,
begun for each login. One client, OpenSSH's, and one cipher at a time; what is compared takes turns. Instructions are the guest's, user
space and kernel, from rest to rest, counted by a QEMU plugin in a second pair of guests; milliseconds
and MB/s are of guests without it. Guests, image and plugin are those of tests/bench/sessions.
"""

import argparse
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../sessions"))
import image  # noqa: E402
import machines  # noqa: E402
import measure  # noqa: E402
import peers  # noqa: E402
from table import Table  # noqa: E402

NAMES = ("tether", "dropbear", "sshd")
# What two of the three or all of them have; dropbear 2022.83 has no AES-GCM.
CIPHERS = {"chacha20-poly1305@openssh.com": NAMES, "aes128-ctr": NAMES,
           "aes128-gcm@openssh.com": ("tether", "sshd")}
MACS = "hmac-sha2-256-etm@openssh.com,hmac-sha2-256"
BLOCK = 32768
SMALL = 1 << 16  # bytes, beside which a stream's cost is counted


class Sizes:
    """How much of everything."""

    def __init__(self, quick):
        self.repeats = 3 if quick else 11
        self.counted = (1 if quick else 4) << 20
        self.timed = (4 if quick else 16) << 20
        self.runs = 1 if quick else 3


class Server(peers.Ssh):
    """One of the three; logins end with the client's word, as the host stays on the port."""

    def __init__(self, machine, name, build, key, **options):
        # A keepalive is counted like everything else, and on a busy host there would be one in
        # some commands and two in others.
        super().__init__(machine, name, build, key, ServerAliveInterval="30", **options)

    def log_in(self, *command):
        """A login of its own and its command: milliseconds to the first byte of output."""
        begin = time.perf_counter()
        process = subprocess.Popen(["ssh", "-n", "-F", self.config, "-S", "none", "guest", *command],
                                   stdout=subprocess.PIPE)
        first = process.stdout.read(1)
        seconds = time.perf_counter() - begin
        process.stdout.read()
        measure.finish(process, f"{self.name}: login")
        if not first:
            raise AssertionError(f"{self.name}: a login gave no output")
        return seconds * 1e3

    def stop(self):
        if self._master is None:
            return
        subprocess.run(["ssh", "-F", self.config, "-O", "exit", "guest"], stderr=subprocess.DEVNULL,
                       check=True)
        self._master.wait()
        self._master = None
        self.wait_for_end()

    def wait_for_end(self):
        """The server has ended, and another login can begin."""


class Called(Server):
    """Behind a port that the host stays connected to, and that is lent to one client at a time."""

    def __init__(self, machine, name, build, key):
        lender = os.path.join(machine.path, f"{name}.lender")
        super().__init__(machine, name, build, key,
                         ProxyCommand=f"{build}/tests/session_peer borrow {lender}")
        self._port = socket.socket(socket.AF_UNIX)
        self._port.connect(self.socket)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(lender)
        self._listener.listen()
        threading.Thread(target=self._lend, daemon=True).start()
        self._ended = None

    def _lend(self):
        while True:
            client, _ = self._listener.accept()
            with contextlib.suppress(BlockingIOError):
                while self._port.recv(1 << 16, socket.MSG_DONTWAIT):  # the last login's last words
                    pass
            with client:
                socket.send_fds(client, [b"x"], [self._port.fileno()])

    def start(self, *words):
        self._ended = self.machine.said(b"again")
        super().start(*words)

    def log_in(self, *command):
        self._ended = self.machine.said(b"again")
        took = super().log_in(*command)
        self.wait_for_end()
        return took

    def wait_for_end(self):
        machines.wait_until(lambda: self.machine.said(b"again") > self._ended,
                            f"the end of {self.name}'s login")


class Within(Server):
    """The containerVM's own."""
    name = "tether"

    def __init__(self, machine, scratch):
        machine.path = scratch
        key = os.path.join(scratch, "state/ssh/id_ed25519")
        name = f"tether.{machine.name}"
        super().__init__(machine, name, "", key,
                         ProxyCommand=" ".join([*machine.vch, "dial", "--fdpass", machine.name, "ssh"]))
        self.name = "tether"


def guests(stack, build, made, counted):
    """The three servers of a pair of guests."""
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="ssh-bench-"))
    counts = [os.path.join(scratch, name) if counted else None for name in ("vm", "other")]
    tree = os.path.join(made, "tree")
    vm = machines.ContainerVm(build, scratch, tree, counts[0])
    stack.callback(vm.close)
    kvm = vm.inspect()["Machine"]["Accelerator"] == "kvm"
    other = machines.OtherGuest(build, scratch, made, vm.create_disks(tree), kvm, counts[1],
                                words="bench.called")
    stack.callback(other.close)
    servers = [Within(vm, scratch)]
    servers += [Called(other, name, build, os.path.join(made, "client_key"))
                for name in ("dropbear", "sshd")]
    for each in servers:
        each.log_in("true; echo first")  # what later ones find in the page cache
    return servers


def counted(server, action):
    before = server.machine.counter.settled()
    action()
    return server.machine.counter.settled() - before


def masters(servers, cipher):
    """Logged-in connections with this cipher, for as long as the stack lives."""
    stack = ExitStack()
    for server in servers:
        server.start("-c", cipher, "-m", MACS)
        stack.callback(server.stop)
    return stack


def read_all(server, block, total):
    process = measure.start(server, measure.PEER, "write", str(block), str(total))
    got = sum(len(piece) for piece in iter(lambda: process.stdout.read(1 << 18), b""))
    measure.finish(process, f"{server.name}: stdout")
    if got != total:
        raise AssertionError(f"{server.name}: {got} of {total} bytes came out")


def instructions(table, servers, build, sizes):
    def medians(action):
        return {s.name: statistics.median(counted(s, lambda s=s: action(s))
                                          for _ in range(sizes.repeats)) / 1e3 for s in servers}
    table.row("login and `echo`, k instructions", medians(lambda s: s.log_in("echo x")))
    default = next(iter(CIPHERS))
    with masters(servers, default):
        table.row("`true` on a login, k instructions", medians(measure.run_true))
    for cipher, having in CIPHERS.items():
        some = [s for s in servers if s.name in having]
        with masters(some, cipher):
            for way, move in (("stdout", read_all),
                              ("stdin", lambda *what: measure.stdin_speed(build, *what))):
                cost = {}
                for s in some:
                    move(s, BLOCK, SMALL)
                    few = counted(s, lambda s=s: move(s, BLOCK, SMALL))
                    many = counted(s, lambda s=s: move(s, BLOCK, sizes.counted + SMALL))
                    cost[s.name] = (many - few) / sizes.counted
                table.row(f"{way}, {cipher}, instructions/B", cost, 2)


def times(table, servers, build, sizes):
    def medians(action):
        got = {s.name: [] for s in servers}
        for _ in range(sizes.repeats):
            for s in servers:
                got[s.name].append(action(s))
        return {name: statistics.median(all_) for name, all_ in got.items()}

    def true_time(server):
        begin = time.perf_counter()
        measure.run_true(server)
        return (time.perf_counter() - begin) * 1e3
    table.row("login to first byte, ms", medians(lambda s: s.log_in("echo x")))
    with masters(servers, next(iter(CIPHERS))):
        table.row("`true` on a login, ms", medians(true_time))
    for cipher, having in CIPHERS.items():
        some = [s for s in servers if s.name in having]
        with masters(some, cipher):
            for way, speed in (("stdout", measure.stdout_speed),
                               ("stdin", lambda *what: measure.stdin_speed(build, *what))):
                got = {s.name: [] for s in some}
                for _ in range(sizes.runs):
                    for s in some:
                        got[s.name].append(speed(s, BLOCK, sizes.timed))
                table.row(f"{way}, {cipher}, MB/s",
                          {name: statistics.median(all_) for name, all_ in got.items()})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer and smaller")
    parser.add_argument("--no-instructions", action="store_true")
    parser.add_argument("--no-times", action="store_true")
    options = parser.parse_args()
    build = os.environ.get("TETHER_BUILD") or image.fail("TETHER_BUILD names no build directory")
    made, sizes, table = image.provide(build), Sizes(options.quick), Table(NAMES, 52)
    for wanted, count, rows in ((not options.no_instructions, True, instructions),
                                (not options.no_times, False, times)):
        if wanted:
            with ExitStack() as stack:
                rows(table, guests(stack, build, made, count), build, sizes)


if __name__ == "__main__":
    main()
