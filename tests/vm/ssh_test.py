"""The SSH door, with OpenSSH's own unmodified clients."""

import contextlib
import hashlib
import os
import random
import re
import socket
import subprocess
import threading
import unittest

from ssh_asyncssh import AsyncsshTests
from ssh_files import FilesTests
from ssh_fixture import SshMachineTest, wait_until
from ssh_kills import KillsTests
from terminal import Terminal
from traffic import Stream
from traffic import Terminal as TypedTerminal
from vch_testing import FULL, TIMEOUT, VCH, inspect, vch

LARGE = (1 << 30) if FULL else (1 << 19)
SHARED = 2000 if FULL else 40  # sessions one after the other
MANY = 100
LOGINS = 32  # at a time: kMaxSshLogins


class SshTest(AsyncsshTests, FilesTests, KillsTests, SshMachineTest):
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

    def test_one_login_more_than_there_may_be_is_refused_and_the_others_go_on(self):
        def logins():
            return inspect(self.container)["Agent"]["SshLogins"]

        def say(client, words):
            client.stdin.write(words)
            client.stdin.flush()
            return client.stdout.readline()
        clients = []
        while logins() < LOGINS:  # One by one: each has 30 s to log in. Others' may be ending.
            clients.append(subprocess.Popen(["ssh", "-F", self.config, self.host, "cat"],
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            self.addCleanup(clients[-1].wait)
            self.addCleanup(clients[-1].kill)
            self.assertEqual(say(clients[-1], b"in\n"), b"in\n", f"login {len(clients)}")
        reason = f"more than {LOGINS} logins"
        before = self.refusals().count(reason)
        for _ in range(3):  # It is told once.
            refused = self.ssh("echo in")
            self.assertEqual((refused.returncode, refused.stdout), (255, b""), refused.stderr)
        wait_until(self, "the reason", lambda: self.refusals().count(reason) > before)
        for client in clients:
            self.assertEqual(say(client, b"still\n"), b"still\n")
        clients[0].communicate(timeout=TIMEOUT)
        wait_until(self, "one place", lambda: logins() < LOGINS)
        self.assert_ended(self.ssh("echo in"), 0, b"in\n")
        self.assertEqual(self.refusals().count(reason), before + 1)
        for client in clients[1:]:
            client.communicate(timeout=TIMEOUT)
            self.assertEqual(client.returncode, 0)

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
        asked = self.ssh("-W", "127.0.0.1:8000", stdin=b"GET /page HTTP/1.0\r\n\r\n")
        self.assertEqual(asked.returncode, 0)
        self.assertTrue(asked.stdout.endswith(b"\r\n\r\npage\n"), asked)
        none = self.run_program("ssh", "-W", "127.0.0.1:1", self.host)
        self.assertEqual(none.returncode, 255)
        self.assertIn(b"open failed: connect failed: Connection refused", none.stderr)
        # SOCKS 4A, by name.
        greeting = b"\x04\x01\x1f\x40\x00\x00\x00\x01\x00named\x00"
        self.assertTrue(get(socks, greeting).endswith(b"\r\n\r\npage\n"))

    def run_paramiko(self, script, wanted):
        """`transport` being logged in."""
        identity = vch("ssh-config").stdout.decode()
        key = re.search(r'IdentityFile "?([^"\n]+)', identity).group(1)
        begin = f"""
import paramiko
line = paramiko.ProxyCommand({f'{VCH} dial {self.container} ssh'!r})
transport = paramiko.Transport(line)
transport.connect(username='root', pkey=paramiko.Ed25519Key.from_private_key_file({key!r}))
def ask(channel, what, *words):
    message = paramiko.Message()
    message.add_byte(b'\\x62')
    message.add_int(channel.remote_chanid)
    message.add_string(what)
    message.add_boolean(False)
    message.add(*words)
    transport._send_user_message(message)
def read_until(channel, end):
    said = b''
    while end not in said and (more := channel.recv(100)):
        said += more
    return said
"""
        done = subprocess.run(["/usr/bin/python3", "-c", begin + script + "transport.close()\n"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
        self.assertEqual(done.stdout.decode(), wanted, done.stderr[-1000:])

    def test_paramiko_runs_commands_and_moves_files(self):
        self.run_paramiko("""
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
""", "through 6\nwritten\n")

    def test_signals_and_breaks_come_to_the_process(self):
        self.run_paramiko("""
for name in ('USR1', 'TERM'):
    channel = transport.open_session()
    channel.exec_command(f"trap 'echo caught {name}; exit 9' {name}; echo ready; while :; do sleep 0.1; done")
    read_until(channel, b'ready\\n')
    ask(channel, 'signal', name)
    print(read_until(channel, b'\\n').decode().strip(), channel.recv_exit_status())
channel = transport.open_session()
channel.exec_command('echo ready; exec sleep 100000')
read_until(channel, b'ready')
ask(channel, 'signal', 'no such')
ask(channel, 'signal', 'KILL')
while not channel.closed:
    channel.recv(100)
print(channel.exit_status)
channel = transport.open_session()
channel.get_pty()
channel.exec_command("trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 0.1; done")
read_until(channel, b'ready')
ask(channel, 'break', 500)
print(b'interrupted' in read_until(channel, b'interrupted'), channel.recv_exit_status())
""", "caught USR1 9\ncaught TERM 9\n-1\nTrue 3\n")

    def test_the_wrong_key_user_or_machine_is_refused_with_a_reason(self):
        silent = subprocess.Popen([VCH, "dial", self.container, "ssh"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
        self.addCleanup(silent.wait)
        self.addCleanup(silent.kill)
        key = os.path.join(self.scratch, "other")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        stranger = self.ssh("true", config=self.changed_config(IdentityFile=key))
        self.assertEqual(stranger.returncode, 255)
        self.assertIn(b"Permission denied (publickey)", stranger.stderr)
        nobody = self.run_program("ssh", f"nosuch@{self.host}", "true")
        self.assertEqual(nobody.returncode, 255)
        self.assertIn(b"Permission denied (publickey)", nobody.stderr)
        for method in ("password", "keyboard-interactive", "hostbased", "gssapi-with-mic", "none"):
            keyless = self.ssh("-o", f"PreferredAuthentications={method}", "-o", "BatchMode=no",
                               "-o", "HostbasedAuthentication=yes", "true")
            self.assertEqual(keyless.returncode, 255, method)
            self.assertIn(b"Permission denied (publickey)", keyless.stderr, method)
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
        wait_until(self, "an end of patience",
                   lambda: "nobody logged in within 30 s" in self.refusals())
        self.assertTrue(silent.communicate(timeout=TIMEOUT)[0].startswith(b"SSH-2.0-"))

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
