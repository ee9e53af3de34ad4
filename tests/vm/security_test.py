"""That docs/security.md says what the tests and the sources say. No machine."""

import json
import os
import re
import subprocess
import unittest

import escape_test
from vch_testing import SOURCE

NUMBERS = ("no one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
           "sixteen seventeen eighteen nineteen twenty").split()


class Document(unittest.TestCase):
    """docs/security.md."""

    def test_the_table_and_the_tests_agree(self):
        with open(os.path.join(SOURCE, "docs", "security.md"), encoding="utf-8") as file:
            listed = re.findall(r"`escape_test\.(\w+\.test_\w+)`", file.read())
        there = [f"{case.__name__}.{method}" for case in vars(escape_test).values()
                 if isinstance(case, type) and case.__module__ == escape_test.__name__
                 for method in dir(case) if method.startswith("test_")]
        self.assertEqual(sorted(set(there) - set(listed)), [], "not in docs/security.md")
        self.assertEqual(sorted(set(listed) - set(there)), [], "in docs/security.md alone")
        self.assertGreaterEqual(len(listed), 40)

    def test_its_other_tests_are_there(self):
        with open(os.path.join(SOURCE, "docs", "security.md"), encoding="utf-8") as file:
            text = file.read()
        sources = subprocess.run(["grep", "-rhoE", r"^TEST(_F)?\(\w+, \w+", SOURCE, "--include=*_test.cc"],
                                 stdout=subprocess.PIPE, check=True).stdout.decode()
        there = {match.replace(", ", ".") for match in re.findall(r"\((\w+, \w+)", sources)}
        listed = re.findall(r"`([A-Z]\w+\.[A-Z]\w+)`", text)
        self.assertGreaterEqual(len(listed), 15)
        self.assertEqual(sorted(set(listed) - there), [])
        for module, case, method in re.findall(r"`(limits_test|link_test)\.(\w+)\.(test_\w+)`", text):
            with open(os.path.join(SOURCE, "tests", "vm", f"{module}.py"), encoding="utf-8") as file:
                self.assertRegex(file.read(), rf"class {case}\b[\s\S]*def {method}\b")

    def list_of_calls(self, text, *path):
        """Each rule of the file is a row of the text. How many calls there are."""
        with open(os.path.join(SOURCE, "tether", *path), encoding="utf-8") as file:
            rules = json.load(file)["syscalls"]
        rows = ["| " + ", ".join(f"`{name}`" for name in rule["names"]) + f" | {rule['comment']} |" for rule in rules]
        self.assertIn("\n| calls | for |\n| --- | --- |\n" + "\n".join(rows) + "\n\n", text)
        return sum(len(rule["names"]) for rule in rules)

    def test_the_lists_of_system_calls_are_the_links_and_the_verifiers(self):
        with open(os.path.join(SOURCE, "docs", "security.md"), encoding="utf-8") as file:
            text = file.read()
        self.assertIn(f" {self.list_of_calls(text, 'sandbox', 'link_calls.json')} system calls ", text)
        count = self.list_of_calls(text, "upgrade", "verify_calls.json")
        with open(os.path.join(SOURCE, "docs", "upgrade.md"), encoding="utf-8") as file:
            self.assertIn(f" {NUMBERS[count]} system calls", file.read())

    def test_the_links_descriptors_are_as_many(self):
        """One counter's file for each of what `vch stats` asks for."""
        with open(os.path.join(SOURCE, "tether", "supervisor", "link_messages.h"), encoding="utf-8") as file:
            listed = re.search(r"enum class StatsFile [^{]*\{(.*?)kCount", file.read(), re.S)[1]
        with open(os.path.join(SOURCE, "docs", "security.md"), encoding="utf-8") as file:
            self.assertIn(f" {NUMBERS[len(re.findall(r'^ *k[A-Z]', listed, re.M))]} counters' files |", file.read())
