"""Every combination of stdin, stdout and stderr."""

import hashlib
import os
import random
import subprocess
import threading

from vch_testing import FULL, VCH, VmTest, inspect, vch

MIB = 1 << 20


class Input(VmTest):
    def start(self, script, *flags, **more):
        more.setdefault("stdout", subprocess.PIPE)
        process = subprocess.Popen([VCH, "run", "--rm", "-i", *flags, "busybox", "sh", "-c", script],
                                   stdin=subprocess.PIPE, **more)
        self.addCleanup(process.__exit__, None, None, None)
        self.addCleanup(process.kill)
        return process

    def test_stdin_may_end_at_once(self):
        self.assert_ended(self.sh("cat; echo end", "-i", stdin=b""), 0, b"end\n", b"")

    def test_stdin_may_end_late(self):
        process = self.start("echo ready; cat; echo end")
        self.assertEqual(process.stdout.readline(), b"ready\n")
        for word in (b"one\n", b"two\n"):
            process.stdin.write(word)
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), word)
        process.stdin.close()
        self.assertEqual(process.stdout.read(), b"end\n")
        self.assertEqual(process.wait(), 0)

    def test_stdin_may_never_end(self):
        process = self.start("read line; echo got $line; exit 4")
        process.stdin.write(b"a word\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.read(), b"got a word\n")
        self.assertEqual(process.wait(), 4)

    def test_the_command_may_close_stdin(self):
        process = self.start("head -c 1; exec <&-; echo closed; exit 6")
        feeder = threading.Thread(target=self.feed, args=(process, b"x" * 4 * MIB))
        feeder.start()
        self.assertEqual(process.stdout.read(), b"xclosed\n")
        self.assertEqual(process.wait(), 6)
        feeder.join()

    @staticmethod
    def feed(process, content):
        try:
            process.stdin.write(content)
        except BrokenPipeError:
            pass

    def test_all_of_it_comes_back_with_its_digest(self):
        size, sent, back = (1024 if FULL else 32) * MIB, hashlib.sha256(), hashlib.sha256()
        process = self.start("cat")
        def feed():
            generator = random.Random(size)
            for _ in range(size // MIB):
                piece = generator.randbytes(MIB)
                sent.update(piece)
                process.stdin.write(piece)
            process.stdin.close()
        feeder = threading.Thread(target=feed)
        feeder.start()
        while piece := process.stdout.read(MIB):
            back.update(piece)
        feeder.join()
        self.assertEqual(back.hexdigest(), sent.hexdigest())
        self.assertEqual(process.wait(), 0)


class Output(VmTest):
    def test_bytes_of_every_kind_in_their_order(self):
        result = self.sh(r"printf 'a\0b'; printf '\0\377\r\n' >&2; printf 'no newline'; exit 2")
        self.assert_ended(result, 2, b"a\0bno newline", b"\0\xff\r\n")

    def test_a_command_may_close_its_outputs(self):
        self.assert_ended(self.sh("exec >&- 2>&-; exit 9"), 9, b"", b"")

    def test_a_reader_that_stops_loses_nothing(self):
        name = self.name()
        script = "head -c 16777216 /dev/urandom >/tmp/bytes; sha256sum </tmp/bytes >&2; cat /tmp/bytes"
        with subprocess.Popen([VCH, "run", "--name", name, "busybox", "sh", "-c", script],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            digest = hashlib.sha256(os.read(process.stdout.fileno(), 1))
            # The other stream goes on meanwhile, and so does the machine.
            told = process.stderr.readline().split()[0].decode()
            for _ in range(5):
                self.assertEqual(inspect(name)["State"], "running")
            while piece := process.stdout.read(MIB):
                digest.update(piece)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(digest.hexdigest(), told)

    def test_everybody_attached_sees_everything(self):
        name = self.name()
        script = "while read line; do [ $line = go ] && break; echo probe; done; cat /bin/busybox"
        with open("/bin/busybox", "rb") as file:
            busybox = file.read()
        self.assert_ended(vch("create", "-i", "--name", name, "busybox", "sh", "-c", script), 0)
        clients = [subprocess.Popen([VCH, "start", "-ai", name], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE)]
        def probe():
            clients[0].stdin.write(b"probe\n")
            clients[0].stdin.flush()
            return clients[0].stdout.readline()
        self.assertEqual(probe(), b"probe\n")
        for _ in range(2):
            client = subprocess.Popen([VCH, "attach", "--no-stdin", name], stdout=subprocess.PIPE)
            # It may come before or after any single probe: one will be its first.
            os.set_blocking(client.stdout.fileno(), False)
            while client.stdout.read(1) is None:
                self.assertEqual(probe(), b"probe\n")
            os.set_blocking(client.stdout.fileno(), True)
            clients.append(client)
        clients[0].stdin.write(b"go\n")
        clients[0].stdin.close()
        outputs = [b""] * len(clients)
        def read(i):
            outputs[i] = clients[i].stdout.read()
        readers = [threading.Thread(target=read, args=(i,)) for i in range(len(clients))]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        for i, client in enumerate(clients):
            self.assertEqual(client.wait(), 0)
            client.stdout.close()
            received = outputs[i]
            while received.startswith((b"probe\n", b"robe\n")):
                received = received[received.index(b"\n") + 1:]
            self.assertEqual(hashlib.sha256(received).digest(), hashlib.sha256(busybox).digest(), i)


class Detached(VmTest):
    def test_a_container_that_nobody_watches_removes_itself_if_told(self):
        name = self.name()
        result = vch("run", "-d", "--rm", "-i", "--name", name, "busybox", "cat")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assert_ended(vch("attach", name, stdin=b"last words"), 0, b"last words", b"")
        while vch("ps", "-aq", "--filter", f"name={name}").stdout:
            pass

    def test_nothing_is_said_before_somebody_listens(self):
        name = self.name()
        script = "echo first; echo first >&2"
        self.assert_ended(vch("create", "--name", name, "busybox", "sh", "-c", script), 0)
        self.assert_ended(vch("start", "-a", name), 0, b"first\n", b"first\n")

    def test_who_attaches_too_late_is_told_where_the_output_is(self):
        name = self.name()
        self.assertEqual(vch("run", "-d", "--name", name, "busybox", "echo", "words").returncode, 0)
        for _ in range(5):
            # It may come before, during or after the machine's end.
            result = vch("attach", name)
            if result.stdout:
                self.assert_ended(result, 0, b"words\n", b"")
            else:
                self.assert_one_line(result, result.returncode, name, "vch logs")
            self.assertEqual(vch("wait", name).stdout, b"0\n")
            self.assert_ended(vch("start", name), 0)
        self.assertEqual(vch("wait", name).stdout, b"0\n")
        self.assert_one_line(vch("attach", name), 1, name, "does not run", "vch logs")
