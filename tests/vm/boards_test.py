"""One container on every board, firmware and device model that it is to start on, and what image builders add to an
ISO, each seen from inside a machine that boots it."""

import contextlib
import json
import os
import subprocess
import threading

from vch_testing import BUILD, TETHER_ISO, TIMEOUT, VmTest, inspect, vch

ISO = os.path.join(BUILD, "bootstrap.iso")
FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd"
# How many devices a driver has; what is not in the kernel has none.
SEEN = ("for d in virtio-pci vmw_pvscsi vmxnet3; do echo $d $(ls /sys/bus/pci/drivers/$d 2>/dev/null | grep -c ^0000); "
        "done")


class Board(VmTest):
    """Makes a container with vch, and starts it without."""

    def iso(self, *arguments):
        done = subprocess.run([TETHER_ISO, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def create(self, script, *flags):
        self.container = self.name()
        self.assert_ended(vch("create", "--name", self.container, *flags, "busybox", "sh", "-c", script), 0)
        self.directory = inspect(self.container)["Directory"]

    def disks(self, device="virtio-blk-pci"):
        words = []
        for name, file, read_only in (("image", "image.squashfs", "on"), ("writable", "writable.ext4", "off")):
            words += ["-drive", f"if=none,id={name},format=raw,file={file},readonly={read_only}",
                      "-device", f"{device},drive={name},serial={name}"]
        return words

    def command(self, machine, *words, ports="virtio-serial-pci", config=True):
        return ["qemu-system-x86_64", "-machine", machine, "-accel", "tcg,thread=multi", "-cpu", "max,-erms", "-m",
                "256", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", *words, "-device", ports,
                "-chardev", "file,id=journal,path=journal,append=on", "-device",
                "virtserialport,chardev=journal,name=org.tether.journal.0", "-chardev", "null,id=link", "-device",
                "virtserialport,chardev=link,name=org.tether.link.0",
                *(["-fw_cfg", "name=opt/org.tether/config,file=config.pb"] if config else [])]

    def boot(self, machine, *words, **more):
        words = words if "-serial" in words else ("-serial", "file:console", *words)
        subprocess.run(self.command(machine, *words, **more), cwd=self.directory, check=True, timeout=TIMEOUT,
                       stdin=subprocess.DEVNULL)

    @contextlib.contextmanager
    def machine(self, command):
        """Its serial port is a pair of pipes. What hangs is killed."""
        with subprocess.Popen(command, cwd=self.directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as machine:
            hang = threading.Timer(TIMEOUT, machine.kill)
            hang.start()
            try:
                yield machine
            finally:
                hang.cancel()
                machine.kill()

    def seen(self, machine, words):
        """Waits until its serial port has said this."""
        text = b""
        while words not in text:
            more = os.read(machine.stdout.fileno(), 4096)
            self.assertTrue(more, text[-2000:])
            text += more

    def console(self):
        with open(os.path.join(self.directory, "console"), "rb") as file:
            return file.read().decode(errors="replace")

    def uefi(self):
        return ["-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}", "-drive",
                f"if=pflash,format=raw,snapshot=on,file={VARIABLES}"]

    def cd(self, image=ISO, bus="ide.0"):
        return ["-drive", f"if=none,id=cd,format=raw,media=cdrom,readonly=on,file={image}", "-device",
                f"ide-cd,drive=cd,bus={bus}"]

    def assert_ran(self, virtio, pvscsi=0, vmxnet3=0):
        self.assert_ended(vch("logs", self.container), 0,
                          f"virtio-pci {virtio}\nvmw_pvscsi {pvscsi}\nvmxnet3 {vmxnet3}\n".encode(), b"")


class Boards(Board):
    """The devices are counted by drivers, so that none of these passes by another's."""

    def create_plain(self):
        self.create(SEEN, "--network", "none")

    def disk_image(self):
        image = os.path.join(self.scratch, "boot.img")
        self.iso("customise", ISO, "--format", "disk", "-o", image)
        return image

    def test_bios_and_an_ide_cd_with_vmwares_disks_and_network_card(self):
        self.create(f"{SEEN}; ip addr show eth0 | grep -o 10.0.2.15")
        config = json.loads(vch("config", "show", self.container).stdout)
        mac = config["network"]["interfaces"][0]["mac"]
        self.boot("pc,i8042=off,vmport=off", *self.cd(bus="ide.1"), "-device", "pvscsi", *self.disks("scsi-hd"),
                  "-netdev", "user,id=net", "-device", f"vmxnet3,netdev=net,mac={mac},romfile=")
        self.assert_ended(vch("logs", self.container), 0,
                          b"virtio-pci 1\nvmw_pvscsi 1\nvmxnet3 1\n10.0.2.15\n", b"")

    def test_bios_and_a_disk(self):
        self.create_plain()
        self.boot("q35,i8042=off", "-drive", f"if=none,id=boot,format=raw,readonly=on,file={self.disk_image()}",
                  "-device", "virtio-blk-pci,drive=boot,bootindex=0", *self.disks())
        self.assert_ran(4)

    def test_uefi_and_an_ahci_cd(self):
        self.create_plain()
        self.boot("q35,i8042=off", *self.uefi(), *self.cd(), *self.disks())
        self.assert_ran(3)
        self.assertNotIn("SeaBIOS", self.console())

    def test_uefi_and_a_sata_disk_with_vmwares_disks(self):
        self.create_plain()
        # The firmware at hand starts nothing from PVSCSI.
        self.boot("q35,i8042=off", *self.uefi(), "-drive",
                  f"if=none,id=boot,format=raw,snapshot=on,file={self.disk_image()}", "-device",
                  "ide-hd,drive=boot,bus=ide.0,bootindex=0", "-device", "pvscsi", *self.disks("scsi-hd"))
        self.assert_ran(1, pvscsi=1)

    def test_microvm_and_plain_files(self):
        self.create_plain()
        self.iso("extract", ISO, "-C", self.scratch)
        with open(f"{self.scratch}/cmdline", encoding="ascii") as file:
            line = file.read().strip()
        # With ACPI this board has no timer that an emulated processor could use; without it, nothing to power off.
        command = self.command("microvm,acpi=off", "-serial", "stdio", "-kernel", f"{self.scratch}/kernel", "-initrd",
                               f"{self.scratch}/initramfs", "-append", line, *self.disks("virtio-blk-device"),
                               ports="virtio-serial-device")
        with self.machine(command) as machine:
            self.seen(machine, b"reboot: System halted")
            machine.kill()
        self.assert_ran(0)

    def test_no_serial_port_and_a_console_on_another_one(self):
        self.create_plain()
        self.boot("q35,i8042=off", "-serial", "none", *self.cd(), *self.disks())
        self.assert_ran(3)
        loud = os.path.join(self.scratch, "loud.iso")
        # The kernel has one serial console, the first that its command line names.
        self.iso("customise", ISO, "--cmdline", "console=ttyS1 loglevel=7 panic=-1 cgroup_no_v1=all", "-o", loud)
        self.boot("q35,i8042=off", "-serial", "null", "-serial", "file:console", *self.cd(loud), *self.disks())
        self.assertIn("Run /init as init process", self.console())


class Customised(Board):
    """What image builders add, as the machine has it."""

    def write(self, name, text):
        path = os.path.join(self.scratch, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        return path

    def customise(self, *changes):
        iso = os.path.join(self.scratch, "own.iso")
        self.iso("customise", ISO, "-o", iso, *changes)
        return iso

    def test_certificates_arguments_hooks_and_a_configuration_of_its_own(self):
        self.create("cat /etc/ssl/certs/ca-certificates.crt /from-hook; grep -o site=here /proc/cmdline",
                    "--network", "none")
        pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
        say = "#!/tools/busybox sh\necho \"hook at $TETHER_STAGE\"\n"
        iso = self.customise(
            "--ca", self.write("ca.pem", pem), "--append", "site=here",
            "--config", os.path.join(self.directory, "config.pb"),
            "--hook", "early=" + self.write("10-early", say), "--hook", "stop=" + self.write("10-stop", say),
            "--hook", "root=" + self.write("10-root", say + "echo written >\"$TETHER_ROOT/from-hook\"\n"))
        self.boot("q35,i8042=off", *self.cd(iso), *self.disks(), config=False)
        self.assert_ended(vch("logs", self.container), 0, pem.encode() + b"written\nsite=here\n", b"")
        said = [line for line in self.console().splitlines() if line.startswith("hook at")]
        self.assertEqual(said, ["hook at early", "hook at root", "hook at stop"])

    def test_a_hook_that_fails_ends_the_start_by_its_name(self):
        self.create("echo never", "--network", "none")
        iso = self.customise("--hook", "root=" + self.write("20-bad", "#!/tools/busybox sh\nexit 3\n"))
        self.boot("q35,i8042=off", *self.cd(iso), *self.disks())
        self.assert_ended(vch("logs", self.container), 0, b"")
        with open(os.path.join(self.directory, "journal"), "rb") as file:
            told = file.read()
        self.assertIn(b"hook root/20-bad", told)
        self.assertIn(b"exit code 3", told)

    def test_a_shell_on_the_serial_port_before_the_container_starts(self):
        self.create("echo afterwards", "--network", "none")
        iso = self.customise("--debug-shell", "root")
        command = self.command("q35,i8042=off", "-serial", "stdio", *self.cd(iso), *self.disks())
        with self.machine(command) as machine:
            self.seen(machine, b"the machine goes on when this shell ends")
            seen = machine.communicate(b"/tools/busybox ls -d $TETHER_ROOT/bin\nexit\n")[0]
        self.assertIn(b"\n/run/tether/root/bin", seen)
        self.assert_ended(vch("logs", self.container), 0, b"afterwards\n", b"")
