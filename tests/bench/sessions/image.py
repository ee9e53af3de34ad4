"""The image that all of a run's guests have: busybox, and the servers that tether is compared with.

Made of Debian's packages, which apt downloads and nobody installs; kept under
${XDG_CACHE_HOME:-~/.cache}/tether/sessions-bench by the hash of what it is made from.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
# The three, and the libraries that they and their libraries name.
PACKAGES = """
    dropbear-bin openssh-server qemu-guest-agent
    libc6 libcrypt1 zlib1g libtomcrypt1 libtommath1 libgmp10 libwrap0 libnsl2 libtirpc3 libaudit1
    libpam0g libsystemd0 libselinux1 libgssapi-krb5-2 libkrb5-3 libk5crypto3 libkrb5support0
    libkeyutils1 libcom-err2 libssl3 libcap-ng0 libcap2 libgcrypt20 libgpg-error0 liblzma5 libzstd1
    liblz4-1 libpcre2-8-0 libudev1 libnuma1 liburing2 libglib2.0-0""".split()
APPLETS = "cat chmod chown cp echo ls mkdir mount sh sleep true".split()
PEER = "tests/session_peer"
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
ACCOUNTS = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:100::/run/sshd:/usr/sbin/nologin\n",
    "group": "root:x:0:\ntty:x:5:\nsshd:x:100:\n",
    "shadow": "root:*:19000::::::\n",
    "shells": "/bin/sh\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\n",
}


def fail(text):
    print(f"bench: {text}", file=sys.stderr)
    sys.exit(1)


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                          **more)
    if done.returncode != 0:
        fail(f"{command[0]} failed: {done.stdout.decode(errors='replace').strip()[-500:]}")


def program(name, package):
    return shutil.which(name) or fail(f"{name} is not there; install the package {package}")


def write(path, text, mode=0o644):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, mode)


def unpack(package, tree):
    """Keeps the links of the merged /usr, which dpkg-deb -x would replace."""
    archive = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
    run("tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", tree,
        "--exclude=./usr/share", "--exclude=./lib/systemd", stdin=archive.stdout)
    if archive.wait() != 0:
        fail(f"{package} cannot be unpacked")


def make_tree(tree, packages, keys, build):
    for folder in MERGED:
        os.makedirs(os.path.join(tree, "usr", folder))
        os.symlink(os.path.join("usr", folder), os.path.join(tree, folder))
    for package in os.listdir(packages):
        unpack(os.path.join(packages, package), tree)
    for folder in ("dev", "etc/ssh", "proc", "root", "run", "sys", "tmp", "var"):
        os.makedirs(os.path.join(tree, folder), exist_ok=True)
    os.symlink("../run", os.path.join(tree, "var/run"))
    os.makedirs(os.path.join(tree, "var/log"), exist_ok=True)
    write(os.path.join(tree, "var/log/lastlog"), "")  # sshd complains in the terminal without
    programs = os.path.join(tree, "usr/bin")
    shutil.copy(program("busybox", "busybox-static"), programs)
    for applet in APPLETS:
        os.symlink("busybox", os.path.join(programs, applet))
    shutil.copy(os.path.join(build, PEER), programs)
    for name, text in ACCOUNTS.items():
        write(os.path.join(tree, "etc", name), text)
    for name in ("host_key", "client_key.pub"):
        shutil.copy(os.path.join(keys, name), os.path.join(tree, "etc/ssh"))
    shutil.copy(os.path.join(HERE, "sshd_config"), os.path.join(tree, "etc/ssh"))
    serve = os.path.join(tree, "usr/sbin/serve-sessions")
    shutil.copy(os.path.join(HERE, "guest_serve.sh"), serve)
    os.chmod(serve, 0o755)


def make_initramfs(work):
    """Busybox and a script, not compressed."""
    root = os.path.join(work, "initramfs")
    for folder in ("bin", "dev", "lower", "root", "writable"):
        os.makedirs(os.path.join(root, folder))
    shutil.copy(program("busybox", "busybox-static"), os.path.join(root, "bin"))
    shutil.copy(os.path.join(HERE, "guest_init.sh"), os.path.join(root, "init"))
    os.chmod(os.path.join(root, "init"), 0o755)
    run("sh", "-c", "find . | cpio -o -H newc >../initramfs.cpio", cwd=root)
    shutil.rmtree(root)


def make(work, build):
    packages = os.path.join(work, "packages")
    os.makedirs(packages)
    run("apt-get", "-q", "download", *PACKAGES, cwd=packages)
    for key in ("host_key", "client_key"):
        run(program("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-C", key,
            "-f", os.path.join(work, key))
    os.makedirs(os.path.join(work, "tree"))
    make_tree(os.path.join(work, "tree"), packages, work, build)
    make_initramfs(work)
    shutil.rmtree(packages)


def provide(build):
    """The directory that has `tree`, the image's files, `initramfs.cpio`, and the key `client_key`."""
    digest = hashlib.sha256()
    sources = ("image.py", "guest_init.sh", "guest_serve.sh", "sshd_config")
    for path in (*(os.path.join(HERE, name) for name in sources),
                 os.path.join(build, PEER), program("busybox", "busybox-static")):
        with open(path, "rb") as file:
            digest.update(file.read())
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    parent = os.path.join(cache, "tether", "sessions-bench")
    made = os.path.join(parent, digest.hexdigest()[:16])
    if os.path.isdir(made):
        return made
    shutil.rmtree(parent, ignore_errors=True)
    os.makedirs(parent)
    work = tempfile.mkdtemp(dir=parent)
    make(work, build)
    os.rename(work, made)
    return made
