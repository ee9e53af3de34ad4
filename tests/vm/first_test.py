"""The first machine on a host: what was found out about it is said once."""

from vch_testing import VmTest


class First(VmTest):
    def test_the_accelerator_is_explained_once_at_most(self):
        first = self.run_vm("busybox", "true")
        text = first.stderr.decode()
        self.assertEqual(first.returncode, 0, text)
        self.assertIn(text.count("\n"), (0, 1), text)
        if text:
            self.assertRegex(text, r"^vch: KVM does not work here \(.+\), using the slower TCG")
        self.assert_ended(self.run_vm("busybox", "true"), 0, b"", b"")
