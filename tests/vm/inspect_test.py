"""`vch inspect` and `vch ps`: the documented object, templates and filters."""

import json
import os
import re

from vch_testing import SOURCE, VmTest, inspect, vch

TABLE = re.compile(r"^\| (`.*) \| (.*) \| (.*) \|$", re.MULTILINE)


def documented():
    """The members in docs/inspect.md, and those of its objects."""
    with open(os.path.join(SOURCE, "docs", "inspect.md"), encoding="utf-8") as file:
        text = file.read().split("## Templates")[0]
    members = {}
    for names, kind, what in TABLE.findall(text):
        what = re.sub(r"\([^)]*\)", "", what)
        for name in re.findall(r"`(\w+)`", names):
            inner = re.findall(r"`([A-Z]\w+)`", what) if kind == "object" else None
            members[name] = inner
    return members


class Inspect(VmTest):
    def test_a_container_in_each_state_has_what_is_documented(self):
        name = self.name()
        made = vch("create", "-it", "--name", name, "--label", "a=b", "--restart", "on-failure:3",
                   "--stop-signal", "USR1", "--stop-timeout", "7", "--log-policy", "drop", "-u", "1:2",
                   "-w", "/srv", "busybox", "sh", "-c", "sleep 1000")
        self.assertEqual(made.returncode, 0, made.stderr)
        created = inspect(name)
        members = documented()
        self.assertEqual(list(created), list(members))
        for member, inner in members.items():
            if inner:
                self.assertEqual(list(created[member]), inner, member)
        self.assertEqual(created["Id"], made.stdout.decode().strip())
        self.assertEqual((created["State"], created["ExitCode"]), ("created", None))
        self.assertEqual(created["Command"], ["sh", "-c", "sleep 1000"])
        self.assertEqual(created["RestartPolicy"], {"Name": "on-failure", "MaximumRetryCount": 3})
        self.assertEqual(created["LogPolicy"], "drop")
        config = created["Config"]
        self.assertEqual((config["Tty"], config["OpenStdin"], config["StopSignal"]),
                         (True, True, "SIGUSR1"))
        self.assertEqual((config["StopTimeout"], config["User"], config["WorkingDir"]),
                         (7, "1:2", "/srv"))
        self.assertEqual(created["Agent"], {"Version": None, "PssKiB": None, "Descriptors": None,
                                            "LinkRestarts": None, "SshLogins": None,
                                            "Sessions": None})

        self.assert_ended(vch("start", name), 0)
        running = inspect(name)
        self.assertEqual(running["State"], "running")
        for pid in (running["Machine"]["Pid"], running["Shim"]["Pid"]):
            self.assertTrue(os.path.exists(f"/proc/{pid}"), pid)
        agent = running["Agent"]
        self.assertRegex(agent["Version"], r"^\d+\.\d+")
        self.assertEqual(agent["LinkRestarts"], 0)
        self.assertTrue(500 < agent["PssKiB"] < 16384, agent)
        self.assertTrue(20 < agent["Descriptors"] < 200, agent)
        self.assertEqual(agent["SshLogins"], 0)

        self.check_templates(name, running)
        self.check_lists(name, running)

        self.assert_ended(vch("stop", "-t", "0", name), 0)
        while (ended := inspect(name))["Shim"]["Pid"] is not None:
            pass  # It notices the machine's end by itself.
        self.assertEqual((ended["State"], ended["ExitCode"], ended["ExitSignal"]),
                         ("exited", 137, 9))
        self.assertEqual((ended["Machine"]["Pid"], ended["Agent"]["Version"]), (None, None))
        self.assertGreater(ended["FinishedAt"], ended["StartedAt"])
        self.assertIn(name, self.ps("-a", "--filter", "exited=137", "--format", "{{.Names}}"))

    def check_templates(self, name, seen):
        for template, expected in (
                ("{{.State}}", "running"), ("{{.Machine.Pid}}", str(seen["Machine"]["Pid"])),
                ("{{json .Labels}}", '{"a":"b"}'), (r"{{.Name}}\t{{.Config.Tty}}", f"{name}\ttrue"),
                ('{{join .Command ","}}', "sh,-c,sleep 1000"), ("{{len .Command}}", "3")):
            self.assert_ended(vch("inspect", "--format", template, name), 0, f"{expected}\n".encode())
        whole = json.loads(vch("inspect", "-f", "json", name).stdout)
        self.assertEqual(whole["Id"], seen["Id"])
        self.assert_one_line(vch("inspect", "-f", "{{.Nothing}}", name), 1, ".Nothing", "State")
        self.assert_one_line(vch("inspect", "-f", "{{range .}}", name), 1, "{{range .}}", "json")
        several = vch("inspect", "-f", "{{.Name}}", "no-such-thing", name)
        self.assert_ended(several, 1, f"{name}\n".encode())
        self.assertIn(b"no-such-thing", several.stderr)

    def ps(self, *words):
        result = vch("ps", *words)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode()

    def check_lists(self, name, seen):
        only = ("--filter", f"name={name}")
        self.assertEqual(self.ps("-q", *only), seen["Id"][:12] + "\n")
        self.assertEqual(self.ps("-q", "--no-trunc", *only), seen["Id"] + "\n")
        self.assertRegex(self.ps(*only),
                         rf"^CONTAINER ID +IMAGE +COMMAND +CREATED +STATUS +NAMES\n"
                         rf"{seen['Id'][:12]} +busybox +\"sh -c sleep 1000\" .* +Up .* +{name}\n$")
        self.assertEqual(self.ps(*only, "--format", r"table {{.Names}}\t{{.Labels}}").split(),
                         ["NAMES", "LABELS", name, "a=b"])
        self.assertEqual(json.loads(self.ps(*only, "--format", "json"))["State"], "running")
        for matching in ("status=running", "label=a", "label=a=b", "ancestor=busybox", "health=none",
                         f"id={seen['Id'][:6]}"):
            self.assertIn(name, self.ps(*only, "--filter", matching), matching)
        for other in ("status=exited", "label=a=c", "label=b", "ancestor=debian", "volume=none",
                      "exited=0"):
            self.assertNotIn(name, self.ps(*only, "--filter", other), other)
        self.assert_one_line(vch("ps", "--filter", "colour=red"), 1, "colour=red", "status")
