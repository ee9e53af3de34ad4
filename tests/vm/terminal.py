"""A person at a terminal: tmux, with a shell of the host in its only window."""

import os
import re
import select
import subprocess
import time

from vch_testing import BUILD, TIMEOUT

PROMPT = "host> "


class Terminal:
    """Types keys and looks at the screen. Ends with the test."""

    def __init__(self, test, columns=80, rows=24):
        self.test = test
        self.socket = os.path.join(test.scratch, "tmux")
        env = {**os.environ, "ENV": "", "PATH": f"{BUILD}/bin:{os.environ['PATH']}"}
        env.pop("TMUX", None)
        subprocess.run(
            ["tmux", "-S", self.socket, "-f", "/dev/null", "new-session", "-d", "-x", str(columns),
             "-y", str(rows), "env", f"PS1={PROMPT}", "sh"], env=env, check=True)
        test.addCleanup(self.tmux, "kill-server", check=False)
        self.wait_for(r"host> $")

    def tmux(self, *words, check=True, **more):
        return subprocess.run(["tmux", "-S", self.socket, *words], check=check,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **more).stdout

    def type(self, text):
        self.tmux("send-keys", "-l", "--", text)

    def keys(self, *names):
        """By tmux's names: Enter, C-c, Up, ..."""
        self.tmux("send-keys", *names)

    def line(self, text):
        self.type(text)
        self.keys("Enter")

    def paste(self, content):
        self.tmux("load-buffer", "-", input=content)
        self.tmux("paste-buffer", "-r")

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self):
        return self.tmux("capture-pane", "-p").decode().rstrip("\n")

    def wait_for(self, pattern, after=""):
        """Until the screen shows it behind the last `after`; `$` is the end of its last line."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            screen = self.screen().rstrip() + " "
            start = screen.rfind(after) if after else 0
            if start >= 0 and (found := re.search(pattern, screen[start + len(after):])):
                return found
            if time.monotonic() > deadline:
                self.test.fail(f"no {pattern!r} behind {after!r} on the screen:\n{screen}")
            select.select([], [], [], 0.03)

    def ask(self, command, pattern):
        """Types a command and waits for what it says. It must fit into its line of the screen."""
        self.line(command)
        return self.wait_for(pattern, after=command)

    def foreground(self):
        """The pid of what the host's shell has started last."""
        shell = self.tmux("display-message", "-p", "#{pane_pid}").decode().strip()
        children = subprocess.run(["pgrep", "-n", "-P", shell], stdout=subprocess.PIPE, check=True)
        return int(children.stdout)
