"""Images of every form become the same containers."""

import os
import subprocess

from vch_testing import SOURCE, VmTest, vch


def path_of(image):
    """Where scripts/images keeps what it made."""
    return subprocess.run([f"{SOURCE}/scripts/images", "--path", image], stdout=subprocess.PIPE,
                          check=True, text=True).stdout.split()[-1]


class Forms(VmTest):
    def test_layers_are_flattened_with_everything_in_them(self):
        self.assert_ended(self.run_vm("layers", "/check"), 0, b"all as it should be\n", b"")

    def test_a_layout_is_run_from_where_it_lies(self):
        result = self.run_vm(f"oci:{path_of('layers')}/oci", "/check")
        self.assert_ended(result, 0, b"all as it should be\n", b"")

    def test_a_docker_archive_is_run_from_where_it_lies(self):
        result = self.run_vm(f"docker-archive:{path_of('layers')}/docker-archive.tar", "/check")
        self.assert_ended(result, 0, b"all as it should be\n", b"")

    def test_a_directory_is_run_from_where_it_lies(self):
        root = os.path.join(self.scratch, "root")
        os.makedirs(f"{root}/bin")
        with open("/bin/busybox", "rb") as source, open(f"{root}/bin/sh", "wb") as target:
            target.write(source.read())
        os.chmod(f"{root}/bin/sh", 0o755)
        with open(f"{root}/file", "w", encoding="ascii") as file:
            file.write("first\n")
        result = self.run_vm(f"dir:{root}", "/bin/sh", "-c", "while read l; do echo $l; done </file")
        self.assert_ended(result, 0, b"first\n", b"")
        with open(f"{root}/file", "w", encoding="ascii") as file:
            file.write("second\n")
        result = self.run_vm(f"dir:{root}", "/bin/sh", "-c", "while read l; do echo $l; done </file")
        self.assert_ended(result, 0, b"second\n", b"")

    def test_debian_runs(self):
        result = self.sh("cat /etc/os-release; dpkg --get-selections | wc -l; perl -e 'print 6*7'",
                         image="debian")
        self.assert_ended(result, 0, stderr=b"")
        self.assertIn(b'VERSION_CODENAME=bookworm', result.stdout)
        self.assertTrue(result.stdout.endswith(b"42"))

    def test_what_the_image_says_is_honoured(self):
        """The layers image has Env, WorkingDir, Labels and Cmd of its own."""
        result = self.sh("echo $LAYERS; pwd", image="layers")
        self.assert_ended(result, 0, b"three\n/data\n", b"")
        result = self.run_vm("-i", "-e", "LAYERS=mine", "layers", stdin=b"echo $LAYERS; exit 4\n")
        self.assert_ended(result, 4, b"mine\n", b"")  # Cmd is sh


class Store(VmTest):
    def test_names_come_and_go_and_containers_keep_their_disk(self):
        tag, container = f"gone:{os.getpid()}", self.name()
        self.assert_ended(vch("image", "import", f"oci:{path_of('busybox')}/oci", tag), 0)
        self.assertIn(tag.split(":")[1].encode(), vch("image", "ls").stdout)
        self.assert_ended(vch("create", "--name", container, tag, "echo", "still here"), 0)
        self.assert_ended(vch("image", "rm", tag), 0, f"{tag}\n".encode())
        self.assertNotIn(tag.encode(), vch("image", "ls").stdout)
        self.assert_one_line(vch("image", "rm", tag), 1, tag)
        self.assert_ended(vch("start", "-a", container), 0, b"still here\n", b"")
