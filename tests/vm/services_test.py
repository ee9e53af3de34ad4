"""Real servers on volumes, each in a containerVM of its own, reached from the host through a published port."""

import os
import signal
import subprocess
import urllib.request

from vch_testing import FULL, VCH, VmTest, inspect, vch

IMAGE = "services"
PATIENCE = 120  # seconds; a bound for what hangs

PSQL = ("psql", "-h", "127.0.0.1", "-U", "postgres", "-qtAX", "-v", "ON_ERROR_STOP=1")
POSTGRESQL = """
set -e
as='setpriv --reuid postgres --regid postgres --init-groups'
if [ ! -e /data/base/PG_VERSION ]; then
  install -d -o postgres -g postgres -m 700 /data/base
  $as initdb -D /data/base -E UTF8 --locale=C.UTF-8 -A trust >/dev/null
  echo 'host all all all trust' >>/data/base/pg_hba.conf
  sync
fi
exec $as postgres -D /data/base -c 'listen_addresses=*' -c jit=off -c shared_buffers=16MB
"""
REDIS = "exec redis-server --bind 0.0.0.0 --protected-mode no --dir /data --appendonly yes --appendfsync always"
NGINX = """
mkdir -p /data/www && [ -e /data/www/index.html ] || echo first >/data/www/index.html
chown -R www-data /data/www
cat >/tmp/nginx.conf <<'END'
daemon off; pid /tmp/nginx.pid; user www-data; error_log stderr;
events {}
http { access_log /dev/stdout; server { listen 80; root /data/www; } }
END
exec nginx -c /tmp/nginx.conf
"""


class Services(VmTest):
    def volume(self):
        name = self.name("v").lower()
        self.addCleanup(vch, "volume", "rm", name)
        self.assert_ended(vch("volume", "create", name, "--size", "512m"), 0)
        return name

    def start(self, script, volume, port, says):
        """A server, as soon as it has said that it serves; gives its container's name and host port."""
        name = self.name()
        self.assert_ended(
            vch("run", "-d", "--name", name, "--memory", "512m", "-v", f"{volume}:/data", "-p", f"127.0.0.1::{port}",
                IMAGE, "sh", "-c", script), 0, stderr=b"")
        return name, self.wait_for(name, port, says)

    def wait_for(self, name, port, says):
        with subprocess.Popen([VCH, "logs", "-f", "--since", inspect(name)["StartedAt"], name],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as logs:
            said = b""
            for line in logs.stdout:
                said += line
                if says in line:
                    break
            else:
                self.fail(f"{name} ended without saying {says!r}: {said[-2000:]!r}")
            logs.kill()
        return vch("port", name, str(port)).stdout.decode().strip().rpartition(":")[2]

    def run_client(self, *command, **more):
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, check=False,
                              **more)


class PostgreSql(Services):
    def psql(self, port, sql):
        result = self.run_client(*PSQL, "-p", port, "-c", sql)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode().strip()

    def test_every_committed_row_survives_the_machine(self):
        """Rows are committed one by one while QEMU is killed; each that was confirmed is there afterwards."""
        volume = self.volume()
        ready = b"ready to accept connections"
        name, port = self.start(POSTGRESQL, volume, 5432, ready)
        self.psql(port, "create table rows (n int primary key, text text)")
        confirmed = 0
        for _ in range(5 if FULL else 2):
            confirmed = self.insert_until_killed(name, port, confirmed)
            self.assertEqual(vch("wait", name).stdout, b"125\n")
            self.assert_ended(vch("start", name), 0)
            port = self.wait_for(name, 5432, ready)
            count, last = self.psql(port, "select count(*), max(n) from rows").split("|")
            # The last row may have been committed without a confirmation.
            self.assertIn(int(last), (confirmed, confirmed + 1))
            self.assertEqual(count, last)
            confirmed = int(last)
        self.assertEqual(self.psql(port, "select sum(length(text)) from rows"), str(1000 * confirmed))
        self.assert_ended(vch("stop", "-t", "60", name), 0)
        self.assertEqual(inspect(name)["ExitCode"], 0)

    def insert_until_killed(self, name, port, confirmed):
        """Kills QEMU when 50 rows more are confirmed; gives the last row that psql was told of."""
        path = os.path.join(self.scratch, "rows.sql")
        with open(path, "w", encoding="ascii") as file:
            for number in range(confirmed + 1, confirmed + 5000):
                file.write(f"insert into rows values ({number}, repeat('x', 1000)) returning n;\n")
        machine = inspect(name)["Machine"]["Pid"]
        with subprocess.Popen([*PSQL, "-p", port, "-f", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as psql:
            told = confirmed
            for line in psql.stdout:
                told = int(line)
                if told == confirmed + 50:
                    os.kill(machine, signal.SIGKILL)
        self.assertNotEqual(psql.returncode, 0)
        self.assertGreaterEqual(told, confirmed + 50)
        return told


class Redis(Services):
    def redis(self, port, *command):
        result = self.run_client("redis-cli", "-h", "127.0.0.1", "-p", port, *command)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode().strip()

    def test_what_was_set_is_there_in_the_next_life(self):
        name, port = self.start(REDIS, self.volume(), 6379, b"Ready to accept connections")
        self.assertEqual(self.redis(port, "set", "key", "value"), "OK")
        pipe = "".join(f"set key{n} {n}\r\n" for n in range(2000)).encode()
        result = self.run_client("redis-cli", "-p", port, "--pipe", input=pipe)
        self.assertIn(b"errors: 0, replies: 2000", result.stdout)
        self.assert_ended(vch("stop", name), 0)
        self.assertEqual(inspect(name)["ExitCode"], 0)
        self.assert_ended(vch("start", name), 0)
        port = self.wait_for(name, 6379, b"Ready to accept connections")
        self.assertEqual(self.redis(port, "get", "key"), "value")
        self.assertEqual(self.redis(port, "dbsize"), "2001")


class Nginx(Services):
    def get(self, port, path="/"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as page:
            return page.read()

    def get_if_it_serves(self, port):
        try:
            return self.get(port)
        except OSError:
            return None

    def test_it_serves_what_its_volume_holds(self):
        name = self.name()
        self.assert_ended(vch("run", "-d", "--name", name, "-v", f"{self.volume()}:/data", "-p", "127.0.0.1::80",
                              "--stop-signal", "QUIT", IMAGE, "sh", "-c", NGINX), 0, stderr=b"")
        port = vch("port", name, "80").stdout.decode().strip().rpartition(":")[2]
        # Its image has no word for being ready.
        while (page := self.get_if_it_serves(port)) is None:
            self.assertEqual(inspect(name)["State"], "running")
        self.assertEqual(page, b"first\n")
        page = os.urandom(3 << 20)
        path = os.path.join(self.scratch, "page")
        with open(path, "wb") as file:
            file.write(page)
        self.assert_ended(vch("cp", path, f"{name}:/data/www/page"), 0)
        self.assertEqual(self.get(port, "/page"), page)
        self.assert_ended(vch("stop", name), 0)
        self.assertEqual(inspect(name)["ExitCode"], 0)
        self.assertIn(b"GET /page HTTP/1.1\" 200 3145728", vch("logs", name).stdout)
