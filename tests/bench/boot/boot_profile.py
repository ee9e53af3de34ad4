#!/usr/bin/env python3
"""Where every guest instruction of a boot goes, from power-on to the container's first one.

usage: boot_profile.py [--machine q35|pc] [--memory MIB] [--functions N] [--steps N] [--volumes N]
                       [--append TEXT] [--device DEVICE]... [--json FILE] [--svg FILE] [--check | --update]

Boots a containerVM as `vch` would, under `-icount shift=0` with a plugin that counts translated
blocks, and attributes them: firmware and loader, decompression, the kernel (timer calibration by
itself), the agent, each by the function that executed them, and the kernel's start by its initcalls.
The counts repeat within a fraction of a per cent, on a busy host too; milliseconds play no part.

--check compares with baseline.json beside this program, and fails where something is more than 3 per
cent above it, with the functions that made the difference; --update writes that file anew.
"""

import argparse
import bisect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import baseline
import chart

BASELINE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "baseline.json")
FIRST = 0x13370000  # first.S
USER_END = 1 << 47
KERNEL_BASE = 0xFFFFFFFF80000000
COMPRESSED_ENTRY = 0x100000
DECOMPRESSED_ENTRY = 0x1000000
BOARDS = {"q35": "q35,i8042=off,vmport=off,smbus=off", "pc": "pc,i8042=off,vmport=off"}
# By which vch's machines tell of a panic and of a hang, where vch puts them.
CRASH_DEVICES = ["-device", "pvpanic-pci,multifunction=on,addr=1d.0", "-device", "i6300esb,multifunction=on,addr=1d.1"]
# What the kernel does before its initcalls, as far as it is worth a line.
EARLY_STEPS = {
    "start_kernel", "setup_arch", "init_mem_mapping", "paging_init", "acpi_boot_init", "mem_init",
    "kmem_cache_init", "sched_init", "time_init", "apply_paravirt", "apply_returns",
    "apply_alternatives", "setup_boot_APIC_clock", "rest_init", "driver_init",
    "do_populate_rootfs", "free_initmem", "mark_rodata_ro",
}
CALIBRATION = {
    "setup_boot_APIC_clock", "calibrate_APIC_clock", "lapic_cal_handler", "calibrate_delay",
    "calibrate_delay_converge", "native_calibrate_tsc", "native_calibrate_cpu_early",
    "native_calibrate_cpu", "pit_calibrate_tsc", "quick_pit_calibrate", "pit_verify_msb",
    "pit_expect_msb", "tsc_refine_calibration_work", "delay_tsc", "__delay", "delay_loop",
    "wait_8254_wraparound", "check_timer", "timer_irq_works",
}


def fail(text):
    print(f"boot_profile: {text}", file=sys.stderr)
    sys.exit(1)


class Blocks:
    """What the plugin saw: (address, instructions, runs, first)."""

    def __init__(self, path):
        with open(path, encoding="ascii") as file:
            rows = [line.split() for line in file]
        self.rows = [(int(a, 16), int(n), int(r, 16), int(f, 16)) for a, n, r, f in rows]

    def first(self, wanted, what, after=0):
        found = [f for a, _, _, f in self.rows if f >= after and wanted(a)]
        if not found:
            fail(f"the guest never reached {what}")
        return min(found)

    def last_first(self, wanted, what, before):
        found = [f for a, _, _, f in self.rows if f < before and wanted(a)]
        if not found:
            fail(f"the guest never reached {what}")
        return max(found)


class Symbols:
    def __init__(self, path):
        symbols, self.steps = [], set(EARLY_STEPS)
        with open(path, encoding="ascii") as file:
            for line in file:
                address, kind, name = line.split()
                initcall = re.search(
                    r"^__initcall__kmod_\S+?__\d+_\d+_(\w+?)(?:early|rootfs|con|\ds?)$", name)
                if initcall:
                    self.steps.add(initcall[1])
                if kind in "tTwW":
                    symbols.append((int(address, 16), name))
        symbols.sort()
        self.addresses = [a for a, _ in symbols]
        self.names = [n for _, n in symbols]

    def name(self, address):
        i = bisect.bisect_right(self.addresses, address) - 1
        return self.names[i] if i >= 0 else "?"


def volume_devices(scratch, volumes):
    """As vch gives them to QEMU: eight to a slot."""
    words = []
    for i, name in enumerate(volumes):
        disk = f"{scratch}/state/volumes/{name}/disk.ext4"
        place = f"multifunction=on,addr={0x10 + i // 8:x}.{i % 8:x}"
        words += ["-drive", f"if=none,id=vol{i},format=raw,file={disk}",
                  "-device", f"virtio-blk-pci,drive=vol{i},serial=vol{i},{place}"]
    return words


def bootstrap_iso(build, options, scratch):
    iso = os.path.join(build, "bootstrap.iso")
    if options.append:
        own = os.path.join(scratch, "bootstrap.iso")
        subprocess.run([os.path.join(build, "bin", "tether-iso"), "customise", iso, "-o", own, "--append",
                        options.append], check=True)
        iso = own
    return iso


def measure(build, options, scratch):
    """One boot; gives the plugin's blocks."""
    root = os.path.join(scratch, "root")
    os.makedirs(root)
    shutil.copy(os.path.join(build, "tests", "boot-first"), os.path.join(root, "first"))
    vch = [os.path.join(build, "bin", "vch"), "--state", os.path.join(scratch, "state")]
    volumes = [f"v{i}" for i in range(options.volumes)]
    created = subprocess.run(
        [*vch, "create", "--network", "none", *[f"-v{name}:/{name}" for name in volumes],
         "--memory", f"{options.memory}m", f"dir:{root}", "/first"],
        stdout=subprocess.PIPE, check=True, text=True).stdout.split()[-1]
    seen = json.loads(subprocess.run([*vch, "inspect", created], stdout=subprocess.PIPE,
                                     check=True).stdout)[0]
    directory, counts = seen["Directory"], os.path.join(scratch, "counts")
    cd = "ide-cd" if options.machine == "q35" else "ide-cd,bus=ide.1"
    subprocess.run(
        ["qemu-system-x86_64", "-M", BOARDS[options.machine], "-accel", "tcg", "-cpu", "max,-erms",
         "-smp", "1",
         # With sleep=off the clock would leap to the next deadline whenever the guest waits for a file of the host's:
         # a busy one would get ticks counted, or a mount given up after 140 s that nobody has waited.
         "-m", str(options.memory), "-icount", "shift=0,sleep=on",
         "-plugin", f"{build}/tests/libblock_counts.so,out={counts}",
         "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-boot", "d",
         "-drive", f"if=none,id=cd,format=raw,media=cdrom,readonly=on,file={bootstrap_iso(build, options, scratch)}",
         "-device", f"{cd},drive=cd",
         "-drive", f"if=none,id=image,format=raw,readonly=on,file={directory}/image.squashfs",
         "-device", "virtio-blk-pci,drive=image,serial=image",
         "-drive", f"if=none,id=writable,format=raw,file={directory}/writable.ext4",
         "-device", "virtio-blk-pci,drive=writable,serial=writable",
         *volume_devices(scratch, volumes),
         *[word for device in options.device for word in ("-device", device)],
         *CRASH_DEVICES,
         # The guest asks this device again and again until it has taken a control message. Without a thread of the
         # host's in between it has at once, and how busy the host is does not count.
         "-device", "virtio-serial-pci,max_ports=3,ioeventfd=off",
         "-chardev", f"file,id=journal,append=on,path={scratch}/journal",
         "-device", "virtserialport,chardev=journal,name=org.tether.journal.0",
         "-chardev", f"socket,id=link,path={scratch}/link.sock,server=on,wait=off",
         "-device", "virtserialport,chardev=link,name=org.tether.link.0",
         "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
         "-serial", f"file:{scratch}/console.log", "-nic", "none",
         "-fw_cfg", f"name=opt/org.tether/config,file={directory}/config.pb"],
        stdin=subprocess.DEVNULL, check=True, timeout=600)
    return Blocks(counts)


def stages(blocks):
    """Instruction counts at which each stage began, in order."""
    kernel = blocks.first(lambda a: a == DECOMPRESSED_ENTRY, "the decompressed kernel")
    entry = blocks.last_first(lambda a: a == COMPRESSED_ENTRY, "the kernel's entry", kernel)
    high = blocks.first(lambda a: a >= KERNEL_BASE, "the kernel proper", kernel)
    agent = blocks.first(lambda a: 0x10000 <= a < USER_END and a != DECOMPRESSED_ENTRY,
                         "user space", high + 1000000)
    first = blocks.first(lambda a: a == FIRST, "the container's first instruction")
    return entry, kernel, agent, first


def steps(blocks, symbols, begin, end, count):
    """The kernel's longest steps, in order. One lasts until the next begins, so what runs beside it
    (the initramfs is unpacked so) is counted there."""
    begun = {}
    for address, _, _, seen in blocks.rows:
        if address >= KERNEL_BASE and begin <= seen < end:
            name = symbols.name(address)
            if name in symbols.steps:
                begun[name] = min(seen, begun.get(name, end))
    order = sorted((seen, name) for name, seen in begun.items()) + [(end, "")]
    lengths = [(name, after - seen) for (seen, name), (after, _) in zip(order, order[1:])]
    least = sorted((length for _, length in lengths), reverse=True)[:count]
    return [(name, length) for name, length in lengths if least and length >= least[-1]]


def report(blocks, symbols, count):
    entry, kernel, agent, first = stages(blocks)
    by_function, agent_user = {}, 0
    for address, instructions, runs, seen in blocks.rows:
        # A block that is first seen within a stage is counted there; the few that run on into the
        # next do so rarely.
        if seen >= first:
            continue
        if address >= KERNEL_BASE and kernel <= seen:
            name = symbols.name(address)
            by_function[name] = by_function.get(name, 0) + instructions * runs
        elif agent <= seen and address < USER_END:
            agent_user += instructions * runs
    calibration = sum(by_function.get(name, 0) for name in CALIBRATION)
    return {
        "firmware and loader": entry,
        "decompression": kernel - entry,
        "timer calibration": calibration,
        "kernel beside calibration, to the agent": agent - kernel - calibration,
        "agent to the container, kernel's work for it included": first - agent,
        "of which in the agent's own code": agent_user,
        "kernel entry to the container's first instruction": first - entry,
        "power-on to the container's first instruction": first,
    }, sorted(by_function.items(), key=lambda item: -item[1])[:count]


def boot(build, options):
    with tempfile.TemporaryDirectory(prefix="boot-profile-") as scratch:
        return measure(build, options, scratch)


def figures_of(build, table):
    """What baseline.json holds: millions of instructions, and bytes."""
    counts = {name: round(value / 1e6, 2) for name, value in table.items() if name != "timer calibration"}
    for name in ("kernel entry to the container's first instruction",
                 "power-on to the container's first instruction"):
        counts[name] = round((table[name] - table["timer calibration"]) / 1e6, 2)
    for name, path in (("kernel", "kernel/bzImage"), ("agent", "bin/tether"), ("ISO", "bootstrap.iso")):
        counts[f"{name}, bytes"] = os.path.getsize(os.path.join(build, path))
    return counts


def check(build, options, symbols, table, functions):
    """Prints what is wrong, and gives the exit code. What is too much is measured once more: what waits for the
    host's files only ever adds."""
    known = baseline.read(BASELINE)
    found = baseline.regressions(known, figures_of(build, table))
    if found:
        again, functions_again = report(boot(build, options), symbols, None)
        if again["power-on to the container's first instruction"] < table[
                "power-on to the container's first instruction"]:
            table, functions = again, functions_again
        found = baseline.regressions(known, figures_of(build, table))
    if not found:
        print(f"nothing is more than {100 * baseline.LIMIT:.0f} % above {os.path.basename(BASELINE)}")
        return 0
    for line in found:
        print(f"boot_profile: {line}", file=sys.stderr)
    print("boot_profile: millions of instructions by kernel function, the change first:", file=sys.stderr)
    for change, now, name in baseline.difference(known, millions(functions)):
        print(f"{change:+10.2f} {now:10.2f}  {name}", file=sys.stderr)
    print("boot_profile: if this is meant, say why in docs/benchmarks.md and write scripts/boot-profile --update",
          file=sys.stderr)
    return 1


def millions(functions):
    return {name: round(count / 1e6, 2) for name, count in functions if count >= 50000}


def draw(path, options, table, longest, functions):
    stages = [(name, table[name] / 1e6) for name in (
        "firmware and loader", "decompression", "timer calibration", "kernel beside calibration, to the agent",
        "agent to the container, kernel's work for it included")]
    title = f"{options.machine}, {options.memory} MiB, 1 vCPU, millions of guest instructions to the container's first"
    with open(path, "w", encoding="utf-8") as file:
        file.write(chart.svg(title, stages, [(name, count / 1e6) for name, count in longest],
                             [(name, count / 1e6) for name, count in functions]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--machine", choices=["q35", "pc"], default="q35")
    parser.add_argument("--memory", type=int, default=256, help="MiB")
    parser.add_argument("--functions", type=int, default=20, help="how many kernel functions to list")
    parser.add_argument("--steps", type=int, default=20, help="how many steps of the kernel to list")
    parser.add_argument("--volumes", type=int, default=0, help="how many volumes it mounts")
    parser.add_argument("--append", help="added to the kernel's command line")
    parser.add_argument("--device", action="append", default=[], help="one more, as QEMU's -device takes it")
    parser.add_argument("--json", help="write the stages here too")
    parser.add_argument("--svg", help="draw it here too")
    parser.add_argument("--check", action="store_true", help="compare with the baseline, and fail if it is worse")
    parser.add_argument("--update", action="store_true", help="write the baseline anew")
    options = parser.parse_args()
    build = os.environ.get("TETHER_BUILD") or fail("TETHER_BUILD names no build directory")
    blocks = boot(build, options)
    symbols = Symbols(f"{build}/kernel/System.map")
    table, every = report(blocks, symbols, None)
    functions = every[:options.functions]
    _, kernel, agent, _ = stages(blocks)
    longest = steps(blocks, symbols, kernel, agent, options.steps)
    print(f"{options.machine}, {options.memory} MiB, 1 vCPU, millions of guest instructions")
    for what, instructions in table.items():
        print(f"{instructions / 1e6:10.2f}  {what}")
    if options.steps:
        print("\nthe kernel's longest steps, in order:")
        for name, instructions in longest:
            print(f"{instructions / 1e6:10.2f}  {name}")
    if functions:
        print("\nkernel functions, power-on to the container:")
        for name, instructions in functions:
            print(f"{instructions / 1e6:10.2f}  {name}")
    if options.json:
        with open(options.json, "w", encoding="ascii") as file:
            json.dump(table, file, indent=2)
    if options.svg:
        draw(options.svg, options, table, longest, functions)
    if options.update:
        baseline.write(BASELINE, figures_of(build, table), millions(every))
    if options.check:
        sys.exit(check(build, options, symbols, table, every))


if __name__ == "__main__":
    main()
