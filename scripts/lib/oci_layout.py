"""OCI image layouts and docker archives, written with every byte of metadata given."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OCI = "application/vnd.oci.image"


class Layer:
    """A tar archive in the making; every member's metadata is given, none comes from here."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind=tarfile.REGTYPE, content=b"", mode=0o644, uid=0, gid=0, mtime=0,
            link="", device=(0, 0), xattrs=None):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, uid, gid, mtime
        info.size, info.linkname = len(content), link
        info.devmajor, info.devminor = device
        if xattrs:
            # tarfile writes text; surrogates stand for the bytes that are none.
            info.pax_headers = {f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape")
                                for key, value in xattrs.items()}
        self.tar.addfile(info, io.BytesIO(content))

    def directory(self, name, mode=0o755, **more):
        self.add(name, tarfile.DIRTYPE, mode=mode, **more)

    def symlink(self, name, target, **more):
        self.add(name, tarfile.SYMTYPE, link=target, mode=0o777, **more)

    def finish(self):
        self.tar.close()
        return self.bytes.getvalue()


def compress(plain, how):
    if how == "gzip":
        return gzip.compress(plain, 6, mtime=0)
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-c", "-9"], input=plain, stdout=subprocess.PIPE,
                              check=True).stdout
    return plain


class Layout:
    def __init__(self, out):
        self.out = out
        os.makedirs(os.path.join(out, "blobs", "sha256"))

    def write(self, name, content):
        with open(os.path.join(self.out, name), "wb") as file:
            file.write(content)

    def blob(self, content, media_type):
        digest = hashlib.sha256(content).hexdigest()
        self.write(f"blobs/sha256/{digest}", content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def finish(self, layers, config, created, tag="latest"):
        """`layers` are (tar, compression) from the lowest up; `created` is in seconds since 1970."""
        blobs, diff_ids = [], []
        for plain, how in layers:
            suffix = f"+{how}" if how else ""
            blobs.append(self.blob(compress(plain, how), f"{OCI}.layer.v1.tar{suffix}"))
            diff_ids.append("sha256:" + hashlib.sha256(plain).hexdigest())
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created))
        image = as_json({
            "created": moment, "architecture": "amd64", "os": "linux",
            "config": config, "rootfs": {"type": "layers", "diff_ids": diff_ids}})
        described = self.blob(image, f"{OCI}.config.v1+json")
        manifest = self.blob(as_json({
            "schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": described,
            "layers": blobs}), f"{OCI}.manifest.v1+json")
        manifest["annotations"] = {"org.opencontainers.image.ref.name": tag}
        self.write("index.json", as_json({"schemaVersion": 2, "manifests": [manifest]}))
        self.write("oci-layout", as_json({"imageLayoutVersion": "1.0.0"}))
        self.write("config-digest", described["digest"].removeprefix("sha256:").encode())
        return image


def docker_archive(path, layers, image, name):
    """The same as `docker save` would write it. (skopeo cannot: no zstd in Docker's formats.)"""
    archive = Layer()
    config = hashlib.sha256(image).hexdigest() + ".json"
    archive.add(config, content=image)
    files = []
    for plain, _ in layers:
        files.append(hashlib.sha256(plain).hexdigest() + "/layer.tar")
        archive.directory(os.path.dirname(files[-1]))
        archive.add(files[-1], content=plain)
    archive.add("manifest.json", content=as_json(
        [{"Config": config, "RepoTags": [f"{name}:latest"], "Layers": files}]))
    with open(path, "wb") as file:
        file.write(archive.finish())


def as_json(value):
    return json.dumps(value, separators=(",", ":")).encode()
