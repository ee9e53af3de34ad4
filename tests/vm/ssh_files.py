"""Trees and repositories by SSH: the part of ssh_test.py's class that moves files."""

import hashlib
import os
import random
import shutil
import subprocess

from ssh_fixture import LONG, digests
from vch_testing import FULL

FILES = 10000 if FULL else 60
LARGE = (1 << 30) if FULL else (1 << 19)
COMMITS = 20
BLOB = 1 << 20


class FilesTests:
    """Of a class that is an SshMachineTest."""

    def make_tree(self):
        tree = os.path.join(self.scratch, "tree")
        for i in range(FILES):
            place = os.path.join(tree, str(i % 10), "deep" if i % 3 else "")
            os.makedirs(place, exist_ok=True)
            with open(os.path.join(place, f"file {i} é"), "wb") as file:
                file.write(os.urandom(i * 37 % 5000))
        with open(os.path.join(tree, "large"), "wb") as file:
            for _ in range(LARGE >> 19):
                file.write(os.urandom(1 << 19))
        os.symlink("0", os.path.join(tree, "link"))
        return tree

    def remove(self, place):
        self.assert_ended(self.ssh(f"rm -rf {place}"), 0)

    def test_files_go_in_and_out_by_sftp_and_rsync(self):
        tree = self.make_tree()
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
            self.remove("/tmp/made")
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
            self.remove("/tmp/synced")

    def test_a_tree_goes_in_and_out_by_scp(self):
        tree = self.make_tree()
        # This client goes where links lead.
        shutil.rmtree(os.path.join(tree, "9"))
        os.unlink(os.path.join(tree, "link"))  # which scp does not take
        wanted = digests(tree)
        for source, target in ((tree, f"{self.host}:/tmp/copied"),
                               (f"{self.host}:/tmp/copied", os.path.join(self.scratch, "copied"))):
            done = self.run_program("scp", "-rq", source, target)
            self.assertEqual(done.returncode, 0, done.stderr[-1000:])
        # What is there, by a program that is.
        there = self.ssh("cd /tmp/copied && find . -type f -exec sha256sum {} +")
        self.assertEqual(there.returncode, 0, there.stderr[-1000:])
        lines = [line.split("  ./", 1) for line in there.stdout.decode().splitlines()]
        self.assertEqual({name: digest for digest, name in lines}, wanted)
        self.assertEqual(digests(os.path.join(self.scratch, "copied")), wanted)
        self.remove("/tmp/copied")

    def make_repository(self, git):
        """Some history, with a merge, a tag, and a file that no compression makes smaller."""
        source = os.path.join(self.scratch, "source")
        subprocess.run([*git, "init", "-q", "-b", "main", source], check=True)

        def run(*words):
            subprocess.run([*git, "-C", source, *words], check=True, stdout=subprocess.DEVNULL)

        def commit(name, content, message):
            os.makedirs(os.path.join(source, os.path.dirname(name)), exist_ok=True)
            with open(os.path.join(source, name), "wb") as file:
                file.write(content)
            run("add", "-A")
            run("commit", "-q", "-m", message)

        chooser = random.Random(6)
        commit("blob", chooser.randbytes(BLOB), "a large one")
        run("checkout", "-q", "-b", "side")
        commit("side/file", b"aside\n", "aside")
        run("checkout", "-q", "main")
        for i in range(COMMITS):
            commit(f"folder {i % 3}/file é", chooser.randbytes(1000).hex().encode(), f"change {i}")
        run("merge", "-q", "--no-ff", "-m", "together", "side")
        run("tag", "-a", "-m", "as it was", "v1", "HEAD~3")
        return source

    def test_git_clones_over_it(self):
        self.bring("/usr/bin/git")
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
        source = self.make_repository(git)
        self.assert_ended(self.ssh("ln -sf git /usr/bin/git-upload-pack"), 0)
        done = self.run_program("scp", "-rq", source, f"{self.host}:/tmp/source.git")
        self.assertEqual(done.returncode, 0, done.stderr)
        copy = os.path.join(self.scratch, "copy")
        done = subprocess.run([*git, "clone", "-q", f"{self.host}:/tmp/source.git", copy],
                              env={**os.environ, "GIT_SSH_COMMAND": f"ssh -F {self.config}"},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LONG,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

        def ask(repository, *words):
            return subprocess.run([*git, "-C", repository, *words], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=True).stdout
        self.assertNotIn(b"error", ask(copy, "fsck", "--full", "--strict"))
        for words in (("rev-list", "--all", "--objects", "--no-object-names"), ("log", "--format=%H %s"),
                      ("rev-parse", "v1^{commit}"), ("ls-tree", "-r", "HEAD")):
            self.assertEqual(sorted(ask(copy, *words).splitlines()),
                             sorted(ask(source, *words).splitlines()), words)
        self.assertEqual(len(ask(copy, "rev-list", "HEAD").splitlines()), COMMITS + 3)
        blobs = []
        for repository in (source, copy):
            with open(os.path.join(repository, "blob"), "rb") as file:
                blobs.append(hashlib.sha256(file.read()).hexdigest())
        self.assertEqual(blobs[0], blobs[1])
        self.assertEqual(ask(copy, "status", "--porcelain"), b"")
