"""The root of a container: what its image's disk is, and what lies above it."""

from vch_testing import VmTest, inspect, vch


class Roots(VmTest):
    def test_each_format_is_the_same_image(self):
        result = self.run_vm("--root-format", "erofs", "layers", "/check")
        self.assert_ended(result, 0, b"all as it should be\n", b"")
        # mke2fs -d writes times as 32 bits.
        late = b"/times/late time: '-192522496', want '4102444800'\n"
        for form in ("ext4", "direct"):
            with self.subTest(form=form):
                result = self.run_vm("--root-format", form, "layers", "/check")
                self.assert_ended(result, 1, late, b"")

    def test_a_root_of_its_own_keeps_what_is_written_without_a_layer(self):
        name = self.name()
        script = "cat /kept; echo more >>/kept; grep -c overlay /proc/mounts; df -k / | tail -n 1"
        self.assert_ended(vch("create", "--name", name, "--root-format", "direct", "busybox", "sh",
                              "-c", script), 0)
        self.assertEqual(inspect(name)["Root"], {"Format": "ext4", "Layer": "direct"})
        self.assert_ended(vch("start", "-a", name), 0)
        result = vch("start", "-a", name)
        self.assert_ended(result, 0, stderr=b"")
        self.assertTrue(result.stdout.startswith(b"more\n0\n"), result.stdout)
        self.assertGreater(int(result.stdout.split()[-5]), 9 << 20)  # KiB

    def test_read_only_leaves_only_what_is_mounted_to_be_written_to(self):
        for form in ("squashfs", "direct"):
            with self.subTest(form=form):
                script = ("touch /x; touch /tmp/x /dev/shm/x && echo mounted; cat /etc/hostname;"
                          "mount -o remount,rw / 2>/dev/null; touch /x")
                result = self.sh(script, "--read-only", "--root-format", form, "--hostname", "box",
                                 "--tmpfs", "/tmp")
                self.assert_ended(result, 1, b"mounted\nbox\n")
                self.assertEqual(result.stderr.count(b"Read-only file system"), 2, result.stderr)

    def test_ephemeral_forgets_and_keeps_to_its_size(self):
        name = self.name()
        script = ("cat /kept; echo x >/kept; dd if=/dev/zero of=/big bs=1M count=40 2>&1 | "
                  "grep -o 'No space left'; rm /big; echo fine >/kept && cat /kept")
        self.assert_ended(vch("create", "--name", name, "--ephemeral", "--storage-opt", "size=16m",
                              "busybox", "sh", "-c", script), 0)
        for _ in range(2):
            result = vch("start", "-a", name)
            self.assert_ended(result, 0, b"No space left\nfine\n")
            self.assertIn(b"No such file", result.stderr)

    def test_a_full_root_stops_nobody_and_its_size_is_as_asked_for(self):
        name = self.name()
        script = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"
        self.assert_ended(vch("run", "-d", "--name", name, "--storage-opt", "size=16m", "busybox",
                              "sh", "-c", script), 0)
        fill = "dd if=/dev/zero of=/big bs=1M 2>&1 | grep -o 'No space left'"
        self.assert_ended(vch("exec", name, "sh", "-c", fill), 0, b"No space left\n")
        # By inodes as well.
        many = "rm /big; i=0; while true >/f$i; do i=$((i+1)); done 2>/dev/null; echo $((i > 100))"
        self.assert_ended(vch("exec", name, "sh", "-c", many), 0, b"1\n")
        self.assert_ended(vch("exec", name, "true"), 0)
        self.assertEqual(inspect(name)["State"], "running")
        self.assert_ended(vch("stop", "-t", "5", name), 0)
