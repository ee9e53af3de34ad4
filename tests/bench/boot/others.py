#!/usr/bin/env python3
"""What other kernels take to their first process, beside ours.

usage: others.py [--memory MIB] [--append TEXT] NAME=BZIMAGE[:SYSTEM_MAP] ...

Boots each kernel directly (QEMU's -kernel and -initrd; q35, one vCPU, no disk, no network) with an
initramfs that holds one program, first.S, as /init, and counts guest instructions as boot_profile.py
does. With a System.map, what calibrating timers takes is told apart; each counts it alike, as far as
it has to. The command line is the same for all.
"""

import argparse
import os
import subprocess
import sys
import tempfile

import boot_profile
from boot_profile import CALIBRATION, FIRST, KERNEL_BASE, Blocks, Symbols, fail

COMMAND_LINE = "quiet nokaslr"


def cpio_entry(name, mode, data):
    """Of the format newc (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    fields = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def boot(build, image, options, scratch):
    with open(os.path.join(build, "tests", "boot-first"), "rb") as file:
        first = file.read()
    initramfs = os.path.join(scratch, "initramfs")
    with open(initramfs, "wb") as file:
        file.write(cpio_entry("init", 0o100755, first) + cpio_entry("TRAILER!!!", 0, b""))
    counts = os.path.join(scratch, "counts")
    # /init ends, so the kernel panics; with -no-reboot and panic=-1 the machine ends with it.
    subprocess.run(
        ["qemu-system-x86_64", "-M", boot_profile.BOARDS["q35"], "-accel", "tcg", "-cpu", "max,-erms",
         "-smp", "1", "-m", str(options.memory), "-icount", "shift=0,sleep=off",
         "-plugin", f"{build}/tests/libblock_counts.so,out={counts}",
         "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
         "-serial", f"file:{scratch}/console.log", "-kernel", image, "-initrd", initramfs,
         "-append", f"{COMMAND_LINE} console=ttyS0 panic=-1 {options.append}"],
        stdin=subprocess.DEVNULL, check=True, timeout=600)
    return Blocks(counts)


def measure(build, name, image, symbols, options):
    with tempfile.TemporaryDirectory(prefix="boot-others-") as scratch:
        blocks = boot(build, image, options, scratch)
    kernel = blocks.first(lambda a: a == boot_profile.DECOMPRESSED_ENTRY, f"{name}'s decompressed kernel")
    entry = blocks.last_first(lambda a: a == boot_profile.COMPRESSED_ENTRY, f"{name}'s entry", kernel)
    first = blocks.first(lambda a: a == FIRST, f"{name}'s first process")
    calibration = None
    if symbols:
        names = Symbols(symbols)
        calibration = sum(n * runs for address, n, runs, seen in blocks.rows
                          if KERNEL_BASE <= address and kernel <= seen < first
                          and names.name(address) in CALIBRATION)
    return entry, kernel - entry, first - kernel, calibration


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory", type=int, default=256, help="MiB")
    parser.add_argument("--append", default="", help="added to the kernels' command line")
    parser.add_argument("kernels", nargs="+", metavar="NAME=BZIMAGE[:SYSTEM_MAP]")
    options = parser.parse_args()
    build = os.environ.get("TETHER_BUILD") or fail("TETHER_BUILD names no build directory")
    print("millions of guest instructions\n")
    print("| kernel | bzImage, bytes | firmware and loading | decompression | kernel to its first process "
          "| of which calibration |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kernel in options.kernels:
        name, _, files = kernel.partition("=")
        image, _, symbols = files.partition(":")
        if not os.access(image, os.R_OK):
            fail(f"{kernel}: NAME=BZIMAGE names no file that can be read")
        *counts, calibration = measure(build, name, image, symbols, options)
        cells = [f"{count / 1e6:.1f}" for count in counts]
        cells.append("?" if calibration is None else f"{calibration / 1e6:.1f}")
        print(f"| {name} | {os.path.getsize(image):,} | {' | '.join(cells)} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
