"""What a build says of an update; check-config on a tree of a few options, what an update must not do silently;
name-trace on a few lines."""

import os
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))


class CheckConfig(unittest.TestCase):
    def check(self, fragment, config, kconfig=None):
        with tempfile.TemporaryDirectory() as scratch:
            files = {"source/Kconfig": "config NET\n\tbool\nmenuconfig CRYPTO\n\tbool\nconfig NAME\n",
                     "source/arch/Kconfig": "config SECCOMP\n",
                     "source/arch/arm/Kconfig": "config THUMB\n",
                     "source/arch/x86/Kconfig.debug": "config UNWINDER\n", "config": config,
                     "10-base.config": fragment, **(kconfig or {})}
            for name, text in files.items():
                path = os.path.join(scratch, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="ascii") as file:
                    file.write(text)
            done = subprocess.run(
                [os.path.join(HERE, "check-config"), f"{scratch}/source", f"{scratch}/config",
                 f"{scratch}/10-base.config"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual(done.stdout, "")
            return done.returncode, done.stderr.splitlines()

    def test_says_nothing_of_what_was_taken(self):
        config = 'CONFIG_NET=y\n# CONFIG_CRYPTO is not set\nCONFIG_NAME="a=b"\nCONFIG_SECCOMP=y\nCONFIG_UNWINDER=y\n'
        self.assertEqual(self.check(config, config), (0, []))

    def test_names_an_option_that_kconfig_dropped(self):
        self.assertEqual(self.check("CONFIG_NET=y\n", "# CONFIG_NET is not set\n"),
                         (1, ["10-base.config: CONFIG_NET: wanted y, got n"]))
        self.assertEqual(self.check("CONFIG_NET=y\n", ""),
                         (1, ["10-base.config: CONFIG_NET: wanted y, got n"]))

    def test_names_an_option_that_something_else_switched_on(self):
        self.assertEqual(self.check("# CONFIG_NET is not set\n", "CONFIG_NET=y\n"),
                         (1, ["10-base.config: CONFIG_NET: wanted n, got y"]))

    def test_names_an_option_that_the_source_no_longer_has(self):
        self.assertEqual(
            self.check("# CONFIG_OLD is not set\nCONFIG_THUMB=y\n", ""),
            (1, ["10-base.config: CONFIG_OLD: source has no such option; find what took its place",
                 "10-base.config: CONFIG_THUMB: source has no such option; find what took its place"]))

    def test_reads_no_option_in_a_comment(self):
        self.assertEqual(self.check("# CONFIG_NET=y would do\n# as CONFIG_OLD did\n", ""), (0, []))


class Updates(unittest.TestCase):
    """`build` is a script; its function is taken out of it as it stands."""

    REPORT = ("say() { echo \"$*\" >&2; }; cache=$1; cd \"$2\"; "
              "eval \"$(sed -n '/^report_changes() {/,/^}/p' \"$3\")\"; report_changes")

    def report(self, last, now):
        with tempfile.TemporaryDirectory() as scratch:
            for name, text in (("last-config", last), (".config", now)):
                if text is not None:
                    with open(os.path.join(scratch, name), "w", encoding="ascii") as file:
                        file.write(text)
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", self.REPORT, "bash", scratch, scratch,
                                   os.path.join(HERE, "build")],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True)
            self.assertEqual(done.stdout, "")
            return done.stderr.splitlines()

    def test_each_option_that_came_went_or_changed_is_told(self):
        said = self.report("CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=1\n# CONFIG_E is not set\n",
                           "CONFIG_B=y\nCONFIG_C=2\nCONFIG_D=y\n# CONFIG_F is not set\n")
        self.assertEqual(sorted(said[:-1]), ["+ CONFIG_C=2", "+ CONFIG_D=y", "- CONFIG_A=y", "- CONFIG_C=1"])
        self.assertIn("what changed in the configuration", said[-1])

    def test_without_a_change_or_a_kernel_before_nothing_is_said(self):
        self.assertEqual(self.report("CONFIG_B=y\nCONFIG_A=y\n", "CONFIG_A=y\nCONFIG_B=y\n"), [])
        self.assertEqual(self.report(None, "CONFIG_A=y\n"), [])

    def test_one_line_names_the_source(self):
        root = os.path.dirname(HERE)
        naming = []
        for name in ("bootstrap-kernel/build", "bootstrap-kernel/CMakeLists.txt", "bootstrap-kernel/install",
                     "scripts/setup"):
            with open(os.path.join(root, name), encoding="utf-8") as file:
                naming += [f"{name}: {line.strip()}" for line in file if "linux-source-6" in line]
        self.assertEqual(len(naming), 1, naming)
        self.assertRegex(naming[0], r"^bootstrap-kernel/build: SOURCE=linux-source-[0-9.]+$")


class NameTrace(unittest.TestCase):
    MAP = ("0000000000000000 D __per_cpu_start\nffffffff81000000 T _text\nffffffff81000200 t do_panic\n"
           "ffffffff81000300 T start_kernel\nffffffff82000000 T _etext\nffffffff82100000 d a_table\n")

    def named(self, text):
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as table:
            table.write(self.MAP)
            table.flush()
            return subprocess.run([os.path.join(HERE, "name-trace"), table.name], input=text, text=True,
                                  stdout=subprocess.PIPE, check=True).stdout

    def test_puts_function_and_offset_behind_each_address_of_code(self):
        self.assertEqual(
            self.named("[    1.0]  ? 0xffffffff81000210\nRIP: 0010:0xffffffff810002ff\n"),
            "[    1.0]  ? 0xffffffff81000210 (do_panic+0x10)\nRIP: 0010:0xffffffff810002ff (do_panic+0xff)\n")

    def test_leaves_everything_else_as_it_was(self):
        text = "RSP: ffffffff82100010 R09: ffffffff82000000 CR3: 000000000210a000 caf\u00e9\nno newline"
        self.assertEqual(self.named(text), text)


if __name__ == "__main__":
    unittest.main()
