"""A machine without vch: its configuration, its disks, and QEMU."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from .journal import records

SCHEMA_FILES = ("container_vm.proto", "control.proto")


def make_image(directory, busybox="/bin/busybox"):
    """A squashfs with a static busybox under the names a shell expects. Returns its path."""
    tree, image = Path(directory) / "tree", Path(directory) / "image.squashfs"
    for name in ("bin", "dev", "proc", "sys", "tmp", "etc"):
        (tree / name).mkdir(parents=True)
    shutil.copy2(busybox, tree / "bin/busybox")
    for applet in subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if applet != "busybox":
            (tree / "bin" / applet).symlink_to("busybox")
    subprocess.run(["mksquashfs", tree, image, "-all-root", "-quiet", "-no-progress"], check=True)
    shutil.rmtree(tree)
    return image


def make_ext4(path, size="64M"):
    """An empty ext4 as a sparse file."""
    subprocess.run(["mke2fs", "-q", "-t", "ext4", path, size], check=True, stdout=subprocess.DEVNULL)


class Machine:
    """One containerVM, all of whose files lie in `directory`: config, key, link.sock, journal, console."""

    def __init__(self, directory, schema, accelerator="tcg"):
        self.directory, self.accelerator = Path(directory), accelerator
        self.key = os.urandom(32)
        self.journal_secret = int.from_bytes(os.urandom(4), "little")
        self.link = self.directory / "link.sock"
        self._schema, self._process = schema, None

    async def start(self, iso, image, primary, writable=None):
        """`primary`: a Session as a dict. Returns when QEMU runs; the link's socket takes connections then."""
        config = {
            "version": 1,
            "id": os.urandom(32).hex(),
            "secrets": {"link_key": self.key},
            "root": {"image": {"serial": "image", "file_system": "squashfs"}},
            "primary": primary,
            "links": [{"virtio_serial": {"port": "org.tether.link.0"}}],
            "journal": {"port": "org.tether.journal.0", "check_secret": self.journal_secret},
        }
        disks = [("image", image, "on")]
        if writable:
            config["root"]["writable"] = {"serial": "writable", "file_system": "ext4"}
            disks.append(("writable", writable, "off"))
        (self.directory / "config").write_bytes(self._schema.encode("ContainerVm", config))
        (self.directory / "key").write_bytes(self.key)
        self._process = await asyncio.create_subprocess_exec(*self._command(iso, disks))
        while not self.link.exists() and self._process.returncode is None:
            await asyncio.sleep(0.01)

    def _command(self, iso, disks):
        here = self.directory
        yield from ("qemu-system-x86_64", "-machine", "q35", "-accel", self.accelerator)
        yield from ("-cpu", "host" if self.accelerator == "kvm" else "max", "-m", "256", "-display", "none")
        yield from ("-nodefaults", "-no-user-config", "-no-reboot", "-cdrom", iso)
        yield from ("-serial", f"file:{here}/console", "-fw_cfg", f"name=opt/org.tether/config,file={here}/config")
        for serial, path, read_only in disks:
            yield from ("-drive", f"if=none,id={serial},format=raw,readonly={read_only},file={path}")
            yield from ("-device", f"virtio-blk-pci,drive={serial},serial={serial}")
        yield from ("-device", "virtio-serial-pci")
        yield from ("-chardev", f"file,id=journal,path={here}/journal,append=on")
        yield from ("-device", "virtserialport,chardev=journal,name=org.tether.journal.0")
        yield from ("-chardev", f"socket,id=link,path={self.link},server=on,wait=off")
        yield from ("-device", "virtserialport,chardev=link,name=org.tether.link.0")

    def journal(self):
        return list(records((self.directory / "journal").read_bytes(), self.journal_secret))

    async def ended(self):
        """Waits for the machine's end by itself; QEMU's exit code."""
        return await self._process.wait()

    async def kill(self):
        if self._process and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
