"""Debian's docker-registry on a free port of the loopback, over a directory: plain, TLS, passwords.

    registry.push(image, "team/app:1")     our own HTTP client: no other program's opinions
    registry.flags                         what berth, podman and skopeo need to talk to it
    registry.http("GET", "/v2/_catalog")   -> (status, headers, body)
"""

import base64
import ctypes
import http.client
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time
import urllib.parse
import warnings

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def die_along():
    """Between fork and exec: end with the test run, even where that is killed."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def bcrypt(password):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import crypt
    return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))


class Authority:
    """A private CA made on the spot, and certificates by it for 127.0.0.1 and localhost."""

    def __init__(self, base):
        self.base = pathlib.Path(base)
        self.base.mkdir(parents=True, exist_ok=True)
        self.ca, self.key = self.base / "ca.crt", self.base / "ca.key"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                     "-subj", "/CN=test authority", "-keyout", self.key, "-out", self.ca)

    def openssl(self, *args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    def issue(self, name, usage="serverAuth"):
        """(certificate, key)"""
        cert, key, request = (self.base / f"{name}.{x}" for x in ("crt", "key", "csr"))
        extensions = self.base / f"{name}.ext"
        extensions.write_text(f"subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage={usage}\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", key, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-days",
                     "30", "-extfile", extensions, "-out", cert)
        return cert, key

    def certs_dir(self, path):
        """A directory as --cert-dir takes it."""
        path = pathlib.Path(path)
        path.mkdir(parents=True, exist_ok=True)
        (path / "ca.crt").write_bytes(self.ca.read_bytes())
        return path


class Client:
    """Speaks the distribution protocol to one host, without verification of anything."""

    def __init__(self, address, tls=False, credentials=None):
        self.address, self.tls, self.credentials = address, tls, credentials

    def http(self, method, path, body=None, headers=None):
        """One request; path may be a whole URL. (status, headers, body)"""
        if "://" in path:
            parts = urllib.parse.urlsplit(path)
            path = parts.path + ("?" + parts.query if parts.query else "")
        headers = dict(headers or {})
        if self.credentials:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(self.credentials).encode()).decode()
        if self.tls:
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(self.address, timeout=60, context=context)
        else:
            connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def expect(self, status, method, path, *args, **kw):
        found = self.http(method, path, *args, **kw)
        assert found[0] == status, (method, path, *found)
        return found

    def push_blob(self, repository, digest, data):
        if self.http("HEAD", f"/v2/{repository}/blobs/{digest}")[0] == 200:
            return
        location = self.expect(202, "POST", f"/v2/{repository}/blobs/uploads/", b"")[1]["Location"]
        location += ("&" if "?" in location else "?") + "digest=" + urllib.parse.quote(digest)
        self.expect(201, "PUT", location, data, {"Content-Type": "application/octet-stream"})

    def push_manifest(self, repository, sealed, tag):
        self.expect(201, "PUT", f"/v2/{repository}/manifests/{tag}", sealed.body, {"Content-Type": sealed.media_type})

    def push(self, sealed, name):
        """Pushes an image, index or artifact to NAME:TAG; its reference."""
        repository, _, tag = name.partition(":")
        for digest, data in sealed.all_blobs().items():
            self.push_blob(repository, digest, data)
        for m in sealed.manifests():
            self.push_manifest(repository, m, (tag or "latest") if m is sealed else m.digest)
        return f"{self.address}/{name}"

    def manifest(self, name, accept=None):
        """(media type, digest, bytes) of what NAME:TAG or NAME@DIGEST is there."""
        repository, _, tag = name.partition("@") if "@" in name else name.partition(":")
        from images import DOCKER_LIST, DOCKER_MANIFEST, INDEX, MANIFEST
        accept = accept or ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST))
        _, headers, body = self.expect(200, "GET", f"/v2/{repository}/manifests/{tag or 'latest'}",
                                       headers={"Accept": accept})
        return headers["Content-Type"], headers["Docker-Content-Digest"], body

    def blob(self, repository, digest):
        return self.expect(200, "GET", f"/v2/{repository}/blobs/{digest}")[2]

    def tags(self, repository):
        return json.loads(self.expect(200, "GET", f"/v2/{repository}/tags/list")[2])["tags"]


class Registry(Client):
    """One docker-registry. authority: serve TLS by it; users: {name: password}, asked for always."""

    def __init__(self, base, authority=None, users=None, client_ca=None):
        self.base = pathlib.Path(base)
        self.base.mkdir(parents=True, exist_ok=True)
        self.data = self.base / "data"
        self.authority, self.users = authority, users
        for _ in range(5):  # a port that was free a moment ago may be taken
            self.port = free_port()
            super().__init__(f"127.0.0.1:{self.port}", bool(authority), next(iter(users.items())) if users else None)
            if self.start(client_ca):
                return
        raise RuntimeError("docker-registry does not start: " + (self.base / "log").read_text())

    @property
    def flags(self):
        """How berth, podman and skopeo are told to trust it; credentials are not among them."""
        if not self.authority:
            return ["--tls-verify=false"]
        return [f"--cert-dir={self.authority.certs_dir(self.base / 'certs')}"]

    def config(self, client_ca):
        http_part = {"addr": self.address}
        if self.authority:
            cert, key = self.authority.issue("registry")
            http_part["tls"] = {"certificate": str(cert), "key": str(key)}
            if client_ca:
                http_part["tls"]["clientcas"] = [str(client_ca)]
        found = {
            "version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}}, "http": http_part,
            "storage": {"filesystem": {"rootdirectory": str(self.data)}, "delete": {"enabled": True}},
        }
        if self.users:
            path = self.base / "htpasswd"
            path.write_text("".join(f"{u}:{bcrypt(p)}\n" for u, p in self.users.items()))
            found["auth"] = {"htpasswd": {"realm": "test", "path": str(path)}}
        return found

    def start(self, client_ca=None):
        path = self.base / "config.yml"
        path.write_text(json.dumps(self.config(client_ca)))  # JSON is YAML
        with open(self.base / "log", "ab") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", path], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, preexec_fn=die_along, env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
        end = time.monotonic() + 20
        while self.process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self.process.poll() is None
            except OSError:
                time.sleep(0.02)
        self.stop()
        return False

    def stop(self):
        self.process.kill()
        self.process.wait()

    def blob_path(self, digest):
        """Where it keeps a blob, for tampering."""
        algorithm, _, hex = digest.partition(":")
        return self.data / "docker/registry/v2/blobs" / algorithm / hex[:2] / hex / "data"
