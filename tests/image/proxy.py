"""Registries that misbehave: a proxy before a real one, and one that serves whatever it was given.

    proxy.fault("GET", "/blobs/", times=2, status=500)          the first two answers are 500
    proxy.fault("GET", "/blobs/", reset_after=100_000)          every body breaks off after so many bytes
    proxy.fault("HEAD", "/manifests/", drop=["Docker-Content-Digest"])
    proxy.count("GET", "/blobs/")                               how often berth asked

Faults are tried in the order they were added; the first that matches and isn't used up applies. Every
request is recorded with its headers before any fault, as proxy.requests.
"""

import copy
import dataclasses
import http.client
import http.server
import json
import re
import socket
import struct
import threading
import time
import urllib.parse

CHUNK = 65536
HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection"}


@dataclasses.dataclass
class Fault:
    """What happens to a request. Without any of these it passes; several combine."""

    method: str
    path: str             # regular expression, searched in path and query
    times: int = None     # how many requests; None: all
    skip: int = 0         # matching requests that pass first
    headers_match: dict = None  # header name -> regular expression that must be found in it

    status: int = None    # answer this instead of asking upstream, with `headers` and `body`
    body: bytes = None
    headers: dict = None  # set in the answer
    drop: tuple = ()      # headers taken out of the answer
    redirect: str = None  # 307 to this URL; "{path}" is filled in
    ignore_range: bool = False   # answer 200 with everything
    content_range: str = None    # claim this instead (with the bytes that were asked for)
    close_before: bool = False   # close without a word
    stall: float = None          # wait so long before the answer; until a test sets it to 0
    stall_after: int = None      # ... or after so many bytes of its body, for stall_s
    stall_s: float = 3600
    reset_after: int = None      # RST after so many bytes
    truncate_after: int = None   # orderly close after so many bytes
    corrupt_at: int = None       # flip the byte at this offset of the body
    rate: int = None             # bytes a second
    call: object = None          # call(exchange) -> True where it has answered by itself

    used: int = 0
    seen: int = 0

    def takes(self, method, path, headers):
        if self.method not in ("*", method) or not re.search(self.path, path):
            return False
        for name, pattern in (self.headers_match or {}).items():
            if not re.search(pattern, headers.get(name) or ""):
                return False
        self.seen += 1
        if self.seen <= self.skip or self.times is not None and self.used >= self.times:
            return False
        self.used += 1
        return True


@dataclasses.dataclass
class Request:
    method: str
    path: str
    headers: object
    body_size: int
    at: float
    client: tuple
    sent: int = 0  # bytes of the answer's body that went out


class Exchange(http.server.BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    timeout = 300

    def log_message(self, *args):
        pass

    def handle_any(self):
        owner = self.server.owner
        self.body = self.read_body()
        self.record = Request(self.command, self.path, copy.copy(self.headers), len(self.body), time.monotonic(),
                              self.client_address)
        with owner.lock:
            owner.requests.append(self.record)
            fault = next((f for f in owner.faults if f.takes(self.command, self.path, self.headers)), None)
        try:
            self.answer(owner, fault or Fault("*", ""))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def read_body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while n := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(n))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, owner, fault):
        if fault.call and fault.call(self):
            return
        if fault.stall:
            owner.stall(lambda: fault.stall)
        if fault.close_before:
            self.close_connection = True
            return
        if fault.redirect:
            self.reply(307, {"Location": fault.redirect.format(path=self.path), "Content-Length": "0"})
            return
        if fault.status:
            body = fault.body or b""
            self.send_whole(fault.status, {"Content-Length": str(len(body)), **(fault.headers or {})}, body)
            return
        if fault.ignore_range:
            del self.headers["Range"]
        status, headers, pieces = owner.respond(self)
        headers = {k: v for k, v in headers.items() if k.lower() not in {d.lower() for d in fault.drop}}
        headers.update(fault.headers or {})
        if fault.content_range:
            headers["Content-Range"] = fault.content_range
        if fault.body is not None:
            pieces, headers["Content-Length"] = [fault.body], str(len(fault.body))
        self.reply(status, headers)
        if self.command != "HEAD":
            self.send_pieces(owner, fault, pieces)
        elif hasattr(pieces, "close"):
            pieces.close()

    def reply(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            for one in value if isinstance(value, list) else [value]:
                self.send_header(name, one)
        if not any(k.lower() in ("content-length",) for k in headers) and status not in (204, 304):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def send_whole(self, status, headers, body):
        self.reply(status, headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_pieces(self, owner, fault, pieces):
        start = time.monotonic()
        cuts = sorted(c for c in (fault.reset_after, fault.truncate_after, fault.stall_after) if c is not None)
        for piece in pieces:
            piece = bytearray(piece)
            if fault.corrupt_at is not None and 0 <= fault.corrupt_at - self.record.sent < len(piece):
                piece[fault.corrupt_at - self.record.sent] ^= 0xFF
            while piece or cuts and cuts[0] <= self.record.sent:
                room = cuts[0] - self.record.sent if cuts else len(piece)
                part, piece = piece[:room], piece[room:]
                self.wfile.write(part)
                self.record.sent += len(part)
                if cuts and self.record.sent >= cuts[0]:
                    cuts.pop(0)
                    if self.cut(owner, fault):
                        return
                if not piece:
                    break
            if fault.rate:
                owner.stopping.wait(max(0, self.record.sent / fault.rate - (time.monotonic() - start)))

    def cut(self, owner, fault):
        """At a boundary: whether the answer ends here."""
        sent = self.record.sent
        if fault.stall_after is not None and sent == fault.stall_after:
            self.wfile.flush()
            owner.stall(lambda: fault.stall_s)
        if fault.reset_after is not None and sent >= fault.reset_after:
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return True
        if fault.truncate_after is not None and sent >= fault.truncate_after:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            return True
        return False


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # clients that go away are what this is for


class Server:
    """What the proxy and the fake have in common: a port, faults, a record of requests."""

    tls = False
    flags = ["--tls-verify=false"]

    def __init__(self, context=None, host="127.0.0.1", port=0):
        self.requests, self.faults = [], []
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.listener = Listener((host, port), Exchange)
        self.listener.owner = self
        if context:
            self.tls = True
            self.listener.socket = context.wrap_socket(self.listener.socket, server_side=True)
        self.port = self.listener.server_address[1]
        self.address = f"{host}:{self.port}"
        self.url = f"http{'s' if context else ''}://{self.address}"
        self.thread = threading.Thread(target=self.listener.serve_forever, kwargs={"poll_interval": 0.05},
                                       daemon=True)
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.listener.shutdown()
        self.listener.server_close()
        self.thread.join()

    def stall(self, how_long):
        """Waits for how_long() seconds, which may change meanwhile."""
        start = time.monotonic()
        while time.monotonic() - start < how_long() and not self.stopping.wait(0.01):
            pass

    def fault(self, method, path, **kw):
        """Adds a Fault; returned, so that a test can see .used."""
        with self.lock:
            self.faults.append(Fault(method, path, **kw))
            return self.faults[-1]

    def clear(self):
        """No faults, no record."""
        with self.lock:
            self.faults.clear()
            self.requests.clear()

    def found(self, method="*", path=""):
        with self.lock:
            return [r for r in self.requests if method in ("*", r.method) and re.search(path, r.path)]

    def count(self, method="*", path=""):
        return len(self.found(method, path))

    def bytes_of(self, path):
        """How many bytes of bodies went out for paths like this."""
        return sum(r.sent for r in self.found("GET", path))


class Proxy(Server):
    """Before the registry at `upstream` (HOST:PORT, plain HTTP)."""

    def __init__(self, upstream, **kw):
        self.upstream = upstream
        super().__init__(**kw)

    def respond(self, x):
        """Asks upstream; Location headers that lead there lead here instead."""
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        headers = {k: v for k, v in x.headers.items() if k.lower() not in HOP | {"host", "content-length"}}
        headers["Host"] = x.headers.get("Host", self.address)
        connection.request(x.command, x.path, x.body or None if x.command in ("GET", "HEAD") else x.body, headers)
        answer = connection.getresponse()
        found = {}
        for name, value in answer.getheaders():
            if name.lower() in HOP:
                continue
            if name.lower() == "location":
                parts = urllib.parse.urlsplit(value)
                if parts.netloc == self.upstream:
                    value = urllib.parse.urlunsplit(("", "", *parts[2:]))
            found[name] = [*found[name], value] if isinstance(found.get(name), list) else (
                [found[name], value] if name in found else value)
        return answer.status, found, self.pieces(connection, answer)

    @staticmethod
    def pieces(connection, answer):
        try:
            while data := answer.read1(CHUNK):
                yield data
        finally:
            connection.close()


class Fake(Server):
    """A registry that serves what it was given, however wrong, and takes nothing.

    fake.add(image, "team/app:1"); fake.blobs and fake.manifests may be edited: the keys are what is asked
    for, the values what is answered."""

    def __init__(self, **kw):
        self.blobs = {}      # digest -> bytes
        self.manifests = {}  # (repository, tag or digest) -> (media type, bytes, headers)
        self.referrers = None  # the answer's body for every digest; None: 404
        super().__init__(**kw)

    def add(self, sealed, name):
        repository, _, tag = name.partition(":")
        self.blobs.update(sealed.all_blobs())
        for m in sealed.manifests():
            self.manifests[repository, m.digest] = (m.media_type, m.body, {"Docker-Content-Digest": m.digest})
        self.manifests[repository, tag or "latest"] = self.manifests[repository, sealed.digest]
        return f"{self.address}/{name}"

    def respond(self, x):
        path = urllib.parse.unquote(urllib.parse.urlsplit(x.path).path)
        if path in ("/v2", "/v2/"):
            return self.body(200, {"Content-Type": "application/json"}, b"{}")
        if m := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", path):
            if m.groups() in self.manifests:
                kind, body, headers = self.manifests[m.groups()]
                return self.body(200, {"Content-Type": kind, **headers}, body)
        if m := re.fullmatch(r"/v2/(.+)/blobs/([^/]+)", path):
            if m[2] in self.blobs:
                return self.blob(x, self.blobs[m[2]])
        if re.fullmatch(r"/v2/(.+)/referrers/([^/]+)", path) and self.referrers is not None:
            return self.body(200, {"Content-Type": "application/vnd.oci.image.index.v1+json"}, self.referrers)
        error = {"errors": [{"code": "NOT_FOUND", "message": "there is no such thing here"}]}
        return self.body(404, {"Content-Type": "application/json"}, json.dumps(error).encode())

    @staticmethod
    def body(status, headers, data):
        return status, {"Content-Length": str(len(data)), **headers}, [data[i:i + CHUNK]
                                                                      for i in range(0, len(data), CHUNK)]

    def blob(self, x, data):
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", x.headers.get("Range") or "")
        if not asked:
            return self.body(200, headers, data)
        start, end = int(asked[1]), int(asked[2] or len(data) - 1)
        if start >= len(data):
            return self.body(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
        part = data[start:end + 1]
        headers["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(data)}"
        return self.body(206, headers, part)
