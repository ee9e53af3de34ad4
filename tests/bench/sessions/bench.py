#!/usr/bin/env python3
"""Sessions of a containerVM beside those of dropbear, OpenSSH and qemu-guest-agent: one table.

usage: TETHER_BUILD=DIR bench.py [--quick] [--no-instructions]

Two guests with the same kernel, image, memory and kind of port, both up: a containerVM, and one whose
ports lead to the other servers. The host reaches those two that speak SSH through a master connection.
What is compared takes turns. Instructions are the guest's, user space and kernel, counted by a QEMU
plugin in a second pair of guests; milliseconds and MB/s are of guests without it.
"""

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import image  # noqa: E402
import machines  # noqa: E402
import measure  # noqa: E402
import peers  # noqa: E402
import restart  # noqa: E402
from table import Table  # noqa: E402

BLOCKS = (64, 4096, 32768)
NAMES = ("tether", "dropbear", "sshd", "guest-exec")


class Sizes:
    """How much of everything."""

    def __init__(self, quick):
        self.last_exec = 60 if quick else 500
        self.keys = 200 if quick else 1000
        self.runs = 1 if quick else 3
        self.restarts = 5 if quick else 9
        self.stream = {64: (2 if quick else 8) << 20, 4096: (8 if quick else 32) << 20,
                       32768: (8 if quick else 32) << 20}


def guests(stack, build, made, counted):
    """The four peers of a pair of guests."""
    scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="sessions-bench-"))
    counts = [os.path.join(scratch, name) if counted else None for name in ("vm", "other")]
    tree = os.path.join(made, "tree")
    vm = machines.ContainerVm(build, scratch, tree, counts[0])
    stack.callback(vm.close)
    kvm = vm.inspect()["Machine"]["Accelerator"] == "kvm"
    other = machines.OtherGuest(build, scratch, made, vm.create_disks(tree), kvm, counts[1])
    stack.callback(other.close)
    ssh = [peers.Ssh(other, name, build, os.path.join(made, "client_key"))
           for name in ("dropbear", "sshd")]
    for each in ssh:
        each.start()
        stack.callback(each.stop)
    agent = peers.GuestAgent(other)
    stack.callback(agent.stop)
    return [peers.Tether(vm), *ssh, agent]


def execs(table, all_peers, sizes, unit, scale):
    """Rows about `true`, in instructions or in milliseconds."""
    cost = {peer.name: measure.Execs(peer) for peer in all_peers}
    last = sizes.last_exec
    table.row(f"true, the 1st, {unit}", {n: c.one() / scale for n, c in cost.items()})
    table.row(f"true, the 2nd to 11th, {unit}", {n: c.median(10) / scale for n, c in cost.items()})
    for each in cost.values():
        each.pass_by(last - 20)
    table.row(f"true, no. {last - 9} to {last}, {unit}",
              {n: c.median(10) / scale for n, c in cost.items()})
    beside = {n: c.beside(64) for n, c in cost.items()}
    table.row(f"true, 64 side by side, {unit} each",
              {n: c / scale for n, c in beside.items() if c is not None})
    table.row("   of which without an exit code", {n: c.lost for n, c in cost.items()}, 0)
    table.row("   of which never ended", {n: c.hung for n, c in cost.items()}, 0)


def echoes(table, streaming, sizes):
    for what, bulk in (("idle", False), ("beside a stream", True)):
        times = {peer.name: measure.echo(peer, sizes.keys, bulk) for peer in streaming}
        table.row(f"key to echo, {what}, p50, ms", {n: t[0] for n, t in times.items()}, 2)
        table.row(f"key to echo, {what}, p99, ms", {n: t[1] for n, t in times.items()}, 2)


def streams(table, build, streaming, sizes):
    ways = (("pipe within the guest", measure.pipe_speed, BLOCKS[:1]),
            ("stdout", measure.stdout_speed, BLOCKS),
            ("stdin", lambda *what: measure.stdin_speed(build, *what), BLOCKS))
    for way, speed, blocks in ways:
        for block in blocks:
            got = {peer.name: [] for peer in streaming}
            for _ in range(sizes.runs):
                for peer in streaming:
                    got[peer.name].append(speed(peer, block, sizes.stream[block]))
            table.row(f"{way}, {block} B writes, MB/s",
                      {name: statistics.median(speeds) for name, speeds in got.items()})


def restarts(table, streaming, sizes):
    tether, *ssh = streaming
    times = {tether.name: [restart.resume_time(tether) for _ in range(sizes.restarts)]}
    times |= {p.name: [restart.new_login_time(p) for _ in range(sizes.restarts)] for p in ssh}
    table.row("link's process killed, to bytes again, ms",
              {name: statistics.median(all_) for name, all_ in times.items()})
    table.row("the slowest of these, ms", {name: max(all_) for name, all_ in times.items()})
    moved = {tether.name: restart.resume_bytes(tether)}
    moved |= {p.name: restart.new_login_bytes(p) for p in ssh}
    table.row("bytes that this cost the link, KiB", {n: b / 1024 for n, b in moved.items()})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer and smaller: three minutes")
    parser.add_argument("--no-instructions", action="store_true")
    options = parser.parse_args()
    build = os.environ.get("TETHER_BUILD") or image.fail("TETHER_BUILD names no build directory")
    made, sizes, table = image.provide(build), Sizes(options.quick), Table(NAMES, 44)
    if not options.no_instructions:
        with ExitStack() as stack:
            execs(table, guests(stack, build, made, True), sizes, "k instructions", 1e3)
    with ExitStack() as stack:
        all_peers = guests(stack, build, made, False)
        streaming = all_peers[:3]
        execs(table, all_peers, sizes, "ms", 1)
        echoes(table, streaming, sizes)
        streams(table, build, streaming, sizes)
        restarts(table, streaming, sizes)


if __name__ == "__main__":
    main()
