"""vch debug: a shell of our own in a container, and what is known about one in a file."""

import io
import os
import tarfile

from vch_testing import VmTest, inspect, vch


class Debug(VmTest):
    def test_a_shell_and_its_tools_in_the_containers_namespaces(self):
        name = self.name()
        # What the image has is out of the way: the tools are not its own.
        self.assert_ended(vch("run", "-d", "--name", name, "--hostname", "box", "busybox", "sh", "-c",
                              "echo kept >/mark; exec sleep 1000000"), 0)
        script = (b"while [ $(cat /proc/1/comm) != sleep ]; do usleep 10000; done; "
                  b"readlink /proc/self/exe; cat /mark; hostname; cat /proc/1/comm; touch /made; exit 9\n")
        self.assert_ended(vch("debug", name, stdin=script), 9,
                          b"/memfd:busybox (deleted)\nkept\nbox\nsleep\n")
        self.assert_ended(vch("debug", name, "ls", "/made"), 0, b"/made\n")
        self.assertEqual(vch("debug", name, "no-such-tool").returncode, 127)

    def test_a_bundle_of_a_failed_start_says_why_and_holds_no_secret(self):
        name, bundle = self.name(), os.path.join(self.scratch, "bundle.tar")
        failed = vch("run", "--name", name, "-e", "PASSWORD=never-to-be-seen", "busybox", "/no/such")
        self.assertEqual(failed.returncode, 127)
        self.assert_ended(vch("debug", "--bundle", bundle, name), 0, b"", b"")
        with open(bundle, "rb") as file:
            content = file.read()
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            events = tar.extractfile(f"{name}/events.txt").read().decode()
            self.assertIn(f"{name}/inspect.json", tar.getnames())
            self.assertIn(f"{name}/console.log", tar.getnames())
            self.assertIn("accelerator", tar.extractfile(f"{name}/host.txt").read().decode())
        self.assertIn("/no/such", events)
        self.assertFalse(b"never-to-be-seen" in content)  # its own words would fill a page
        directory = os.path.join(os.environ["VCH_STATE"], "containers", inspect(name)["Id"])
        with open(os.path.join(directory, "config.pb"), "rb") as file:
            config = file.read()
        key = config[config.index(b"\x0a\x20") + 2:][:32]  # Secrets.link_key
        self.assertEqual(len(key), 32)
        self.assertFalse(key in content)

    def test_what_cannot_be_is_one_line(self):
        name = self.name()
        self.assert_ended(vch("create", "--name", name, "busybox", "true"), 0)
        self.assert_one_line(vch("debug", name), 1, name, "does not run")
        self.assert_one_line(vch("debug", "--bundle", "/no/such/place", name), 1, "/no/such/place")
        self.assert_one_line(vch("debug"), 1, "no container")
