"""What `vch ssh-config` prints, read by OpenSSH's own client."""

import json
import os
import shutil
import subprocess
import unittest

from login_fixture import TIMEOUT, LoginTest

VCH = os.path.join(os.environ["TETHER_BUILD"], "bin", "vch")

# In vch's place: notes what it was given, and leads to the login.
STAND_IN = """#!/usr/bin/python3
import json, socket, sys
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv) + "\\n")
if "dial" in sys.argv:
    line = socket.create_connection(("127.0.0.1", {port}))
    socket.send_fds(socket.socket(fileno=1), [b"x"], [line.fileno()])
else:
    print(sys.argv[5], {known!r})
"""

# As its own client and others' look a host up.
PARAMIKO = """
import paramiko, sys
print(dict(paramiko.SSHConfig.from_path(sys.argv[1]).lookup(sys.argv[2])))
"""


class ConfigTest(LoginTest):
    def setUp(self):
        super().setUp()
        self.place = os.path.join(self.scratch, "a b%h$HOME`id`\"c\\d'e#f")
        self.state = os.path.join(self.place, "state")
        os.makedirs(os.path.join(self.state, "ssh"), 0o700)
        for end in ("", ".pub"):
            shutil.copy(self.agent.key + end, os.path.join(self.state, "ssh", "id_ed25519" + end))

    def print_config(self, state, *words):
        program = os.path.join(self.place, "vch")
        shutil.copy(VCH, program)
        done = subprocess.run([program, "--state", state, "ssh-config", *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT,
                              check=False)
        os.unlink(program)
        return done

    def test_paths_come_through_ssh_and_its_shell_as_they_are(self):
        config, log = os.path.join(self.scratch, "printed"), os.path.join(self.scratch, "log")
        printed = self.print_config(self.state, "--fdpass")
        self.assertEqual(printed.returncode, 0, printed.stderr)
        with open(config, "wb") as file:
            file.write(printed.stdout)
        with open(self.agent.host_key + ".pub", encoding="ascii") as file:
            known = " ".join(file.read().split()[:2])
        program = os.path.join(self.place, "vch")
        with open(program, "w", encoding="utf-8") as file:
            file.write(STAND_IN.format(log=log, port=self.agent.port, known=known))
        os.chmod(program, 0o700)
        done = subprocess.run(["ssh", "-F", config, "Web.vch", "echo within"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, b"within\n"), done.stderr)
        with open(log, encoding="utf-8") as file:
            given = [json.loads(line) for line in file]
        begin = [program, "--state", self.state]
        self.assertEqual([words for words in given if "dial" in words],
                         [[*begin, "dial", "--fdpass", "Web.vch", "ssh"]])
        asked = [words for words in given if "ssh-host-key" in words]
        self.assertIn([*begin, "ssh-host-key", "Web.vch", "web.vch"], asked)

    def test_a_hosts_name_is_one_word_for_the_shell(self):
        # Clients before OpenSSH 9.6 pass one with a semicolon on (CVE-2023-51385), or with a quote.
        printed = self.print_config(self.state).stdout.decode()
        self.assertRegex(printed, r"(?m)^  ProxyCommand .* dial '%n' ssh$")
        config, other = (os.path.join(self.scratch, name) for name in ("printed", "other"))
        for path, text in ((config, printed), (other, printed.replace("!*'*", "!*q*"))):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        openssh, paramiko = ("ssh", "-G", "-F"), ("/usr/bin/python3", "-c", PARAMIKO)
        for name, known in (("web.vch", True), ("Web-1_a.b.vch", True), ("vch", False), ("web.vch.org", False),
                            ("'.vch", False), ("a';touch b;'.vch", False)):
            for program in (openssh, paramiko):
                with self.subTest(f"{program[0]} {name}"):
                    self.assertEqual(b"proxycommand" in self.looked_up(*program, config, name), known)
        # A newer OpenSSH looks at no such name: so that it would not find it is shown with another letter.
        self.assertNotIn(b"proxycommand", self.looked_up(*openssh, other, "aqb.vch"))
        self.assertIn(b"proxycommand", self.looked_up(*openssh, config, "aqb.vch"))

    @staticmethod
    def looked_up(*program):
        return subprocess.run(program, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=TIMEOUT, check=False).stdout

    def test_paths_that_no_configuration_can_carry_are_refused(self):
        for name, why in (("a\nHost *", b"control characters"), ("a${HOME}", b"variable")):
            state = os.path.join(self.scratch, name)
            shutil.copytree(self.state, state)
            done = self.print_config(state)
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertIn(why, done.stderr)
            self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)


if __name__ == "__main__":
    unittest.main()
