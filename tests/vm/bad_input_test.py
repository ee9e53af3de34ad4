"""Bad input of every kind: one clear line, and the exit code as documented."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile

from vch_testing import BUILD, SOURCE, TETHER_ISO, VmTest, inspect, vch

NOBODY = 65534


def member(name, kind=tarfile.REGTYPE, content=b"", linkname=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), linkname
    return info, content


def tar(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


class Layout:
    """An OCI image layout with one gzip layer, to be damaged."""

    def __init__(self, directory, layer=None, config=None):
        self.directory = directory
        self.plain = layer if layer is not None else tar(member("hello", content=b"hi"))
        os.makedirs(f"{directory}/blobs/sha256")
        self.layer = self.blob(gzip.compress(self.plain))
        config = config or {
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/hello"]},
            "rootfs": {"type": "layers",
                       "diff_ids": ["sha256:" + hashlib.sha256(self.plain).hexdigest()]}}
        self.config = self.blob(json.dumps(config).encode())
        kind = "application/vnd.oci.image"
        self.manifest = self.blob(json.dumps({
            "schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
            "config": {**self.config, "mediaType": f"{kind}.config.v1+json"},
            "layers": [{**self.layer, "mediaType": f"{kind}.layer.v1.tar+gzip"}]}).encode())
        self.write("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        self.write("index.json", json.dumps({
            "schemaVersion": 2,
            "manifests": [{**self.manifest, "mediaType": f"{kind}.manifest.v1+json"}]}).encode())

    def write(self, name, content):
        with open(f"{self.directory}/{name}", "wb") as file:
            file.write(content)

    def blob(self, content):
        digest = hashlib.sha256(content).hexdigest()
        self.write(f"blobs/sha256/{digest}", content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    def path(self, descriptor):
        return f"{self.directory}/blobs/sha256/{descriptor['digest'][7:]}"


class Flags(VmTest):
    def refused(self, *arguments, code=125, words=()):
        self.assert_one_line(vch("run", *arguments), code, *words)

    def test_unknown_flag(self):
        self.refused("--no-such-flag", "busybox", words=["--no-such-flag"])

    def test_no_image(self):
        self.refused(words=["no image"])

    def test_no_command_at_all(self):
        self.assert_one_line(vch(), 2, "subcommand")

    def test_unknown_command(self):
        self.assert_one_line(vch("fly"), 2, "fly")

    def test_variable_without_a_name(self):
        self.refused("-e", "=x", "busybox", words=["-e '=x'", "name"])

    def test_env_file_that_is_not_there(self):
        self.refused("--env-file", "/no/such/file", "busybox", words=["/no/such/file", "No such"])

    def test_env_file_with_a_bad_line(self):
        path = os.path.join(self.scratch, "env")
        with open(path, "w", encoding="ascii") as file:
            file.write("GOOD=1\nBAD NAME=2\n")
        self.refused("--env-file", path, "busybox", words=[f"{path}:2", "BAD NAME"])

    def test_memory_that_is_no_size(self):
        self.refused("--memory", "lots", "busybox", words=["--memory", "lots", "512m"])

    def test_memory_that_is_too_little(self):
        self.refused("--memory", "1m", "busybox", words=["--memory", "1m", "between"])

    def test_no_processors(self):
        self.refused("--cpus", "0", "busybox", words=["--cpus", "'0'"])

    def test_processors_that_are_no_number(self):
        self.refused("--cpus", "many", "busybox", words=["--cpus", "many"])

    def test_relative_working_directory(self):
        self.refused("-w", "srv", "busybox", words=["'srv'", "absolute"])

    def test_stop_signal_that_is_none(self):
        self.refused("--stop-signal", "SIGNOPE", "busybox", words=["SIGNOPE"])

    def test_unknown_accelerator(self):
        self.refused("--accel", "warp", "busybox", "true", words=["warp", "auto", "kvm", "tcg"])

    def test_unknown_link(self):
        self.refused("--link", "string", "busybox", "true", words=["--link", "'string'", "uart"])

    def test_bad_name(self):
        self.refused("--name", "../x", "busybox", "true", words=["../x"])

    def test_host_directory_as_volume(self):
        self.refused("-v", "/srv:/data", "busybox", words=["/srv:/data", "vch volume create"])

    def test_volume_without_a_path(self):
        self.refused("-v", "data", "busybox", words=["'data'", "NAME:PATH"])

    def test_volume_on_a_relative_path(self):
        self.refused("-v", "data:x", "busybox", words=["'x'", "absolute"])

    def test_volume_with_an_unknown_mode(self):
        self.refused("-v", "data:/x:rx", "busybox", words=["'rx'", "ro"])

    def test_two_volumes_on_one_path(self):
        self.refused("-v", "one:/x", "-v", "two:/x", "busybox", words=["/x", "twice"])

    def test_volume_that_is_too_small(self):
        self.assert_one_line(vch("volume", "create", "tiny", "--size", "1k"), 1, "1024", "4 MiB")

    def test_container_that_is_not_there(self):
        self.assert_one_line(vch("inspect", "nobody-here"), 1, "nobody-here")

    def test_volume_that_is_not_there(self):
        self.assert_one_line(vch("volume", "rm", "nothing-here"), 1, "nothing-here")


class Images(VmTest):
    def refused(self, reference, *words, env=None):
        self.assert_one_line(vch("run", "--rm", reference, "/hello", env=env), 125, *words)

    def layout(self, *layer_members, config=None):
        directory = os.path.join(self.scratch, "layout")
        layer = tar(*layer_members) if layer_members else None
        return Layout(directory, layer, config)

    def test_name_that_is_nowhere_says_how_to_import(self):
        self.refused("localhost:1/no/such:image", "localhost:1/no/such:image", "vch image import")

    def test_reference_that_is_none(self):
        self.refused("UPPER CASE", "UPPER CASE")

    def test_layout_that_is_not_there(self):
        self.refused("oci:/no/such/layout", "/no/such/layout", "index.json")

    def test_layout_that_is_none(self):
        self.refused(f"oci:{self.scratch}", self.scratch, "index.json")

    def test_layer_whose_digest_differs(self):
        layout = self.layout()
        with open(layout.path(layout.layer), "r+b") as file:
            file.seek(12)
            file.write(b"\xff\xff")
        self.refused(f"oci:{layout.directory}", layout.layer["digest"])

    def test_layer_that_is_cut_short(self):
        layout = self.layout()
        os.truncate(layout.path(layout.layer), layout.layer["size"] - 7)
        self.refused(f"oci:{layout.directory}", layout.layer["digest"])

    def test_layer_that_is_missing(self):
        layout = self.layout()
        os.unlink(layout.path(layout.layer))
        self.refused(f"oci:{layout.directory}", layout.layer["digest"], "missing")

    def test_path_that_climbs_out(self):
        layout = self.layout(member("../../etc/passwd", content=b"x"))
        self.refused(f"oci:{layout.directory}", "../../etc/passwd")

    def test_hard_link_that_escapes(self):
        layout = self.layout(member("link", tarfile.LNKTYPE, linkname="../../../etc/shadow"))
        self.refused(f"oci:{layout.directory}", "../../../etc/shadow")

    def test_another_architecture(self):
        layout = self.layout(config={"architecture": "s390x", "os": "linux", "config": {},
                                     "rootfs": {"type": "layers", "diff_ids": ["sha256:0"]}})
        self.refused(f"oci:{layout.directory}", "s390x", "amd64")

    def test_archive_that_is_none(self):
        path = os.path.join(self.scratch, "archive.tar")
        with open(path, "wb") as file:
            file.write(b"not a tar archive " * 100)
        self.refused(f"docker-archive:{path}", path)

    def test_directory_that_is_not_there(self):
        self.refused("dir:/no/such/directory", "/no/such/directory", "No such file")

    def test_unreadable_file(self):
        """As an ordinary user: root could read it."""
        root = os.path.join(self.scratch, "root")
        os.makedirs(root)
        os.chmod(self.scratch, 0o755)
        with open(os.path.join(root, "secret"), "wb", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(b"nobody reads this")
        home = os.path.join(self.scratch, "home")
        os.makedirs(home)
        os.chown(home, NOBODY, NOBODY)
        result = subprocess.run(
            ["setpriv", f"--reuid={NOBODY}", "--clear-groups", os.path.join(BUILD, "bin", "vch"),
             "--state", f"{home}/state", "run", "--accel", "tcg", f"dir:{root}", "/secret"],
            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        self.assert_one_line(result, 125, f"{root}/secret", "denied")

    def test_skopeo_missing(self):
        self.refused("localhost:1/some/thing", "skopeo", env={"PATH": "/nonexistent"})


class Host(VmTest):
    def refused(self, *words, flags=(), env=None):
        self.assert_one_line(vch("run", "--rm", *flags, "busybox", "true", env=env), 125, *words)

    def test_qemu_missing(self):
        tools = os.path.join(self.scratch, "tools")
        os.makedirs(tools)
        for program in ("mke2fs", "sqfstar"):
            real = next(f"{d}/{program}" for d in ("/sbin", "/usr/sbin", "/usr/bin")
                        if os.path.exists(f"{d}/{program}"))
            os.symlink(real, f"{tools}/{program}")
        self.refused("qemu-system-x86_64", "qemu-system-x86", env={"PATH": tools})

    def test_iso_missing(self):
        self.refused("/no/such.iso", flags=["--iso", "/no/such.iso"])

    def test_iso_that_is_none(self):
        path = os.path.join(self.scratch, "some.iso")
        with open(path, "wb") as file:
            file.write(b"\0" * 100000)
        self.refused(path, "tether-iso", flags=["--iso", path])

    def test_kvm_that_does_not_work(self):
        """Even where there is one: another device stands in its place."""
        script = ('[ ! -e /dev/kvm ] || mount --bind /dev/null /dev/kvm && '
                  'exec "$1" run --rm --accel kvm busybox true')
        result = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "-", os.path.join(BUILD, "bin", "vch")],
            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        self.assert_one_line(result, 125, "KVM", "--accel tcg")

    def test_state_directory_that_cannot_be_made(self):
        self.refused("/proc/nowhere", env={"VCH_STATE": "/proc/nowhere"})

    def test_full_disk(self):
        """A state directory on a file system of 3 MiB."""
        mount_point = os.path.join(self.scratch, "small")
        os.makedirs(mount_point)
        layout = os.path.join(self.scratch, "layout")
        Layout(layout, tar(member("big", content=os.urandom(8 << 20))))
        script = ('mount -t tmpfs -o size=3m small "$1" && '
                  'exec "$2" --state "$1/state" run --rm "oci:$3" /hello')
        result = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "-", mount_point,
             os.path.join(BUILD, "bin", "vch"), layout],
            stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        self.assert_one_line(result, 125, "No space left on device")

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run(
                [os.path.join(BUILD, "bin", "vch"), "run", "--rm", "busybox", "echo", "x"],
                stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE, check=False,
                timeout=120)
        self.assert_one_line(result, 125, "stdout", "No space left on device")


class Agent(VmTest):
    """What only the agent can find out: it reaches the person as one line."""

    def tampered(self, change):
        """Makes a container, changes its directory, and starts it."""
        name = self.name()
        made = vch("create", "--name", name, "busybox", "true")
        self.assertEqual(made.returncode, 0, made.stderr)
        change(inspect(name)["Directory"])
        return vch("start", "-a", name)

    def with_config(self, text):
        """The same with a ContainerVm message in protobuf's text form."""
        def change(directory):
            message = subprocess.run(
                ["protoc", f"--proto_path={SOURCE}", "--encode=tether.v1.ContainerVm",
                 "protocol/container_vm.proto"], cwd=SOURCE, input=text.encode(),
                stdout=subprocess.PIPE, check=True).stdout
            with open(f"{directory}/config.pb", "rb") as file:
                key = subprocess.run(
                    ["protoc", "--decode_raw"], stdin=file, stdout=subprocess.PIPE,
                    check=True).stdout
            self.assertIn(b"5 {", key)  # the secrets are there; the message below keeps none
            with open(f"{directory}/config.pb", "wb") as file:
                file.write(message)
        return self.tampered(change)

    MINIMAL = """
        version: 1 id: "%s" primary { argv: "true" } disk_timeout_ms: 300
        links { virtio_serial { port: "org.tether.link.0" } }
        secrets { link_key: "0123456789abcdef0123456789abcdef" }
        root { image { serial: "%s" file_system: "%s" } }
        """

    def test_no_config(self):
        def change(directory):
            os.truncate(f"{directory}/config.pb", 0)
        self.assert_one_line(self.tampered(change), 125, "config")

    def test_config_that_is_no_message(self):
        def change(directory):
            with open(f"{directory}/config.pb", "wb") as file:
                file.write(b"\xff" * 100)
        self.assert_one_line(self.tampered(change), 125, "parse config")

    def test_config_with_a_bad_field(self):
        result = self.with_config(self.MINIMAL % ("a" * 64, "image", "fat"))
        self.assert_one_line(result, 125, "root.image.file_system", "'fat'", "squashfs")

    def test_disk_that_is_not_there(self):
        result = self.with_config(self.MINIMAL % ("a" * 64, "elsewhere", "squashfs"))
        self.assert_one_line(result, 125, "find disk", "elsewhere")

    def test_image_that_cannot_be_mounted(self):
        def change(directory):
            os.unlink(f"{directory}/image.squashfs")
            with open(f"{directory}/image.squashfs", "wb") as file:
                file.write(os.urandom(1 << 20))
        self.assert_one_line(self.tampered(change), 125, "mount image")

    def test_writable_disk_that_is_damaged(self):
        def change(directory):
            with open(f"{directory}/writable.ext4", "r+b") as file:
                file.write(b"\0" * (1 << 20))
        self.assert_one_line(self.tampered(change), 125, "root of container", "e2fsck")

    def test_image_disk_that_is_gone(self):
        def change(directory):
            os.unlink(f"{directory}/image.squashfs")
        self.assert_one_line(self.tampered(change), 125, "image.squashfs")

    def test_user_that_is_not_there(self):
        self.assert_one_line(self.run_vm("-u", "nobody-here", "busybox", "true"), 125,
                             "nobody-here")

    def test_directory_as_command(self):
        self.assert_one_line(self.run_vm("busybox", "/etc"), 126, "/etc")

    def test_script_without_its_interpreter(self):
        script = "printf '#!/no/such/interpreter\\n' >/x; chmod 755 /x; exec /x"
        self.assert_ended(self.sh(script), 127)

    def test_working_directory_that_is_a_file(self):
        self.assert_one_line(self.run_vm("-w", "/etc/passwd", "busybox", "true"), 125,
                             "/etc/passwd")


class IsoBuilder(VmTest):
    def refused(self, *arguments, words=()):
        result = subprocess.run([TETHER_ISO, *arguments], stdin=subprocess.DEVNULL,
                                capture_output=True, check=False, timeout=60)
        text = result.stderr.decode()
        self.assertEqual(result.returncode, 1, text)
        self.assertEqual(text.count("\n"), 1, text)
        for word in words:
            self.assertIn(word, text)

    def test_kernel_that_is_none(self):
        self.refused("build", "--kernel", "/etc/passwd", "--agent", f"{BUILD}/bin/tether",
                     "-o", f"{self.scratch}/x.iso", words=["/etc/passwd"])
        self.assertFalse(os.path.exists(f"{self.scratch}/x.iso"))

    def test_agent_that_is_not_static(self):
        self.refused("build", "--kernel", f"{BUILD}/kernel/bzImage", "--agent", "/bin/ls",
                     "-o", f"{self.scratch}/x.iso", words=["/bin/ls"])

    def test_iso_that_is_none(self):
        self.refused("inspect", "/etc/passwd", words=["/etc/passwd"])
