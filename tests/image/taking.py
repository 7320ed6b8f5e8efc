"""A registry that takes uploads as strictly as the distribution-spec allows, and a wire that breaks.

    taker = Taker(chunk_min=1000); taker.blobs, taker.manifests are what it got
    taker.lose = 5000          the next body breaks off after so many bytes, which are kept
    wire = Wire("127.0.0.1:5000", cut_after=100_000, times=1)
"""

import hashlib
import json
import re
import socket
import threading
import urllib.parse

from proxy import Fake


class Taker(Fake):
    def __init__(self, chunk_min=None, referrers_kept=False, mounts=(), location="/v2/{name}/blobs/uploads/{id}?s={n}",
                 **kw):
        self.sessions, self.serial = {}, 0
        self.chunk_min, self.referrers_kept, self.mounts, self.location = chunk_min, referrers_kept, mounts, location
        self.lose = self.forget = None
        self.finished, self.deleted = [], []
        super().__init__(**kw)

    def respond(self, x):
        parts = urllib.parse.urlsplit(x.path)
        path, query = urllib.parse.unquote(parts.path), dict(urllib.parse.parse_qsl(parts.query))
        if m := re.fullmatch(r"/v2/(.+)/blobs/uploads/([^/]*)", path):
            return self.upload(x, m[1], m[2], query)
        if x.command == "PUT" and (m := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", path)):
            return self.put_manifest(x, m[1], m[2])
        return super().respond(x)

    def put_manifest(self, x, name, reference):
        found = "sha256:" + hashlib.sha256(x.body).hexdigest()
        entry = x.headers["Content-Type"], x.body, {"Docker-Content-Digest": found}
        self.manifests[name, reference] = self.manifests[name, found] = entry
        headers = {"Docker-Content-Digest": found, "Location": f"/v2/{name}/manifests/{found}"}
        if self.referrers_kept and "subject" in json.loads(x.body):
            headers["OCI-Subject"] = json.loads(x.body)["subject"]["digest"]
        return self.body(201, headers, b"")

    def status(self, code, name, id, **more):
        """Where the session is, and what comes next there: a Location of its own for every answer."""
        data = self.sessions[id]
        self.serial += 1
        headers = {"Location": self.location.format(name=name, id=id, n=self.serial), **more,
                   "Range": f"0-{max(len(data) - 1, 0)}"}
        return self.body(code, headers, b"")

    def refuse(self, code, error):
        return self.body(code, {"Content-Type": "application/json"},
                         json.dumps({"errors": [{"code": error, "message": error.lower()}]}).encode())

    def upload(self, x, name, id, query):
        if x.command == "POST":
            if query.get("mount") and (query["mount"], query["from"]) in self.mounts:
                return self.body(201, {"Location": f"/v2/{name}/blobs/{query['mount']}"}, b"")
            self.serial += 1
            id = f"u{self.serial}"
            self.sessions[id] = b""
            return self.status(202, name, id, **({"OCI-Chunk-Min-Length": str(self.chunk_min)}
                                                 if self.chunk_min else {}))
        if id not in self.sessions:
            return self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
        if x.command == "GET":
            return self.status(204, name, id)
        if x.command == "DELETE":
            self.deleted.append(self.sessions.pop(id))
            return self.body(204, {}, b"")
        return self.take(x, name, id, query)

    def take(self, x, name, id, query):
        data = self.sessions[id]
        if claimed := x.headers.get("Content-Range"):
            first, last = map(int, claimed.split("-"))
            if first != len(data) or last - first + 1 != len(x.body):
                return self.status(416, name, id)
        elif data and x.body:
            return self.status(416, name, id)
        if self.lose is not None and len(x.body) > self.lose:
            self.sessions[id] = data + x.body[:self.lose]
            self.lose = None
            if self.forget:
                del self.sessions[id]
            raise ConnectionResetError
        if x.command == "PATCH" and self.chunk_min and len(x.body) < self.chunk_min and not self.last_chunk(x):
            return self.refuse(400, "SIZE_INVALID")
        self.sessions[id] = data + x.body
        if x.command == "PATCH":
            return self.status(202, name, id)
        return self.finish(name, id, query["digest"])

    def last_chunk(self, x):
        return True  # nobody can know before the PUT

    def finish(self, name, id, digest):
        data = self.sessions[id]
        found = "sha256:" + hashlib.sha256(data).hexdigest()
        if found != digest:
            return self.refuse(400, "DIGEST_INVALID")
        self.blobs[digest] = self.sessions.pop(id)
        self.finished.append(digest)
        return self.body(201, {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}, b"")


class Wire:
    """Passes bytes to `upstream`. The first `times` connections that carry more than cut_after bytes
    towards it are cut there."""

    def __init__(self, upstream, cut_after, times=1):
        self.upstream = upstream.split(":")
        self.cut_after, self.times, self.cuts = cut_after, times, 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.open = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection((self.upstream[0], int(self.upstream[1])))
            self.open += [client, server]
            threading.Thread(target=self.pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, False), daemon=True).start()

    def pump(self, source, sink, upward):
        passed = 0
        try:
            while data := source.recv(16384):
                sink.sendall(data)
                passed += len(data)
                if upward and passed > self.cut_after:
                    with self.lock:
                        if self.cuts < self.times:
                            self.cuts += 1
                            break
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in self.open:
            s.close()
