"""The SSH door, with OpenSSH's own unmodified clients."""

import contextlib
import hashlib
import os
import random
import re
import select
import socket
import subprocess
import threading
import unittest

from ssh_fixture import LONG, SshMachineTest, digests, wait_until
from terminal import Terminal
from traffic import Stream
from traffic import Terminal as TypedTerminal
from vch_testing import FULL, TIMEOUT, VCH, inspect, vch

FILES = 10000 if FULL else 60
LARGE = (1 << 30) if FULL else (1 << 19)
SHARED = 2000 if FULL else 40  # sessions one after the other
KILLS = 500 if FULL else 8
MANY = 100
KEPT = 32  # descriptors: of rings that wait for the next sessions, 16 at most


class SshTest(SshMachineTest):
    def test_a_command_has_its_streams_its_user_and_its_end(self):
        everything = self.ssh("cat; echo to stderr >&2; exit 7", stdin=b"from\0stdin")
        self.assert_ended(everything, 7, b"from\0stdin", b"to stderr\n")
        by_vch = vch("ssh", self.container, "echo $HOME $USER $SHELL; pwd; id -u")
        self.assert_ended(by_vch, 0, b"/root root /bin/sh\n/root\n0\n", b"")
        # daemon's shell is /bin/false, which is what runs.
        self.assertEqual(vch("ssh", f"daemon@{self.container}", "id").returncode, 1)
        for words in (("-l", "daemon"), ("-vo", "User=daemon"), ("-L", f"{self.scratch}/l:a:1", "-ldaemon")):
            shown = vch("ssh", self.container, *words, "-G").stdout.splitlines()
            self.assertIn(b"user daemon", shown, words)
        self.assertIn(b"user root", vch("ssh", self.container, "-G", "id", "-l").stdout.splitlines())
        killed = self.run_program("ssh", "-v", self.host, "kill -SEGV $$")
        self.assertEqual(killed.returncode, 255)
        self.assertIn(b"rtype exit-signal", killed.stderr)
        chosen = self.ssh("-o", "SetEnv=LC_TETHER=yes PATH=no", "echo $LC_TETHER; echo $PATH")
        self.assertRegex(chosen.stdout, rb"^yes\n/")

    def test_a_command_is_bytes_and_is_shown_as_text(self):
        command = b"printf %s caf\xe9 | od -An -tx1; cat"
        client = subprocess.Popen(["ssh", "-F", self.config, self.host, command],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.assertEqual(client.stdout.readline().split(), [b"63", b"61", b"66", b"e9"])
        shown = [session["Command"] for session in inspect(self.container)["Agent"]["Sessions"]]
        self.assertIn(["printf %s caf\\xe9 | od -An -tx1; cat"], shown)
        out, _ = client.communicate(timeout=TIMEOUT)
        self.assertEqual((client.returncode, out), (0, b""))

    def test_large_streams_arrive_whole_both_ways(self):
        content = os.urandom(LARGE)
        result = self.ssh("cat", stdin=content)
        self.assertEqual(result.returncode, 0, result.stderr[-500:])
        self.assertEqual(hashlib.sha256(result.stdout).digest(), hashlib.sha256(content).digest())

    def test_a_terminal_is_one(self):
        terminal = Terminal(self, columns=91, rows=27)
        terminal.line("stty erase '^H' iutf8")
        terminal.line(f"vch ssh {self.container}")
        terminal.wait_for(r"# $", after=self.container)
        terminal.ask("stty size", r"27 91")
        terminal.ask("stty -a", r"(?s)erase = \^H;.* iutf8\s")
        terminal.ask("echo $TERM $0", r"(tmux|screen|xterm)\S* -sh")
        # A key that comes before the shell has read its line is no signal, and stays unread.
        command = "sh -c 'echo run''s; exec sleep 100000'"
        terminal.line(command)
        terminal.wait_for(r"runs", after=command)
        terminal.keys("C-c")
        terminal.ask("echo over $?", r"over 130")
        terminal.line("trap 'stty size' WINCH")
        terminal.resize(103, 31)
        terminal.ask("sleep 1; stty size", r"31 103")
        terminal.line("exit 5")
        terminal.wait_for(r"host> $", after="exit 5")
        terminal.ask("echo ended $?", r"ended 5")

    def test_files_go_in_and_out_by_scp_sftp_and_rsync(self):
        tree = os.path.join(self.scratch, "tree")
        for i in range(FILES):
            place = os.path.join(tree, str(i % 10), "deep" if i % 3 else "")
            os.makedirs(place, exist_ok=True)
            with open(os.path.join(place, f"file {i} é"), "wb") as file:
                file.write(os.urandom(i * 37 % 5000))
        if FULL:
            with open(os.path.join(tree, "large"), "wb") as file:
                for _ in range(LARGE >> 20):
                    file.write(os.urandom(1 << 20))
        os.symlink("0", os.path.join(tree, "link"))
        wanted = digests(tree)
        with self.subTest("sftp"):
            script = (f"put -r {tree} /tmp\nmkdir /tmp/made\nrename /tmp/tree /tmp/made/tree\n"
                      "chmod 711 /tmp/made\nls -l /tmp\nln -s made /tmp/made-link\n"
                      f"get -r /tmp/made/tree {self.scratch}/again\ndf /tmp\n"
                      "rm /tmp/made-link\n-rm /tmp/none\n")
            done = self.run_program("sftp", "-b", "-", self.host, stdin=script.encode())
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(b"drwx--x--x", done.stdout)
            # This client passes links over.
            files = {name: digest for name, digest in wanted.items() if name != "link"}
            self.assertEqual(digests(os.path.join(self.scratch, "again")), files)
        with self.subTest("rsync"):
            self.bring("/usr/bin/rsync")
            shell = f"ssh -F {self.config}"
            for source, target in ((tree + "/", f"{self.host}:/tmp/synced"),
                                   (f"{self.host}:/tmp/synced/", f"{self.scratch}/synced")):
                done = subprocess.run(["rsync", "-a", "-e", shell, source, target], check=False,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      timeout=LONG)
                self.assertEqual(done.returncode, 0, done.stdout)
            self.assertEqual(digests(os.path.join(self.scratch, "synced")), wanted)

    def test_sessions_of_one_login_end_beside_refused_connections(self):
        forward = os.path.join(self.scratch, "refused")
        master = self.master("-L", f"{forward}:127.0.0.1:1")
        commands = (("exit 5", 5, b"", b""), ("echo x; exit 4", 4, b"", b"x\n"),
                    ("cat", 0, b"some", b"some"), ("head -c 100000 /dev/zero", 0, b"", bytes(100000)))
        failed = []

        def work(seed):
            chooser = random.Random(seed)
            for _ in range(SHARED // 2):
                if chooser.random() < 0.3:
                    with socket.socket(socket.AF_UNIX) as refused:
                        refused.settimeout(TIMEOUT)
                        with contextlib.suppress(ConnectionError):
                            refused.connect(forward)
                            refused.recv(1)
                command, code, given, wanted = chooser.choice(commands)
                try:
                    done = self.ssh("-o", "ProxyCommand=false", "-S", master, command,
                                    stdin=given)
                    if (done.returncode, done.stdout) != (code, wanted):
                        failed.append((command, done.returncode, done.stderr[-200:]))
                except subprocess.TimeoutExpired:
                    failed.append((command, "never ended"))

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failed, [])

    def test_a_hundred_sessions_of_one_login_run_at_once(self):
        master = self.master()
        running = [subprocess.Popen(["ssh", "-F", self.config, "-o", "ProxyCommand=false", "-S",
                                     master, self.host, "cat"],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE) for _ in range(MANY)]
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

    def test_connections_lead_into_the_containers_network(self):
        self.assert_ended(self.ssh("mkdir -p /tmp/www; echo page >/tmp/www/page; "
                                   "httpd -p 127.0.0.1:8000 -h /tmp/www; "
                                   "echo '127.0.0.1 named' >>/etc/hosts"), 0)
        socks = os.path.join(self.scratch, "socks")
        paths = {host: os.path.join(self.scratch, host) for host in ("127.0.0.1", "named", "none")}
        words = [word for host, path in paths.items() for word in ("-L", f"{path}:{host}:8000")]
        self.master(*words, "-D", socks)

        def get(path, begin=b""):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(TIMEOUT)
                client.connect(path)
                answer = b""
                with contextlib.suppress(ConnectionError):
                    client.sendall(begin + b"GET /page HTTP/1.0\r\n\r\n")
                    while piece := client.recv(4096):
                        answer += piece
                return answer

        self.assertTrue(get(paths["127.0.0.1"]).endswith(b"\r\n\r\npage\n"))
        self.assertTrue(get(paths["named"]).endswith(b"\r\n\r\npage\n"))
        self.assertEqual(get(paths["none"]), b"")
        # SOCKS 4A, by name.
        greeting = b"\x04\x01\x1f\x40\x00\x00\x00\x01\x00named\x00"
        self.assertTrue(get(socks, greeting).endswith(b"\r\n\r\npage\n"))

    def test_git_clones_over_it(self):
        self.bring("/usr/bin/git")
        source = os.path.join(self.scratch, "source")
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
        for words in (["init", "-q", source],
                      ["-C", source, "commit", "-q", "--allow-empty", "-m", "the only one"]):
            subprocess.run([*git, *words], check=True)
        self.assert_ended(self.ssh("ln -sf git /usr/bin/git-upload-pack"), 0)
        done = self.run_program("scp", "-rq", source, f"{self.host}:/tmp/source.git")
        self.assertEqual(done.returncode, 0, done.stderr)
        copy = os.path.join(self.scratch, "copy")
        done = subprocess.run([*git, "clone", "-q", f"{self.host}:/tmp/source.git", copy],
                              env={**os.environ, "GIT_SSH_COMMAND": f"ssh -F {self.config}"},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        log = subprocess.run([*git, "-C", copy, "log", "--format=%s"], stdout=subprocess.PIPE,
                             check=True)
        self.assertEqual(log.stdout, b"the only one\n")

    def test_paramiko_runs_commands_and_moves_files(self):
        identity = vch("ssh-config").stdout.decode()
        key = re.search(r'IdentityFile "?([^"\n]+)', identity).group(1)
        script = f"""
import paramiko
line = paramiko.ProxyCommand({f'{VCH} dial {self.container} ssh'!r})
transport = paramiko.Transport(line)
transport.connect(username='root', pkey=paramiko.Ed25519Key.from_private_key_file({key!r}))
channel = transport.open_session()
channel.exec_command('cat; exit 6')
channel.sendall(b'through')
channel.shutdown_write()
print(channel.recv(100).decode(), channel.recv_exit_status())
sftp = paramiko.SFTPClient.from_transport(transport)
with sftp.open('/tmp/by-paramiko', 'w') as file:
    file.write('written')
with sftp.open('/tmp/by-paramiko') as file:
    print(file.read().decode())
transport.close()
"""
        done = subprocess.run(["/usr/bin/python3", "-c", script], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT,
                              check=False)
        self.assertEqual(done.stdout, b"through 6\nwritten\n", done.stderr[-1000:])

    def kill_clients(self, count, chooser):
        for _ in range(count):
            client = subprocess.Popen(["ssh", "-F", self.config, self.host,
                                       chooser.choice(("cat", "sleep 100000", "yes"))],
                                      stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
            select.select([], [], [], chooser.random() * 3)
            client.kill()
            client.wait()
            client.stdin.close()

    def test_clients_that_are_killed_leave_nothing(self):
        def agent():
            return wait_until(self, "the agent's answer", lambda: (
                seen if (seen := inspect(self.container)["Agent"])["Descriptors"] else None))

        def left():
            """The container's processes, and the agent's own memory."""
            top = vch("top", self.container).stdout.decode().splitlines()[1:]
            return [line for line in top if "httpd" not in line]

        def ended():
            events = vch("events", "--since", "24h", "--until", "0s", "--format", "{{.Action}}",
                         "--filter", f"container={self.container}").stdout.decode().split()
            return events.count("ssh_login") <= events.count("ssh_logout")

        before, own = len(left()), agent()
        self.kill_clients(KILLS, random.Random(3))
        wait_until(self, "the end of their sessions", lambda: len(left()) <= before)
        wait_until(self, "the end of their logins", ended)
        wait_until(self, "the end of their processes", lambda: agent()["SshLogins"] == own["SshLogins"])
        wait_until(self, "the end of their sessions in the agent",
                   lambda: len(agent()["Sessions"]) <= len(own["Sessions"]))
        wait_until(self, "the end of their descriptors",
                   lambda: agent()["Descriptors"] <= own["Descriptors"] + KEPT)
        # The first ones cost what stays for those to come.
        wait_until(self, "the end of their memory", lambda: agent()["PssKiB"] < own["PssKiB"] + 2048)

    def test_the_wrong_key_user_or_machine_is_refused_with_a_reason(self):
        key = os.path.join(self.scratch, "other")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        stranger = self.ssh("true", config=self.changed_config(IdentityFile=key))
        self.assertEqual(stranger.returncode, 255)
        self.assertIn(b"Permission denied (publickey)", stranger.stderr)
        nobody = self.run_program("ssh", f"nosuch@{self.host}", "true")
        self.assertEqual(nobody.returncode, 255)
        self.assertIn(b"Permission denied (publickey)", nobody.stderr)
        shown = subprocess.run(["ssh-keygen", "-lf", key], stdout=subprocess.PIPE, check=True)
        digest = shown.stdout.decode().split()[1]
        wait_until(self, "two reasons", lambda: {
            f"user root: key {digest} is not authorized",
            "user nosuch: the container has no such user"} <= set(self.refusals()))
        # Somebody else's machine at the other end of the line.
        with open(key + ".pub", encoding="utf-8") as file:
            known = " ".join(file.read().split()[:2])
        command = os.path.join(self.scratch, "known")
        with open(command, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\necho {self.host.lower()} {known}\n")
        os.chmod(command, 0o700)
        other = self.ssh("true", config=self.changed_config(KnownHostsCommand=command))
        self.assertEqual(other.returncode, 255)
        self.assertIn(b"Host key verification failed", other.stderr)
        weak = self.ssh("-o", "KexAlgorithms=diffie-hellman-group14-sha1", "true")
        self.assertEqual(weak.returncode, 255)
        self.assertIn(b"no matching key exchange method", weak.stderr)

    def test_commands_that_cannot_work_say_why(self):
        self.assert_one_line(vch("ssh", "no-such-container"), 1, "no-such-container")
        self.assert_one_line(vch("ssh"), 1, "no container given")
        self.assert_one_line(vch("dial", self.container, "no-such-service"), 1, "no-such-service")
        self.assert_one_line(vch("dial", "--fdpass", self.container, "ssh"), 1, "ProxyUseFdpass")

    def test_ssh_can_have_the_connection_itself(self):
        config = os.path.join(self.scratch, "fdpass")
        with open(config, "wb") as file:
            file.write(vch("ssh-config", "--fdpass").stdout)
        client = subprocess.Popen(["ssh", "-F", config, self.host, "cat"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        client.stdin.write(b"begun\n")
        client.stdin.flush()
        self.assertEqual(client.stdout.readline(), b"begun\n")
        children = subprocess.run(["pgrep", "-P", str(client.pid)], stdout=subprocess.PIPE, check=False)
        self.assertEqual(children.stdout, b"", "a process stands between ssh and the shim")
        text = random.Random(7).randbytes(1 << 20)
        out, _ = client.communicate(text, timeout=TIMEOUT)
        self.assertEqual(out, text)
        self.assertEqual(client.returncode, 0)


class LinkProcessKilled(SshMachineTest):
    def test_a_login_is_cut_and_only_it(self):
        """Its process was on sockets of the one that is killed; what vch has comes back by itself."""
        session = Stream(["exec", "-i", self.container, "cat"], 1)
        terminal = TypedTerminal(self.container)
        login = Stream(["-F", self.config, self.host, "cat"], 2, program="ssh")
        wait_until(self, "the streams", lambda: session.received_bytes > 0 and login.received_bytes > 0)
        self.assert_ended(vch("restart-link", self.container), 0)
        wait_until(self, "the login's end", lambda: login.process.poll() is not None)
        self.assertEqual(login.process.returncode, 255)
        login.give_up()
        reached, typed = session.received_bytes, len(terminal.answers)
        wait_until(self, "more of the others",
                   lambda: session.received_bytes > reached and len(terminal.answers) > typed)
        terminal.finish(self)
        session.finish(self)
        wait_until(self, "the end of what the login ran", lambda: inspect(self.container)["Agent"]["SshLogins"] == 0)
        self.assert_ended(self.ssh("cat; exit 5", stdin=b"another"), 5, b"another", b"")
        self.assertEqual(inspect(self.container)["Agent"]["LinkRestarts"], 1)


if __name__ == "__main__":
    unittest.main()
