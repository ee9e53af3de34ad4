"""Sessions of the SSH server with OpenSSH's client: nothing stays behind, nothing waits."""

import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import threading
import unittest

from login_fixture import FULL, TIMEOUT, LoginTest, wait_until

SESSIONS = 10000 if FULL else 200
KILLS = 500 if FULL else 20
MANY = 100
REPLACED = (200 << 20) if FULL else (20 << 20)  # bytes each way meanwhile
ENDS = 2000 if FULL else 40


class StreamsTest(LoginTest):
    line = 4096

    def one(self, kind, *words):
        data = os.urandom(random.randrange(100000))
        if kind == "echo":
            result, wanted = self.ssh(*words, "fake", "echo x; echo y >&2; exit 4"), (4, b"x\n")
        elif kind == "quick":
            result, wanted = self.ssh(*words, "fake", "exit 5"), (5, b"")
        elif kind == "cat":
            result, wanted = self.ssh(*words, "fake", "cat", stdin=data), (0, data)
        elif kind == "much":
            result, wanted = self.ssh(*words, "fake", f"head -c {len(data) * 30} /dev/zero"), (
                0, bytes(len(data) * 30))
        else:
            result, wanted = self.ssh(*words, "-tt", "fake", "printf x; exit 3"), (3, b"x")
        if (result.returncode, result.stdout) != wanted:
            raise AssertionError(f"{kind}: {result.returncode}, {result.stderr[-300:]}, "
                                 f"{len(result.stdout)} bytes of {len(wanted[1])}")

    def many(self, count, workers, choose):
        failed = []

        def work(seed):
            chooser = random.Random(seed)
            for _ in range(count // workers):
                kind, words = choose(chooser)
                try:
                    self.one(kind, *words)
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    failed.append(str(error))

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])

    @contextlib.contextmanager
    def halting(self, process):
        """Stops and continues it all the time, so that much comes to it at once."""
        ended = threading.Event()

        def jerk():
            chooser = random.Random(1)
            while not ended.wait(chooser.random() * 0.03) and process.poll() is None:
                process.send_signal(signal.SIGSTOP)
                ended.wait(chooser.random() * 0.02)
                process.send_signal(signal.SIGCONT)

        thread = threading.Thread(target=jerk)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def refused(self, path):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(path)
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(connection.recv(1), b"")

    def test_sessions_of_one_login_end_beside_refused_connections(self):
        forward = os.path.join(self.scratch, "forward")
        master = self.master("-L", f"{forward}:127.0.0.1:1")
        kinds = ("echo", "quick", "cat", "much", "tty")

        def choose(chooser):
            if chooser.random() < 0.2:
                self.refused(forward)
            return chooser.choice(kinds), ("-o", "ProxyCommand=false", "-S", master)

        with self.halting(self.agent.logins[0]):
            for workers in (1, 2, 8):
                self.many(SESSIONS // 3, workers, choose)

    def test_logins_of_their_own_end(self):
        kinds = ("echo", "quick", "cat", "much", "tty")
        self.many(SESSIONS // 5, 3, lambda chooser: (chooser.choice(kinds), ()))
        self.assert_all_gone()

    def test_an_end_of_input_that_comes_while_output_is_sent_is_told(self):
        # The library takes it then, and nothing else ever comes.
        master = self.master()
        chooser = random.Random(4)
        for i in range(ENDS):
            client = self.shared(master, "read x; head -c 500000 /dev/zero; cat >/dev/null")
            client.stdin.write(b"x\n")
            client.stdin.flush()
            out = client.stdout.read(chooser.randrange(1, 500000))
            client.stdin.close()
            out += client.stdout.read()
            self.assertEqual((client.wait(TIMEOUT), len(out)), (0, 500000), f"session {i}")
            client.stdout.close()
            client.stderr.close()

    def test_a_client_that_sends_faster_than_its_session_reads_is_held_back(self):
        # As libssh is, each byte that was taken of it opened the window anew, until it was too much.
        slow = "while [ $(head -c 65536 | wc -c) -gt 0 ]; do :; done; echo all"
        result = self.ssh("fake", slow, stdin=bytes(24 << 20))
        self.assertEqual((result.returncode, result.stdout), (0, b"all\n"), result.stderr[-300:])

    def test_new_keys_in_the_middle_change_nothing(self):
        data = os.urandom(3 << 20)
        result = self.ssh("-o", "RekeyLimit=100K", "fake", "cat", stdin=data)
        self.assertEqual((result.returncode, result.stdout == data), (0, True), result.stderr[-300:])

    def test_a_hundred_sessions_of_one_login_run_at_once(self):
        master = self.master()
        running = [self.shared(master, "cat") for _ in range(MANY)]
        for i, process in enumerate(running):
            process.stdin.write(f"{i}\n".encode())
            process.stdin.flush()
        for i, process in enumerate(running):
            self.assertEqual(process.stdout.readline(), f"{i}\n".encode())
        for process in running:
            process.stdin.close()
        for process in running:
            self.assertEqual((process.stdout.read(), process.wait(TIMEOUT)), (b"", 0))
            process.stdout.close()
            process.stderr.close()

    def test_another_link_process_is_not_noticed(self):
        ended, replaced = threading.Event(), 0

        def replace():
            nonlocal replaced
            chooser = random.Random(5)
            while not ended.wait(0.05 + chooser.random() * 0.2):
                self.agent.replace()
                replaced += 1

        data = os.urandom(REPLACED)
        master = self.master()
        thread = threading.Thread(target=replace)
        thread.start()
        try:
            result = self.ssh("fake", "cat", stdin=data)
            self.assertEqual((result.returncode, result.stdout == data), (0, True), result.stderr[-300:])
            self.many(SESSIONS // 5, 2, lambda chooser: (chooser.choice(("echo", "quick", "cat", "much", "tty")),
                                                         ("-o", "ProxyCommand=false", "-S", master)))
            self.many(SESSIONS // 20, 2, lambda chooser: (chooser.choice(("echo", "cat")), ()))
        finally:
            ended.set()
            thread.join()
        self.assertGreater(replaced, 5)

    def test_clients_that_are_killed_leave_nothing(self):
        chooser = random.Random(2)
        for _ in range(KILLS):
            client = subprocess.Popen(["ssh", "-F", self.agent.config, "fake",
                                       chooser.choice(("cat", "sleep 1000", "yes"))],
                                      stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            select.select([], [], [], chooser.random() * 0.3)
            client.kill()
            client.wait()
            client.stdin.close()
        self.assert_all_gone()


if __name__ == "__main__":
    unittest.main()
