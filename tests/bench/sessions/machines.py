"""The two guests of a run: a containerVM of vch's, and one with the other servers, alike in kernel,
image, memory and kind of port."""

import json
import mmap
import os
import shutil
import struct
import subprocess
import time

MEMORY = 512  # MiB
PORTS = {"dropbear": "org.tether.bench.dropbear", "sshd": "org.tether.bench.sshd",
         "qga": "org.qemu.guest_agent.0"}
PATIENCE = 240  # seconds; a bound for what hangs
SETTLED = 0.03  # seconds without an instruction: the guest waits


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE} s and never saw: {what}")
        time.sleep(0.005)


def command_line(build):
    """The kernel's, as tether-iso writes it."""
    with open(os.path.join(build, "bootstrap.iso"), "rb") as file, \
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as iso:
        begin = iso.find(b"APPEND ")
        end = iso.find(b"\n", begin)
        words = iso[begin + len(b"APPEND "):end].decode("ascii").split()
    return " ".join(word for word in words if not word.startswith("initrd="))


class Counter:
    """The instructions that a guest has executed, by the plugin live_counts."""

    def __init__(self, path):
        self._path = path

    def read(self):
        with open(self._path, "rb") as file:
            return sum(struct.unpack("QQ", file.read(16)))

    def settled(self):
        """The count, once the guest has nothing to do."""
        last, since = self.read(), time.monotonic()
        while time.monotonic() - since < SETTLED:
            time.sleep(0.002)
            now = self.read()
            if now != last:
                last, since = now, time.monotonic()
        return last


class ContainerVm:
    """What `vch` makes of the image; with `counts` its QEMU has the plugin."""

    def __init__(self, build, scratch, image, counts=None):
        self._environment = dict(os.environ)
        if counts:
            self._environment["PATH"] = f"{wrap_qemu(build, scratch, counts)}:{os.environ['PATH']}"
        self.counter = Counter(counts) if counts else None
        self.vch = [os.path.join(build, "bin", "vch"), "--state", os.path.join(scratch, "state")]
        self.name = "bench-counted" if counts else "bench"
        # The plugin counts what is emulated; vch then gives both machines' processor, without erms,
        # whose instructions count for each byte.
        emulated = ["--accel", "tcg"] if counts else []
        self.call("run", "-d", *emulated, "--name", self.name, "--memory", f"{MEMORY}m",
                   f"dir:{image}", "/usr/bin/sleep", "1000000")
        wait_until(lambda: self.inspect()["Shim"]["Pid"], "a shim")

    def call(self, *words):
        done = subprocess.run([*self.vch, *words], env=self._environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise AssertionError(f"vch {words[0]}: {done.stderr.decode()}")
        return done.stdout

    def inspect(self):
        return json.loads(self.call("inspect", self.name))[0]

    def create_disks(self, image):
        """The disks of another container of this image, which never starts."""
        created = self.call("create", f"dir:{image}", "/usr/bin/true").split()[-1].decode()
        seen = json.loads(self.call("inspect", created))[0]
        return seen["Directory"]

    def close(self):
        self.call("rm", "-f", self.name)


def wrap_qemu(build, scratch, counts):
    """A folder for PATH whose QEMU counts."""
    folder = os.path.join(scratch, "counting")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "qemu-system-x86_64")
    with open(path, "w", encoding="ascii") as file:
        file.write(f"""#!/usr/bin/env python3
import os, sys
qemu = {shutil.which("qemu-system-x86_64")!r}
os.execv(qemu, [qemu, *sys.argv[1:], "-plugin", "{build}/tests/liblive_counts.so,out={counts}"])
""")
    os.chmod(path, 0o755)
    return folder


class OtherGuest:
    """QEMU with the other servers behind the ports in PORTS; sockets of the same names in `path`."""

    def __init__(self, build, scratch, made, disks, kvm, counts=None, words=""):
        """`words` for the kernel's command line: see guest_serve.sh."""
        self.counter = Counter(counts) if counts else None
        self.path = os.path.join(scratch, "counted" if counts else "timed")
        os.makedirs(self.path)
        accelerator = (["-accel", "kvm", "-cpu", "host"] if kvm and not counts else
                       ["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,-erms"])
        plugin = ["-plugin", f"{build}/tests/liblive_counts.so,out={counts}"] if counts else []
        ports = [word for name, port in PORTS.items() for word in (
            "-chardev", f"socket,id={name},path={self.path}/{name},server=on,wait=off",
            "-device", f"virtserialport,chardev={name},name={port}")]
        self._console = os.path.join(self.path, "console")
        self._process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "q35", *accelerator, *plugin, "-smp", "1",
             "-m", str(MEMORY), "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none",
             "-no-reboot", "-kernel", f"{build}/kernel/bzImage",
             "-initrd", f"{made}/initramfs.cpio", "-append", f"{command_line(build)} {words}",
             *disk("image", os.path.join(disks, "image.squashfs"), ",readonly=on"),
             *disk("writable", os.path.join(disks, "writable.ext4"), ""),
             # At each interrupt the guest asks the queues of all that there may be; the first is reserved.
             "-device", f"virtio-serial-pci,max_ports={len(PORTS) + 1}", *ports, "-serial", f"file:{self._console}",
             "-device", "virtio-rng-pci"],
            stdin=subprocess.DEVNULL)
        try:
            wait_until(self._serves, f"the servers' start in {self._console}")
        except AssertionError:
            self.close()
            raise

    def _serves(self):
        if self._process.poll() is not None:
            raise AssertionError(f"QEMU ended with {self._process.returncode}")
        return self.said(b"serving") > 0

    def said(self, word):
        """How often the guest's console did."""
        if not os.path.exists(self._console):
            return 0
        with open(self._console, "rb") as file:
            return file.read().count(word)

    def close(self):
        self._process.kill()
        self._process.wait()


def disk(serial, file, more):
    return ("-drive", f"if=none,id={serial},format=raw,cache=writeback,aio=threads,file={file}{more}",
            "-device", f"virtio-blk-pci,drive={serial},serial={serial}")
