"""What asyncssh sees that OpenSSH's client does not tell: the part of ssh_test.py's class that uses it."""

import re
import subprocess
import textwrap

from vch_testing import TIMEOUT, VCH, vch

BEGIN = """
import asyncio, asyncssh, sys
async def main():
    known = asyncssh.import_known_hosts({known!r})
    async with asyncssh.connect({host!r}, username={user!r}, client_keys=[{key!r}], known_hosts=known,
                                config=None, proxy_command=[{vch!r}, 'dial', {container!r}, 'ssh'],
                                **{options!r}) as conn:
        await run(conn)
async def read_until(stream, end):
    return await stream.readuntil(end)
"""
END = "\nasyncio.run(main())\n"


class AsyncsshTests:
    """Of a class that is an SshMachineTest."""

    def run_asyncssh(self, script, wanted, user="root", **options):
        """`conn` being logged in; what it prints."""
        key = re.search(r'IdentityFile "?([^"\n]+)', vch("ssh-config").stdout.decode()).group(1)
        known = vch("ssh-host-key", self.host, self.host.lower()).stdout.decode()
        begin = BEGIN.format(known=known, host=self.host.lower(), user=user, key=key, vch=VCH,
                             container=self.container, options=options)
        body = "async def run(conn):\n" + textwrap.indent(script, "    ")
        done = subprocess.run(["/usr/bin/python3", "-W", "ignore", "-c", begin + body + END],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
        self.assertEqual(done.stdout.decode(), wanted, done.stderr[-2000:].decode())

    def test_an_end_names_its_signal_and_one_that_is_sent_at_once_arrives(self):
        self.run_asyncssh("""
print((await conn.run('kill -SEGV $$')).exit_signal[0])
for _ in range(5):
    process = await conn.create_process('exec sleep 100000')
    process.send_signal('TERM')
    await process.wait_closed()
    print(process.exit_signal[0])
""", "SEGV\n" + 5 * "TERM\n")

    def test_a_break_interrupts_the_job_in_the_foreground(self):
        self.run_asyncssh("""
process = await conn.create_process(term_type='vt100', encoding=None)
process.stdin.write(b"set -m; sh -c 'echo run''s; exec sleep 100000'\\n")
await read_until(process.stdout, b'runs')
process.send_break(500)
process.stdin.write(b"echo ov''er $?; exit 4\\n")
await read_until(process.stdout, b'over 130')
await process.wait_closed()
print(process.exit_status)
""", "4\n")

    def test_what_a_command_leaves_running_may_say_more(self):
        self.run_asyncssh("""
done = await conn.run('(sleep 1; echo late; echo wrong >&2) & echo early; exit 3')
print(done.stdout.split(), done.stderr.split(), done.exit_status)
""", "['early', 'late'] ['wrong'] 3\n")

    def test_sizes_and_variables_have_bounds(self):
        self.run_asyncssh("""
for size in ((0, 0), (132, 43), (65536, 70000), (4294967295, 1)):
    done = await conn.run('stty size; echo on', term_type='vt100', term_size=size)
    print(done.stdout.split()[-3:] if size[0] == 132 else done.stdout.split()[-1])
env = {f'LC_{i}': 'x' for i in range(80)} | {'LC_ALL': 'y' * 5000, 'PATH': '/no'}
print((await conn.run("env | grep -c '^LC_[0-9]'; echo ${#LC_ALL}", env=env)).stdout.split())
""", "on\n['43', '132', 'on']\non\non\n['64', '0']\n")

    def test_connections_are_closed_by_halves_and_say_why_they_cannot_be(self):
        self.assert_ended(self.ssh("nc -ll -p 8002 -e sort >/dev/null 2>&1 &"), 0)
        self.run_asyncssh("""
for host in ('127.0.0.1', '::1', 'localhost'):
    for _ in range(100):
        try:
            reader, writer = await conn.open_connection(host, 8002)
            break
        except asyncssh.ChannelOpenError as e:
            await asyncio.sleep(0.05)
    writer.write(b'2\\n1\\n')
    writer.write_eof()
    print(await reader.read())
for host, port in (('127.0.0.1', 1), ('no-such-host', 1), ('203.0.113.1', 0)):
    try:
        await conn.open_connection(host, port)
    except asyncssh.ChannelOpenError as e:
        print(e.code == asyncssh.OPEN_CONNECT_FAILED, e.reason)
await conn.run('pkill -x nc')
""", 3 * "b'1\\n2\\n'\n" + "True Connection refused\nTrue Name or service not known\nTrue There is no such port\n")

    def test_keys_are_exchanged_anew_beside_streams_terminals_and_connections(self):
        self.assert_ended(self.ssh("nc -ll -p 8003 -e cat >/dev/null 2>&1 &"), 0)
        self.run_asyncssh("""
async def through(reader, writer, size):
    async def write():
        for i in range(0, size, 20000):
            writer.write(bytes([i // 20000 % 251]) * 20000)
            await writer.drain()
        writer.write_eof()
    task = asyncio.ensure_future(write())
    got = await reader.read()
    await task
    return len(got), all(got[i] == i // 20000 % 251 for i in range(0, len(got), 20000))
async def exec_():
    process = await conn.create_process('cat', encoding=None)
    return await through(process.stdout, process.stdin, 4000000)
async def forward():
    return await through(*await conn.open_connection('127.0.0.1', 8003), 2000000)
async def terminal():
    process = await conn.create_process('stty -echo; cat', term_type='vt100', encoding=None)
    for i in range(50):
        process.stdin.write(b'line %d\\n' % i)
        await read_until(process.stdout, b'line %d\\r\\n' % i)
    process.stdin.write(b'\\x04')
    await process.wait_closed()
    return process.exit_status
print(*await asyncio.gather(exec_(), forward(), terminal()))
await conn.run('pkill -x nc')
""", "(4000000, True) (2000000, True) 0\n", rekey_bytes=100000)

    def test_files_have_what_version_3_and_openssh_say(self):
        self.run_asyncssh("""
async with conn.start_sftp_client() as sftp:
    await sftp.mkdir('/tmp/kept')
    await sftp.chdir('/tmp/kept')
    for words in (b'one', b' and two'):
        async with sftp.open('file', 'ab') as file:
            await file.write(words)
            await file.fsync()
    print(await (await sftp.open('file')).read())
    await sftp.link('file', 'second')
    await sftp.symlink('file', '/tmp/kept/third')
    links = (await conn.run('stat -c %h /tmp/kept/second')).stdout.strip()
    print(links, await sftp.readlink('third'), await sftp.realpath('third'))
    for rename in (sftp.rename, sftp.posix_rename):
        try:
            await rename('second', 'third')
            print('renamed', await sftp.islink('third'))
        except asyncssh.SFTPFailure:
            print('refused')
    await sftp.truncate('file', 3)
    await sftp.chmod('file', 0o640)
    await sftp.utime('file', (1000000000, 1000000001))
    about = await sftp.stat('file')
    print(about.size, oct(about.permissions), about.atime, about.mtime)
    about = await sftp.statvfs('.')
    print(about.bsize > 0, about.blocks >= about.bfree >= about.bavail > 0)
    await conn.run('cd /tmp/kept && mkdir many && cd many && seq 2500 | xargs touch')
    names = [name for name in await sftp.listdir('many') if name not in ('.', '..')]
    print(sorted(map(int, names)) == list(range(1, 2501)))
    for what in (sftp.open('none'), sftp.rmdir('many')):
        try:
            await what
        except asyncssh.SFTPError as e:
            print(type(e).__name__)
    await sftp.rmtree('/tmp/kept')
    print(await sftp.exists('/tmp/kept'))
""", """one and two
2 /tmp/kept/file /tmp/kept/file
refused
renamed False
3 0o100640 1000000000 1000000001
True True
True
SFTPNoSuchFile
SFTPFailure
False
""")

    def test_another_user_is_one(self):
        self.assert_ended(self.ssh(
            "mkdir -p /home/worker && chown 1234:1234 /home/worker && "
            "echo worker:x:1234:1234::/home/worker:/bin/sh >>/etc/passwd && "
            "echo 'helpers:x:77:worker' >>/etc/group"), 0)
        self.run_asyncssh("""
done = await conn.run('id -u; id -g; id -G; pwd; echo $HOME $USER $LOGNAME; touch /root/x; echo $?')
print(done.stdout, done.stderr, sep='')
async with conn.start_sftp_client() as sftp:
    print(await sftp.realpath('.'))
    async with sftp.open('mine', 'w') as file:
        await file.write('text')
    about = await sftp.stat('mine')
    print(about.uid, about.gid)
    for what in (sftp.listdir('/root'), sftp.chown('mine', 0, 0), sftp.open('/etc/passwd', 'a')):
        try:
            print(await what)
        except asyncssh.SFTPError as e:
            print(type(e).__name__)
""", """1234
1234
1234 77
/home/worker
/home/worker worker worker
1
touch: /root/x: Permission denied

/home/worker
1234 1234
""" + 3 * "SFTPPermissionDenied\n", user="worker")
