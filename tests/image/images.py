"""Small images, made byte by byte, so that any part of one can be wrong on purpose.

    app = Image([Layer([dir("bin"), file("bin/app", b"...", mode=0o755)])], config={"Cmd": ["/bin/app"]})
    app.manifest["layers"][0]["size"] += 1     # edit before it is used; what was sealed stays as it was
    registry.push(app, "team/app:1")           # or app.layout(path, "1"), or fake.add(app, "team/app:1")

Entries become tar headers by our own writer, not tarfile's, since a hostile archive is one that no
decent writer makes. Order, duplicates and nonsense are kept.
"""

import base64
import ctypes
import dataclasses
import gzip
import hashlib
import json
import pathlib
import shutil
import subprocess

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
MANIFEST, INDEX = OCI + "manifest.v1+json", OCI + "index.v1+json"
DOCKER_MANIFEST = DOCKER + "distribution.manifest.v2+json"
DOCKER_LIST = DOCKER + "distribution.manifest.list.v2+json"
EPOCH = 1_600_000_000
EMPTY = b"{}"  # the content of the empty descriptor


def digest(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


# ---- tar ----


@dataclasses.dataclass
class Entry:
    """One member. pax holds further records as (key, value) pairs, written as they are; fields
    replaces bytes of the finished header by offset (the checksum is computed afterwards)."""

    name: str
    type: str = "0"
    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = EPOCH
    link: str = ""
    device: tuple = (0, 0)
    xattrs: dict = dataclasses.field(default_factory=dict)
    pax: list = dataclasses.field(default_factory=list)
    fields: dict = dataclasses.field(default_factory=dict)
    size: int = None  # what the header claims, where that isn't len(data)
    checksum: bool = True


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")


def file(name, data=b"", mode=0o644, **kw):
    return Entry(name, "0", as_bytes(data), mode, **kw)


def dir(name, mode=0o755, **kw):
    return Entry(name.rstrip("/") + "/", "5", mode=mode, **kw)


def symlink(name, to, **kw):
    return Entry(name, "2", mode=0o777, link=to, **kw)


def hardlink(name, to, **kw):
    return Entry(name, "1", link=to, **kw)


def fifo(name, mode=0o644, **kw):
    return Entry(name, "6", mode=mode, **kw)


def char(name, major, minor, mode=0o600, **kw):
    return Entry(name, "3", mode=mode, device=(major, minor), **kw)


def block(name, major, minor, mode=0o600, **kw):
    return Entry(name, "4", mode=mode, device=(major, minor), **kw)


def whiteout(path):
    top, slash, base = path.rpartition("/")
    return file(f"{top}{slash}.wh.{base}")


def opaque(path):
    return file(f"{path.rstrip('/')}/.wh..wh..opq")


def octal(value, width):
    """A number field: octal with a NUL, or GNU's base 256 where it does not fit or is negative."""
    text = b"%0*o" % (width - 1, value) if value >= 0 else b""
    if value >= 0 and len(text) < width:
        return text + b"\0"
    return (value % (1 << 8 * width) | 1 << 8 * width - 1).to_bytes(width, "big")


def split(name):
    """(prefix, name) as ustar has room for them; ("", name) where it has none."""
    cut = name.rfind(b"/", 0, 156) if len(name) > 100 else -1
    return (name[:cut], name[cut + 1:]) if cut > 0 and 0 < len(name) - cut - 1 <= 100 else (b"", name)


def header(name, type, size=0, mode=0o644, uid=0, gid=0, mtime=EPOCH, link="", device=(0, 0), fields=None,
           checksum=True):
    """512 bytes of ustar. A name that does not fit is cut."""
    link = as_bytes(link)
    prefix, name = split(as_bytes(name))
    h = bytearray(512)

    def put(at, width, value):
        h[at:at + width] = value[:width].ljust(width, b"\0")

    put(0, 100, name)
    put(100, 8, octal(mode, 8))
    put(108, 8, octal(uid, 8))
    put(116, 8, octal(gid, 8))
    put(124, 12, octal(size, 12))
    put(136, 12, octal(int(mtime), 12))
    put(156, 1, as_bytes(type))
    put(157, 100, link)
    put(257, 8, b"ustar\00000")
    put(329, 8, octal(device[0], 8))
    put(337, 8, octal(device[1], 8))
    put(345, 155, prefix)
    for at, value in (fields or {}).items():
        h[at:at + len(value)] = value
    if checksum:
        h[148:156] = b" " * 8
        h[148:156] = b"%06o\0 " % sum(h)
    return bytes(h)


def padded(data):
    return data + b"\0" * (-len(data) % 512)


def pax_record(key, value):
    body = b" " + as_bytes(key) + b"=" + as_bytes(value) + b"\n"
    n = len(body)
    while n != len(body) + len(str(n)):
        n = len(body) + len(str(n))
    return str(n).encode() + body


def pax(records, type="x", name="PaxHeaders/entry"):
    """An extended header of these (key, value) records; type "g" for a global one."""
    data = b"".join(pax_record(k, v) for k, v in records)
    return header(name, type, len(data)) + padded(data)


def records_of(entry):
    """What does not fit the ustar header, and what the entry adds."""
    found = []
    if len(split(as_bytes(entry.name))[1]) > 100:
        found.append(("path", entry.name))
    if len(as_bytes(entry.link)) > 100:
        found.append(("linkpath", entry.link))
    if entry.mtime != int(entry.mtime):
        found.append(("mtime", repr(entry.mtime)))
    found += [(f"SCHILY.xattr.{k}", v) for k, v in entry.xattrs.items()]
    return found + list(entry.pax)


def member(entry):
    """The bytes of one member; bytes are passed on as they are."""
    if isinstance(entry, bytes):
        return entry
    records = records_of(entry)
    size = len(entry.data) if entry.size is None else entry.size
    return (pax(records) if records else b"") + header(
        entry.name, entry.type, size, entry.mode, entry.uid, entry.gid, entry.mtime, entry.link, entry.device,
        entry.fields, entry.checksum) + padded(entry.data)


def tar(entries, end=b"\0" * 1024):
    return b"".join(member(e) for e in entries) + end


# ---- compression ----


def zstd(data, level=3):
    """One zstd frame."""
    lib = ctypes.CDLL("libzstd.so.1")
    lib.ZSTD_compressBound.restype = lib.ZSTD_compress.restype = ctypes.c_size_t
    cap = lib.ZSTD_compressBound(ctypes.c_size_t(len(data)))
    out = ctypes.create_string_buffer(cap)
    n = lib.ZSTD_compress(out, ctypes.c_size_t(cap), data, ctypes.c_size_t(len(data)), level)
    assert not lib.ZSTD_isError(ctypes.c_size_t(n))
    return out.raw[:n]


COMPRESSION = {
    "gzip": ("+gzip", lambda data: gzip.compress(data, 1, mtime=0)),
    "zstd": ("+zstd", zstd),
    "none": ("", lambda data: data),
}


class Layer:
    """A layer from entries, from the bytes of an archive (tar=), or from any blob at all (blob=,
    then diff_id is of tar if that is given too). What is said of it can be edited."""

    def __init__(self, entries=(), compression="gzip", tar=None, blob=None, media_type=None):
        suffix, pack = COMPRESSION[compression]
        self.tar = tar if tar is not None else globals()["tar"](entries)
        self.blob = blob if blob is not None else pack(self.tar)
        self.compression = compression
        self.diff_id = digest(self.tar)
        self.media_type = media_type or OCI + "layer.v1.tar" + suffix

    @property
    def digest(self):
        return digest(self.blob)

    def descriptor(self, docker=False):
        kind = self.media_type
        if docker and kind == OCI + "layer.v1.tar+gzip":
            kind = DOCKER + "image.rootfs.diff.tar.gzip"
        return {"mediaType": kind, "digest": self.digest, "size": len(self.blob)}


class Sealed:
    """Something with a manifest: its bytes, its digest, and every blob it needs."""

    text = None  # the manifest verbatim, where a test wants it so
    blobs = {}   # digest -> bytes
    below = ()   # what an index leads to

    @property
    def body(self):
        return as_bytes(self.text) if self.text is not None else json.dumps(self.manifest).encode()

    @property
    def digest(self):
        return digest(self.body)

    @property
    def media_type(self):
        return self.manifest["mediaType"]

    def descriptor(self, **more):
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body), **more}

    def all_blobs(self):
        """Its own and those of everything below, without manifests."""
        found = dict(self.blobs)
        for part in self.below:
            found.update(part.all_blobs())
        return found

    def manifests(self):
        """Itself last, so that what refers comes after what is referred to."""
        return [m for part in self.below for m in part.manifests()] + [self]

    def layout(self, path, *tags):
        """Writes (or adds to) an OCI layout; each tag names it."""
        path = pathlib.Path(path)
        blobs = path / "blobs" / "sha256"
        blobs.mkdir(parents=True, exist_ok=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        for name, data in self.all_blobs().items():
            (blobs / name.partition(":")[2]).write_bytes(data)
        for m in self.manifests():
            (blobs / m.digest.partition(":")[2]).write_bytes(m.body)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        if (path / "index.json").exists():
            index = json.loads((path / "index.json").read_text())
        for tag in tags:
            index["manifests"].append(self.descriptor(annotations={"org.opencontainers.image.ref.name": tag}))
        if not tags:
            index["manifests"].append(self.descriptor())
        (path / "index.json").write_text(json.dumps(index))
        return path


class Image(Sealed):
    """One image. config is the configuration's inner `config` object (Env, Cmd, User ...); more of the
    outer one is in self.config. Edit self.config or self.manifest before use: editing the
    configuration afterwards needs config_seal()."""

    def __init__(self, layers=(), config=None, platform="linux/amd64", docker=False, **outer):
        system, arch, *variant = platform.split("/")
        self.docker = docker
        self.layers = [l if isinstance(l, Layer) else Layer(l) for l in layers]
        self.blobs = {l.digest: l.blob for l in self.layers}
        self.config = {
            "created": "2024-02-03T04:05:06Z", "architecture": arch, "os": system, "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [l.diff_id for l in self.layers]},
            "history": [{"created": "2024-02-03T04:05:06Z", "created_by": f"layer {i}"}
                        for i in range(len(self.layers))],
            **outer,
        }
        if variant:
            self.config["variant"] = variant[0]
        self.platform = {"os": system, "architecture": arch, **({"variant": variant[0]} if variant else {})}
        self.manifest = {
            "schemaVersion": 2, "mediaType": DOCKER_MANIFEST if docker else MANIFEST,
            "config": {}, "layers": [l.descriptor(docker) for l in self.layers],
        }
        self.config_seal()

    def config_seal(self, text=None):
        """Makes self.config (or a text verbatim) the configuration that the manifest names."""
        data = as_bytes(text) if text is not None else json.dumps(self.config).encode()
        self.blobs.pop(self.manifest["config"].get("digest"), None)
        self.blobs[digest(data)] = data
        kind = DOCKER + "container.image.v1+json" if self.docker else OCI + "config.v1+json"
        self.manifest["config"] = {"mediaType": kind, "digest": digest(data), "size": len(data)}
        return self

    @property
    def id(self):
        return self.manifest["config"]["digest"]


class Index(Sealed):
    """Several images under one name, or an index of indexes."""

    def __init__(self, parts, docker=False, **more):
        self.below = list(parts)
        self.manifest = {
            "schemaVersion": 2, "mediaType": DOCKER_LIST if docker else INDEX,
            "manifests": [p.descriptor(platform=p.platform) if isinstance(p, Image) else p.descriptor()
                          for p in self.below], **more,
        }


class Artifact(Sealed):
    """A manifest whose content is no image: data under a media type, perhaps about a subject."""

    def __init__(self, data=b"hello", artifact_type="application/vnd.example.thing", subject=None, **more):
        data = as_bytes(data)
        self.blobs = {digest(EMPTY): EMPTY, digest(data): data}
        self.manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(EMPTY),
                       "size": len(EMPTY), "data": base64.b64encode(EMPTY).decode()},
            "layers": [{"mediaType": "text/plain", "digest": digest(data), "size": len(data)}],
            **({"subject": subject.descriptor()} if subject else {}), **more,
        }


# ---- an image to run ----

APPLETS = """sh cat ls echo true false sleep id env pwd mkdir touch stat readlink test dd head hostname tty
    kill ps sed wc date uname rm ln chmod cp sort tr cut awk find grep ip mv od du df nproc cmp chown tail
    mount mountpoint md5sum sha256sum tar printf seq expr""".split()
PASSWD = """root:x:0:0:root:/root:/bin/sh
web:x:1000:1000:web:/home/web:/bin/sh
db:x:1001:2000::/var/db:/bin/sh
"""
GROUP = """root:x:0:
web:x:1000:
staff:x:50:web,db
data:x:2000:
extra:x:3000:root,web
"""


def busybox_entries():
    """A small root file system around Debian's static busybox."""
    found = [dir(d) for d in ("bin", "dev", "etc", "home", "home/web", "proc", "root", "sys", "usr", "var")]
    found += [dir("tmp", 0o1777), file("bin/busybox", pathlib.Path("/bin/busybox").read_bytes(), 0o755)]
    found += [symlink(f"bin/{a}", "busybox") for a in APPLETS]
    return found + [file("etc/passwd", PASSWD), file("etc/group", GROUP)]


_busybox = {}


def busybox_layer(compression="gzip"):
    if compression not in _busybox:
        _busybox[compression] = Layer(busybox_entries(), compression)
    return _busybox[compression]


def busybox(config=None, *layers, **kw):
    """An image that runs: the busybox layer, further layers (or lists of entries) above it."""
    return Image([busybox_layer(), *layers], {"Env": ["PATH=/bin"], "Cmd": ["sh"], **(config or {})}, **kw)


def skopeo_push(layout, tag, target, *flags):
    """Pushes what a layout holds with skopeo, byte for byte."""
    subprocess.run(["skopeo", "copy", "-q", "--all", "--preserve-digests", *flags, f"oci:{layout}:{tag}",
                    f"docker://{target}"], check=True, capture_output=True, timeout=120)


def have_skopeo():
    return shutil.which("skopeo")
