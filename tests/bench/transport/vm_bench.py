#!/usr/bin/env python3
"""The transport through a real machine: a device raw, and the same bytes through a connection.

usage: vm_bench.py [--runs N] [--mib N] [--uart-kib N] [--no-instructions]

Speeds: raw and connection take turns in one machine; the table has the median of the runs and the
ratio of the medians. Beside it stands the processor time of QEMU, which says the same on a machine
that others use too. Instructions a byte, of the guest, kernel and user space: a QEMU plugin counts
all of a machine that boots, moves the bytes and powers off, less those of one that moves none.
"""

import argparse
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "vm"))
from transport_vm import BUILD, Guest, Host, wait_until  # noqa: E402

USER_END = 1 << 47
WAYS = (("guest to host", "fetch"), ("host to guest", "send"))


class Device:
    """A kind of link, and a second one of its kind for the raw bytes."""

    def __init__(self, name, links, raw, arguments):
        self.name, self.links, self.raw, self.arguments = name, links, raw, arguments


def chardev(name):
    return ["-chardev", f"socket,id={name},path={{scratch}}/{name},server=on,wait=off"]


PORT = Device(
    "virtio-serial port", ["port:org.tether.test.link"], "port:org.tether.test.raw",
    ["-device", "virtio-serial-pci",
     *chardev("link"), "-device", "virtserialport,chardev=link,name=org.tether.test.link",
     *chardev("raw"), "-device", "virtserialport,chardev=raw,name=org.tether.test.raw"])
UART = Device(
    "UART", ["uart:/dev/ttyS1:115200"], "uart:/dev/ttyS2:115200",
    [*chardev("link"), "-serial", "chardev:link", *chardev("raw"), "-serial", "chardev:raw"])


class Machine:
    """A guest with both links, and the host end."""

    def __init__(self, device, more=()):
        self._scratch = tempfile.TemporaryDirectory(prefix="transport-bench-")
        self.path = self._scratch.name
        arguments = [word.format(scratch=self.path) for word in device.arguments]
        self.guest = Guest(self.path, "guest", device.links, [*arguments, *more])
        wait_until(lambda: os.path.exists(f"{self.path}/raw"), "QEMU listens")
        self.host = Host(f"unix:{self.path}/link")
        self.host.hear("up")
        self._raw = f"{device.raw} {self.path}/raw"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.host.close()
        self.guest.close()
        self._scratch.cleanup()

    def move(self, command, size):
        """Seconds that it took; `command` is fetch or send, with raw- before it or not."""
        raw = f" {self._raw}" if command.startswith("raw-") else ""
        moved, seconds = self.host.ask(f"{command}{raw} {size}", command)
        if int(moved) != size:
            raise AssertionError(f"{command}: {moved} of {size} bytes")
        return float(seconds)


def processor_time(pid):
    """Seconds of all threads of a process."""
    nanoseconds = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            nanoseconds += int(file.read().split()[0])
    return nanoseconds / 1e9


def speeds(device, size, runs):
    """MB/s, and QEMU's nanoseconds a byte, of raw and connection for each way."""
    seconds, used = {}, {}
    with Machine(device) as machine:
        for run in range(runs + 1):
            for _, command in WAYS:
                for each in ("raw-" + command, command):
                    before = processor_time(machine.guest.process.pid)
                    took = machine.move(each, size)
                    if run > 0:  # the first translates code
                        seconds.setdefault(each, []).append(took)
                        used.setdefault(each, []).append(
                            processor_time(machine.guest.process.pid) - before)
    return {each: (size / statistics.median(took) / 1e6,
                   statistics.median(used[each]) / size * 1e9) for each, took in seconds.items()}


def count(device, command, size):
    """Guest instructions, (user, kernel), of a machine's whole life."""
    with tempfile.NamedTemporaryFile() as out:
        plugin = ["-plugin", f"{BUILD}/tests/libblock_counts.so,out={out.name}"]
        with Machine(device, plugin) as machine:
            if size > 0:
                machine.move(command, size)
            machine.host.say("off")
            machine.guest.wait()
        user = kernel = 0
        for line in out:
            address, instructions, runs, _ = line.split()
            executed = int(instructions) * int(runs, 16)
            if int(address, 16) < USER_END:
                user += executed
            else:
                kernel += executed
        return user, kernel


def instructions(device, size):
    """Instructions a byte, (user, kernel)."""
    base = count(device, "", 0)
    return {each: tuple((all_ - idle) / size
                        for all_, idle in zip(count(device, each, size), base))
            for _, command in WAYS for each in ("raw-" + command, command)}


def report(device, size, options):
    measured = speeds(device, size, options.runs)
    counted = {} if options.no_instructions else instructions(device, size)
    for way, command in WAYS:
        for what, each in (("raw", "raw-" + command), ("connection", command)):
            speed, used = measured[each]
            raw_speed, raw_used = measured["raw-" + command]
            row = f"{device.name:<20}{way:<15}{what:<11}"
            row += f"{speed:>9.2f}{speed / raw_speed:>7.2f}{used:>12.2f}{raw_used / used:>7.2f}"
            if counted:
                user, kernel = counted[each]
                row += f"{user + kernel:>13.2f}{user:>8.2f}{kernel:>8.2f}"
            print(row, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mib", type=int, default=64, help="through the port")
    parser.add_argument("--uart-kib", type=int, default=1024, help="through the UART")
    parser.add_argument("--no-instructions", action="store_true")
    options = parser.parse_args()
    print(f"{'device':<20}{'way':<15}{'':<11}{'MB/s':>9}{'ratio':>7}{'QEMU ns/B':>12}{'ratio':>7}"
          f"{'guest i./B':>13}{'user':>8}{'kernel':>8}")
    report(PORT, options.mib << 20, options)
    report(UART, options.uart_kib << 10, options)


if __name__ == "__main__":
    main()
