#!/usr/bin/env python3
"""What each hardening option of the kernel costs at a boot, in guest instructions.

usage: hardening.py [--list] [NAME]...

Boots as boot_profile.py does: the kernel as it is, then with each parameter, then each kernel built without one
option (minutes each; bootstrap-kernel/build keeps them). Names choose some of the rows.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

import boot_profile

SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../bootstrap-kernel"))
# The first is there already: what it costs is the image's and the command line's, and what repetitions differ by.
PARAMETERS = ["quiet", "init_on_alloc=1", "init_on_free=1", "slab_nomerge",
              "randomize_kstack_offset=off", "hardened_usercopy=off", "mitigations=off", "pti=on"]
# The kernel without: its name, and what is off. Not lockdown, without which the agent starts nothing.
OPTIONS = {
    "HARDENED_USERCOPY": ["HARDENED_USERCOPY"],
    "SLAB_FREELIST_*": ["SLAB_FREELIST_RANDOM", "SLAB_FREELIST_HARDENED"],
    "RANDOMIZE_KSTACK_OFFSET": ["RANDOMIZE_KSTACK_OFFSET_DEFAULT", "RANDOMIZE_KSTACK_OFFSET"],
    "VMAP_STACK": ["VMAP_STACK"],
    "CPU_MITIGATIONS": ["CPU_MITIGATIONS", "PAGE_TABLE_ISOLATION", "RETPOLINE", "RETHUNK", "CPU_UNRET_ENTRY",
                        "CPU_IBPB_ENTRY", "CPU_IBRS_ENTRY", "CPU_SRSO", "MITIGATION_RFDS", "MITIGATION_SPECTRE_BHI",
                        "MITIGATION_ITS", "MITIGATION_TSA"],
    "STACKPROTECTOR_STRONG": ["STACKPROTECTOR_STRONG", "STACKPROTECTOR"],
    "FORTIFY_SOURCE": ["FORTIFY_SOURCE"],
    "INIT_STACK_ALL_ZERO": ["INIT_STACK_ALL_ZERO"],
}


def kernel_without(options, scratch):
    """The directory of its files."""
    tree = os.path.join(scratch, "bootstrap-kernel")
    shutil.copytree(SOURCE, tree)
    for name in sorted(os.listdir(os.path.join(tree, "fragments"))):
        path = os.path.join(tree, "fragments", name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for option in options:
            text = re.sub(rf"(?m)^CONFIG_{option}=.*$",
                          "CONFIG_INIT_STACK_NONE=y" if option == "INIT_STACK_ALL_ZERO"
                          else f"# CONFIG_{option} is not set", text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    if options[0] == "CPU_MITIGATIONS":  # It hides all the others.
        path = os.path.join(tree, "fragments", "70-security.config")
        with open(path, encoding="utf-8") as file:
            kept = [line for line in file
                    if not any(f"CONFIG_{option} " in line for option in options[1:])]
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(kept)
    built = subprocess.run([os.path.join(tree, "build")], stdout=subprocess.PIPE, check=True, text=True)
    return built.stdout.split()[-1]


def build_with(kernel, build, scratch):
    """A build directory like that one, with another kernel."""
    own = os.path.join(scratch, "build")
    os.mkdir(own)
    for name in os.listdir(build):
        if name not in ("kernel", "bootstrap.iso"):
            os.symlink(os.path.join(build, name), os.path.join(own, name))
    os.symlink(kernel, os.path.join(own, "kernel"))
    subprocess.run([os.path.join(build, "bin", "tether-iso"), "build", "--kernel", os.path.join(kernel, "bzImage"),
                    "--agent", os.path.join(build, "bin", "tether"), "--busybox", shutil.which("busybox"),
                    "-o", os.path.join(own, "bootstrap.iso")], check=True, stdout=subprocess.DEVNULL)
    return own


def measure(build, append=None):
    options = argparse.Namespace(machine="q35", memory=256, volumes=0, device=[], append=append)
    blocks = boot_profile.boot(build, options)
    table, _ = boot_profile.report(blocks, boot_profile.Symbols(f"{build}/kernel/System.map"), None)
    size = os.path.getsize(f"{build}/kernel/bzImage")
    return [(table["decompression"]) / 1e6, table["kernel beside calibration, to the agent"] / 1e6,
            table["agent to the container, kernel's work for it included"] / 1e6, size]


def row(name, figures, base):
    total = sum(figures[:3]) - sum(base[:3])
    print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in figures[:3]) +
          f" | {total:+.2f} | {figures[3]:,} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--list", action="store_true")
    chosen = parser.parse_args()
    if chosen.list:
        print("\n".join([*PARAMETERS, *OPTIONS]))
        return
    if unknown := set(chosen.names) - {*PARAMETERS, *OPTIONS}:
        boot_profile.fail(f"unknown: {', '.join(sorted(unknown))}; --list says which there are")
    build = os.environ.get("TETHER_BUILD") or boot_profile.fail("TETHER_BUILD names no build directory")
    print("| | decompression | kernel | agent to the container | difference | bzImage |\n|---|---|---|---|---|---|")
    base = measure(build)
    row("as it is", base, base)
    for name in PARAMETERS:
        if not chosen.names or name in chosen.names:
            row(name, measure(build, name), base)
    for name, options in OPTIONS.items():
        if chosen.names and name not in chosen.names:
            continue
        with tempfile.TemporaryDirectory(prefix="hardening-") as scratch:
            try:
                figures = measure(build_with(kernel_without(options, scratch), build, scratch))
            except (subprocess.CalledProcessError, SystemExit) as failed:  # The reason was printed.
                print(f"hardening: {name}: {failed}", file=sys.stderr)
                continue
            row(f"without {name}", figures, base)


if __name__ == "__main__":
    main()
