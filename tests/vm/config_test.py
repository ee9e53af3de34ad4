"""The configuration: shown, checked, and given to the agent by other ways than fw_cfg."""

import json
import os
import subprocess

from vch_testing import BUILD, VCH, VmTest, inspect, vch


class Commands(VmTest):
    def create(self, *arguments):
        name = self.name()
        self.assert_ended(vch("create", "--name", name, *arguments), 0)
        return name

    def write(self, text):
        path = os.path.join(self.scratch, "config.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def test_what_is_shown_is_whole_but_for_secrets_and_can_be_checked(self):
        name = self.create("-p", "127.0.0.1::80", "busybox", "true")
        shown = vch("config", "show", name)
        self.assert_ended(shown, 0, stderr=b"")
        config = json.loads(shown.stdout)
        self.assertEqual(config["id"], inspect(name)["Id"])
        self.assertEqual(config["primary"]["argv"], ["true"])
        self.assertEqual(config["network"]["interfaces"][0]["name"], "eth0")
        self.assertNotIn("secrets", config)
        self.assertNotIn("check_secret", config["journal"])
        path = self.write(shown.stdout.decode())
        self.assert_ended(vch("config", "validate", path), 0, b"", b"")
        self.assert_ended(vch("config", "validate", "-", stdin=shown.stdout), 0, b"", b"")

    def test_every_problem_has_a_line_with_its_field(self):
        config = json.loads(vch("config", "show", self.create("busybox", "true")).stdout)
        config["version"] = 7
        config["primary"]["stop_signal"] = 99
        config["root"]["read_only"] = True
        config["volumes"] = [{"path": "/data", "tmpfs": {}}, {"path": "/data/", "tmpfs": {}}]
        config["network"]["interfaces"][0]["published"] = [{"port": 80}]
        path = self.write(json.dumps(config))
        checked = vch("config", "validate", path)
        self.assert_ended(checked, 1, stderr=b"")
        fields = [line.split(": ")[1] for line in checked.stdout.decode().splitlines()]
        self.assertEqual(fields, ["version", "root.read_only", "volumes[1].path",
                                  "primary.stop_signal", "network.interfaces[0].published"])

    def test_what_is_no_configuration_is_another_failure(self):
        self.assert_one_line(vch("config", "validate", self.write('{"primry": {}}')), 2, "primry")
        self.assert_one_line(vch("config", "validate", self.write("hello")), 2, "not a ContainerVm")
        self.assert_one_line(vch("config", "validate", "/no/such"), 2, "/no/such")


def field(number, value):
    """A length-delimited field of a protobuf message."""
    tag = number << 3 | 2
    head = bytes((tag,)) if tag < 128 else bytes((tag & 127 | 128, tag >> 7))
    return head + bytes((len(value),)) + value


class ConfigDisk(VmTest):
    """A machine as another host would make it: no fw_cfg, the configuration on a small disk."""

    def boot(self, directory, *more, vmport="off"):
        def drive(name, file, read_only):
            return ["-drive", f"if=none,id={name},format=raw,file={file},readonly={read_only}",
                    "-device", f"virtio-blk-pci,drive={name},serial={name}"]
        command = ["qemu-system-x86_64", "-machine", f"q35,i8042=off,vmport={vmport},smbus=off", "-accel",
                   "tcg,thread=multi", "-cpu", "max", "-m", "256", "-nodefaults", "-no-user-config",
                   "-no-reboot", "-display", "none", "-serial", "file:console", "-cdrom",
                   os.path.join(BUILD, "bootstrap.iso"), *drive("image", "image.squashfs", "on"),
                   *drive("writable", "writable.ext4", "off"), "-device", "virtio-serial-pci",
                   "-chardev", "file,id=journal,path=journal,append=on", "-device",
                   "virtserialport,chardev=journal,name=org.tether.journal.0", "-chardev",
                   "null,id=link", "-device", "virtserialport,chardev=link,name=org.tether.link.0",
                   *more]
        subprocess.run(command, cwd=directory, check=True, timeout=240, stdin=subprocess.DEVNULL)

    def test_it_is_read_overwritten_and_gone(self):
        name = self.name()
        self.assert_ended(vch("create", "--name", name, "--network", "none", "busybox", "sh", "-c",
                              "cat /sys/block/vd*/serial; ls /sys/block | grep -c vd; "
                              "cat /sys/class/net/lan/address; ip addr show lan | grep -o 10.0.2.9"),
                        0)
        state = os.environ["VCH_STATE"]
        directory = os.path.join(state, "containers", inspect(name)["Id"])
        disk = os.path.join(self.scratch, "config.disk")
        # A card by its place on the bus, which vch never asks for.
        # QEMU's imitation of VMware's port, which says its version and nothing else, is passed over.
        lan = field(2, b"0000:00:1a.0") + field(3, b"lan") + field(4, b"10.0.2.9/24")
        config = os.path.join(self.scratch, "config.pb")
        with open(os.path.join(directory, "config.pb"), "rb") as made, open(config, "wb") as file:
            file.write(made.read() + field(17, field(1, lan)))
        self.assert_ended(vch("config", "disk", config, disk), 0, b"")
        with open(disk, "rb") as file:
            self.assertEqual(file.read(8), b"TETHRCFG")
        self.boot(directory, "-drive", f"if=none,id=config,format=raw,file={disk}", "-device",
                  "virtio-blk-pci,drive=config,serial=config", "-netdev", "user,id=lan", "-device",
                  "virtio-net-pci,netdev=lan,addr=1a.0,mac=02:00:5e:10:00:09,romfile=", vmport="on")
        self.assert_ended(vch("logs", name), 0,
                          b"imagewritable2\n02:00:5e:10:00:09\n10.0.2.9\n", b"")
        with open(disk, "rb") as file:
            self.assertEqual(file.read().strip(b"\0"), b"")
        # And now there is none.
        self.boot(directory, "-drive", f"if=none,id=config,format=raw,file={disk}", "-device",
                  "virtio-blk-pci,drive=config,serial=config")
        with open(os.path.join(directory, "journal"), "rb") as file:
            told = file.read()
        for words in (b"the configuration", b"fw_cfg: ", b"guestinfo: this is no VMware machine",
                      b"config disk: it is empty"):
            self.assertIn(words, told)
