"""vch cp: files in and out of a running container, one machine for all of it."""

import hashlib
import io
import os
import random
import signal
import subprocess
import tarfile

from vch_testing import VCH, VmTest, inspect, vch


class Copy(VmTest):
    @classmethod
    def setUpClass(cls):
        cls.container = f"copy-{os.getpid()}"
        cls.addClassCleanup(vch, "rm", "-f", cls.container)
        started = vch("run", "-d", "--name", cls.container, "busybox", "sleep", "1000000")
        assert started.returncode == 0, started.stderr

    def inside(self, script):
        """The output of a shell script in the container."""
        result = vch("exec", self.container, "sh", "-c", script)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode()

    def cp(self, *arguments, **more):
        result = vch("cp", *arguments, **more)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    def at(self, path):
        return f"{self.container}:{path}"

    def path(self, *parts):
        return os.path.join(self.scratch, *parts)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def test_a_file_goes_in_and_comes_back(self):
        content = os.urandom(3000000)
        source = self.write("file", content)
        os.chmod(source, 0o741)
        self.cp(source, self.at("/srv-file"))
        digest, mode, owner = self.inside(
            "sha256sum /srv-file | cut -d' ' -f1; stat -c %a /srv-file; stat -c %u:%g /srv-file"
        ).split()
        self.assertEqual(digest, hashlib.sha256(content).hexdigest())
        self.assertEqual((mode, owner), ("741", "0:0"))
        self.cp(self.at("/srv-file"), self.path("back"))
        self.assertEqual(self.read("back"), content)
        self.cp(self.at("/srv-file"), self.scratch)
        self.assertEqual(self.read("srv-file"), content)

    def test_a_directory_becomes_what_is_missing_and_goes_into_what_is_there(self):
        os.makedirs(self.path("tree", "deep"))
        self.write("tree/a", b"a")
        self.write("tree/deep/b", b"b")
        os.symlink("deep/b", self.path("tree", "link"))
        self.cp(self.path("tree"), self.at("/t1"))
        self.cp(self.path("tree"), self.at("/t1"))
        self.cp(self.path("tree") + "/.", self.at("/tmp"))
        self.assertEqual(
            self.inside("cat /t1/a /t1/deep/b /t1/tree/link /tmp/link; readlink /t1/link"),
            "abbbdeep/b\n")
        self.cp(self.at("/t1/tree"), self.path("out"))
        self.assertEqual(self.read("out/deep/b"), b"b")
        self.assertEqual(os.readlink(self.path("out", "link")), "deep/b")
        self.cp(self.at("/t1/."), self.path("out"))
        self.assertEqual(self.read("out/tree/a"), b"a")

    def test_tar_streams_on_stdin_and_stdout(self):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
            member = tarfile.TarInfo("d/f")
            member.size, member.uid, member.gid, member.mode = 5, 12, 34, 0o640
            tar.addfile(member, io.BytesIO(b"hello"))
        self.inside("mkdir -p /streams/owned")
        self.cp("-", self.at("/streams"), stdin=stream.getvalue())
        self.cp("-a", "-", self.at("/streams/owned"), stdin=stream.getvalue())
        self.assertEqual(self.inside("stat -c %u:%g:%a /streams/d/f /streams/owned/d/f"),
                         "0:0:640\n12:34:640\n")
        out = self.cp(self.at("/streams/owned"), "-").stdout
        with tarfile.open(fileobj=io.BytesIO(out)) as tar:
            self.assertEqual(tar.extractfile("owned/d/f").read(), b"hello")
            self.assertEqual(tar.getmember("owned/d/f").uid, 12)

    def copies(self):
        """The sessions of copies that run."""
        return [session["Id"] for session in inspect(self.container)["Agent"]["Sessions"]
                if not session["Command"] and not session["Primary"] and session["State"] == "running"]

    def begin(self, *arguments):
        """A copy from or to a pipe of ours, once it runs."""
        process = subprocess.Popen([VCH, "cp", *arguments], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        while not self.copies():
            self.assertIsNone(process.poll())
        return process

    def test_a_copy_outlives_shim_and_link_process(self):
        content = random.Random(3).randbytes(3 << 20)
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            member = tarfile.TarInfo("survivor")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        stream = stream.getvalue()
        with self.begin("-", self.at("/tmp")) as process:
            process.stdin.write(stream[:1 << 20])
            self.assertEqual(vch("restart-link", self.container).returncode, 0)
            process.stdin.write(stream[1 << 20:2 << 20])
            os.kill(inspect(self.container)["Shim"]["Pid"], signal.SIGKILL)
            process.stdin.write(stream[2 << 20:])
            process.stdin.close()
        self.assertEqual(process.returncode, 0)
        self.assertEqual(self.inside("sha256sum </tmp/survivor").split()[0],
                         hashlib.sha256(content).hexdigest())

    def test_a_copy_ends_with_its_client(self):
        self.inside("head -c 5000000 /dev/zero >/large")
        for arguments in (("-", self.at("/tmp")), (self.at("/large"), "-")):
            with self.subTest(arguments), self.begin(*arguments) as process:
                process.kill()
                while self.copies():
                    pass

    def test_links_are_resolved_inside(self):
        self.inside("mkdir -p /real /etc; ln -sfn /real /etc/way; ln -sfn /etc/passwd /to-passwd")
        source = self.write("f", b"inside")
        self.cp(source, self.at("/etc/way/f"))
        self.assertEqual(self.inside("cat /real/f"), "inside")
        self.cp(self.at("/to-passwd"), self.path("link"))
        self.assertEqual(os.readlink(self.path("link")), "/etc/passwd")
        self.cp("-L", self.at("/to-passwd"), self.path("followed"))
        self.assertEqual(self.read("followed").decode(), self.inside("cat /etc/passwd"))

    def test_a_hostile_stream_stays_where_it_was_sent(self):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name in ("../up", "/absolute", "good"):
                member = tarfile.TarInfo(name)
                member.size = 1
                tar.addfile(member, io.BytesIO(b"x"))
            link = tarfile.TarInfo("way")
            link.type, link.linkname = tarfile.SYMTYPE, "/real-target"
            tar.addfile(link)
            member = tarfile.TarInfo("way/through")
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
        self.inside("mkdir -p /confined /real-target")
        result = vch("cp", "-", self.at("/confined"), stdin=stream.getvalue())
        self.assertEqual(result.returncode, 1)
        self.assertEqual(self.inside("ls /confined; ls /real-target; ls /up /absolute 2>&1 | wc -l"),
                         "good\nway\n2\n")

    def test_the_guest_cannot_put_its_files_elsewhere_on_the_host(self):
        # Its links and set-user-ID programs come as what they are: a link, and a plain file.
        self.inside("mkdir -p /evil; cp /bin/busybox /evil/su; chmod 6755 /evil/su; "
                    "ln -sfn / /evil/root; ln -sfn ../../../../escape /evil/up")
        self.cp(self.at("/evil"), self.path("evil"))
        self.assertEqual(os.stat(self.path("evil", "su")).st_mode & 0o7777, 0o755)
        self.assertEqual(os.readlink(self.path("evil", "root")), "/")

    def test_what_cannot_be_is_one_line(self):
        for arguments, words in (
            ((self.at("/none"), self.scratch), ("/none", "No such file")),
            ((self.path("none"), self.at("/")), ("none", "No such file")),
            ((self.write("f", b""), self.at("/none/")), ("/none/", "no such directory")),
            ((self.scratch, self.at("/etc/passwd")), ("directory", "/etc/passwd")),
            (("a", "b"), ("CONTAINER:PATH",)),
            (("no-such-container:/a", "b"), ("no-such-container",)),
            (("-", self.at("/etc/passwd")), ("/etc/passwd",)),
        ):
            self.assert_one_line(vch("cp", *arguments), 1, *words)

    def test_proc_is_left_out_of_a_copy_of_everything(self):
        result = subprocess.run(
            ["tar", "-t"], input=self.cp(self.at("/"), "-").stdout, capture_output=True, check=True)
        names = result.stdout.decode().split("\n")
        self.assertIn("./etc/passwd", names)
        self.assertFalse([name for name in names if name.startswith("./proc/")])
