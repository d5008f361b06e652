"""fake-gcs-server on a port of 127.0.0.1, behind a front that refuses what Google refuses and fake-gcs-server takes.

The server itself looks at no signature and no token, and at no condition of a rewrite or a composition. The front does:
it verifies V4 signatures and tokens with the public key of the test account (written for this, after Google's documents,
without a line of the service's), ends URLs, holds requests to their signed headers, conditions and length ranges, makes
rewrites take two calls, gives copies the metadata of the request alone, and has resumable uploads of its own. Buckets are made by anybody: tests need some.
It forgets everything, and ends, when the standard input does.
"""

import base64
import datetime
import hashlib
import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

program, port, account = sys.argv[1:]
with open(account, encoding="utf-8") as file:
    account = json.load(file)["account"]
EMAIL = account["client_email"]
KEY = serialization.load_pem_private_key(account["private_key"].encode(), None).public_key()
LOCK = threading.RLock()
REWRITES = {}
UPLOADS = {}
WEEK = 7 * 24 * 3600


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


BEHIND = free_port()
server = subprocess.Popen(
    [program, "-backend", "memory", "-scheme", "http", "-host", "127.0.0.1", "-port", str(BEHIND)]
    + ["-public-host", "127.0.0.1", "-log-level", "error"],
    stdin=subprocess.DEVNULL,
)


def quoted(text, safe="-._~"):
    return urllib.parse.quote(text, safe=safe)


def is_signed(signature, text):
    try:
        KEY.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return True
    except InvalidSignature:
        return False


def behind(method, path, body=None, headers=None):
    """Asks fake-gcs-server; answers with status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", BEHIND, timeout=60)
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.getheaders(), content


def metadata(bucket, name, generation=None):
    path = f"/storage/v1/b/{quoted(bucket)}/o/{quoted(name)}"
    if generation is not None:
        path += f"?generation={generation}"
    status, _, body = behind("GET", path)
    return json.loads(body) if status == 200 else None


class Refusal(Exception):
    """An answer that ends a request."""

    def __init__(self, status, code):
        super().__init__(code)
        self.status, self.code = status, code


def check_condition(wanted, found):
    """`ifGenerationMatch`: 0 asks that nothing is there."""
    if wanted is not None and wanted != (found["generation"] if found else "0"):
        raise Refusal(412, "PreconditionFailed")


class Front(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def handle_expect_100(self):
        # Said once the head was judged: see `body`.
        return True

    def answer(self, status, headers, content):
        self.send_response(status)
        skipped = {"content-length", "date", "connection", "transfer-encoding", "server"}
        for name, value in headers:
            if name.lower() not in skipped:
                self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def handle_one(self):
        self.path_only, _, self.raw_query = self.path.partition("?")
        try:
            if self.path_only == "/":
                self.answer(200, [], b"")
            elif self.path_only.startswith("/storage/v1/"):
                self.json_api()
            elif self.path_only.startswith("/upload/storage/v1/"):
                self.resumable()
            else:
                self.signed()
        except Refusal as refusal:
            # What is left of a body is not read.
            self.close_connection = True
            content = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{refusal.code}</Code></Error>"
            try:
                self.answer(refusal.status, [("Content-Type", "application/xml")], content.encode())
            except ConnectionError:
                pass
        except ConnectionError:
            # The sender is gone.
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one

    def body(self, chunks=False):
        length = self.headers.get("Content-Length")
        if length is None:
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                if chunks:
                    return b"".join(iter(self.chunk, b""))
                raise Refusal(411, "MissingContentLength")
            return b""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        content = self.rfile.read(int(length))
        if len(content) != int(length):
            raise Refusal(400, "IncompleteBody")
        return content

    def chunk(self):
        """The next of a chunked body; the last is empty."""
        length = int(self.rfile.readline().partition(b";")[0], 16)
        content = self.rfile.read(length)
        if len(content) != length or self.rfile.readline() != b"\r\n":
            raise Refusal(400, "IncompleteBody")
        return content

    # Signed URLs

    def signed(self):
        query = self.verified()
        bucket, _, name = urllib.parse.unquote(self.path_only)[1:].partition("/")
        if self.command == "PUT":
            self.put(bucket, name)
        elif self.command in ("GET", "HEAD"):
            asked = ["generation", "response-content-disposition", "response-content-type"]
            kept = urllib.parse.urlencode({one: query[one] for one in asked if one in query})
            headers = {one: self.headers[one] for one in ("Range", "Accept-Encoding") if one in self.headers}
            path = f"/download/storage/v1/b/{quoted(bucket)}/o/{quoted(name)}?{kept}"
            self.answer(*behind("GET", path, headers=headers))
        else:
            raise Refusal(405, "MethodNotAllowed")

    def verified(self):
        """The query, if its signature holds for this request now."""
        pairs = [pair.partition("=")[::2] for pair in self.raw_query.split("&") if pair]
        pairs = [(urllib.parse.unquote(name), urllib.parse.unquote(value)) for name, value in pairs]
        query = dict(pairs)
        if len(query) != len(pairs):
            raise Refusal(400, "InvalidQueryParameterValue")
        try:
            credential, date = query["X-Goog-Credential"], query["X-Goog-Date"]
            seconds, listed = int(query["X-Goog-Expires"]), query["X-Goog-SignedHeaders"]
            begins = datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
            signature = bytes.fromhex(query["X-Goog-Signature"])
        except (KeyError, ValueError):
            raise Refusal(403, "AccessDenied") from None
        email, _, scope = credential.partition("/")
        if query.get("X-Goog-Algorithm") != "GOOG4-RSA-SHA256" or not 0 < seconds <= WEEK:
            raise Refusal(400, "AuthenticationRequired")
        if email != EMAIL or scope != f"{date[:8]}/auto/storage/goog4_request":
            raise Refusal(403, "SignatureDoesNotMatch")
        canonical = self.canonical(pairs, listed)
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        if not is_signed(signature, f"GOOG4-RSA-SHA256\n{date}\n{scope}\n{digest}"):
            raise Refusal(403, "SignatureDoesNotMatch")
        age = time.time() - begins.timestamp()
        if age < -900:
            raise Refusal(403, "AccessDenied")
        if age >= seconds:
            raise Refusal(400, "ExpiredToken")
        return query

    def canonical(self, pairs, listed):
        """The request as Google writes it down before it is signed."""
        names = listed.split(";")
        if names != sorted(names) or "host" not in names:
            raise Refusal(403, "SignatureDoesNotMatch")
        sent = {name.lower(): value for name, value in self.headers.items()}
        for name in sent:
            if name.startswith("x-goog-") and name not in names:
                raise Refusal(403, "SignatureDoesNotMatch")
        if any(name not in sent for name in names):
            raise Refusal(403, "SignatureDoesNotMatch")
        # The port of a host is not signed.
        sent["host"] = sent["host"].partition(":")[0]
        lines = [name + ":" + " ".join(sent[name].split()) + "\n" for name in names]
        query = sorted((quoted(name), quoted(value)) for name, value in pairs if name != "X-Goog-Signature")
        query = "&".join(f"{name}={value}" for name, value in query)
        path = quoted(urllib.parse.unquote(self.path_only), safe="/-._~")
        payload = sent.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD")
        return f"{self.command}\n{path}\n{query}\n{''.join(lines)}\n{listed}\n{payload}"

    def put(self, bucket, name):
        length = int(self.headers.get("Content-Length") or 0)
        limits = self.headers.get("x-goog-content-length-range")
        if limits:
            least, most = (int(limit) for limit in limits.split(","))
            if length < least:
                raise Refusal(400, "EntityTooSmall")
            if length > most:
                raise Refusal(400, "EntityTooLarge")
        wanted = self.headers.get("x-goog-if-generation-match")
        check_condition(wanted, metadata(bucket, name))
        content = self.body()
        digest = self.headers.get("x-goog-content-sha256")
        if digest and digest != hashlib.sha256(content).hexdigest():
            raise Refusal(400, "ContentSHA256Mismatch")
        said = {"Content-Type": "contentType", "Content-Encoding": "contentEncoding"}
        said.update({"Cache-Control": "cacheControl", "Content-Disposition": "contentDisposition"})
        resource = {member: self.headers[one] for one, member in said.items() if one in self.headers}
        with LOCK:
            check_condition(wanted, metadata(bucket, name))
            made = self.inserted(bucket, {**resource, "name": name}, content)
        self.answer(200, [("x-goog-generation", made["generation"])], b"")

    # The JSON API

    def json_api(self):
        query = dict(urllib.parse.parse_qsl(self.raw_query, keep_blank_values=True))
        makes_bucket = self.command == "POST" and self.path_only == "/storage/v1/b"
        if not makes_bucket and not self.has_token():
            raise Refusal(401, "AuthenticationRequired")
        content = self.body()
        rewrite = re.fullmatch(r"/storage/v1/b/([^/]+)/o/([^/]+)/rewriteTo/b/([^/]+)/o/([^/]+)", self.path_only)
        compose = re.fullmatch(r"/storage/v1/b/([^/]+)/o/([^/]+)/compose", self.path_only)
        with LOCK:
            if rewrite and self.command == "POST":
                answer = self.rewritten([urllib.parse.unquote(part) for part in rewrite.groups()], query, content)
            elif compose and self.command == "POST":
                answer = self.composed([urllib.parse.unquote(part) for part in compose.groups()], query, content)
            else:
                headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
                headers.update({one: self.headers[one] for one in ("Range", "Accept-Encoding") if one in self.headers})
                answer = behind(self.command, self.path, content or None, headers)
        self.answer(*answer)

    def has_token(self):
        """A token that the account has signed by itself."""
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        parts = token.split(".")
        if kind != "Bearer" or len(parts) != 3:
            return False
        decoded = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in parts]
        if json.loads(decoded[0])["alg"] != "RS256" or not is_signed(decoded[2], ".".join(parts[:2])):
            return False
        claims = json.loads(decoded[1])
        return claims["iss"] == EMAIL and claims["iat"] - 60 <= time.time() < claims["exp"]

    def resumable(self):
        """An upload that goes on from request to request, and is nothing before its end."""
        query = dict(urllib.parse.parse_qsl(self.raw_query, keep_blank_values=True))
        found = re.fullmatch(r"/upload/storage/v1/b/([^/]+)/o", self.path_only)
        if not found or query.get("uploadType") != "resumable":
            raise Refusal(400, "NotImplemented")
        if not self.has_token():
            raise Refusal(401, "AuthenticationRequired")
        content, bucket = self.body(chunks=True), urllib.parse.unquote(found[1])
        with LOCK:
            if self.command == "POST":
                self.answer(*self.begun(bucket, query, content))
                return
            upload = UPLOADS.get(query.get("upload_id"))
            if self.command != "PUT" or upload is None:
                raise Refusal(404, "NoSuchUpload")
            self.answer(*self.gone_on(upload, content))

    def begun(self, bucket, query, content):
        check_condition(query.get("ifGenerationMatch"), metadata(bucket, query["name"]))
        token = os.urandom(8).hex()
        resource = {**(json.loads(content) if content else {}), "name": query["name"]}
        wanted = query.get("ifGenerationMatch")
        UPLOADS[token] = {"bucket": bucket, "resource": resource, "wanted": wanted, "held": b"", "made": None}
        # The library names no port in its `Host`.
        place = f"http://127.0.0.1:{port}{self.path_only}?uploadType=resumable&upload_id={token}"
        return 200, [("Location", place)], b""

    def gone_on(self, upload, content):
        asked = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", self.headers.get("Content-Range", ""))
        if not asked:
            raise Refusal(400, "InvalidArgument")
        first, last, total = asked.groups()
        if upload["made"] is None and first is not None:
            if int(last) - int(first) + 1 != len(content) or int(first) != len(upload["held"]):
                raise Refusal(400, "InvalidArgument")
            if total == "*" and len(content) % (256 << 10):
                raise Refusal(400, "InvalidArgument")
            upload["held"] += content
        if upload["made"] is None and total == str(len(upload["held"])):
            check_condition(upload["wanted"], metadata(upload["bucket"], upload["resource"]["name"]))
            upload["made"] = self.inserted(upload["bucket"], upload["resource"], upload["held"])
        if upload["made"] is not None:
            return 200, [("Content-Type", "application/json")], json.dumps(upload["made"]).encode()
        held = [("Range", f"bytes=0-{len(upload['held']) - 1}")] if upload["held"] else []
        return 308, held, b""

    def rewritten(self, names, query, content):
        from_bucket, from_name, to_bucket, to_name = names
        source = metadata(from_bucket, from_name, query.get("sourceGeneration"))
        if source is None:
            raise Refusal(404, "NoSuchKey")
        check_condition(query.get("ifSourceGenerationMatch"), source)
        check_condition(query.get("ifGenerationMatch"), metadata(to_bucket, to_name))
        token = query.pop("rewriteToken", None)
        if token is None:
            token = os.urandom(8).hex()
            REWRITES[token] = (names, query, content)
            answer = {"done": False, "totalBytesRewritten": "0", "objectSize": source["size"], "rewriteToken": token}
            return 200, [("Content-Type", "application/json")], json.dumps(answer).encode()
        if REWRITES.pop(token, None) != (names, query, content):
            raise Refusal(400, "InvalidArgument")
        path = f"/download/storage/v1/b/{quoted(from_bucket)}/o/{quoted(from_name)}?generation={source['generation']}"
        _, _, media = behind("GET", path, headers={"Accept-Encoding": "gzip"})
        # A body replaces the metadata of the source, it adds nothing to it.
        kept = ("contentType", "contentEncoding", "contentDisposition", "cacheControl", "metadata")
        given = json.loads(content) if content else {one: source[one] for one in kept if one in source}
        made = self.inserted(to_bucket, {**given, "name": to_name}, media)
        answer = {"done": True, "totalBytesRewritten": source["size"], "objectSize": source["size"], "resource": made}
        return 200, [("Content-Type", "application/json")], json.dumps(answer).encode()

    def inserted(self, bucket, resource, media):
        mark = os.urandom(8).hex().encode()
        head = b"--%s\r\nContent-Type: application/json\r\n\r\n%s\r\n" % (mark, json.dumps(resource).encode())
        part = b"--%s\r\nContent-Type: %s\r\n\r\n" % (mark, resource.get("contentType", "").encode())
        body = head + part + media + b"\r\n--%s--\r\n" % mark
        headers = {"Content-Type": f"multipart/related; boundary={mark.decode()}"}
        path = f"/upload/storage/v1/b/{quoted(bucket)}/o?uploadType=multipart&name={quoted(resource['name'])}"
        return json.loads(behind("POST", path, body, headers)[2])

    def composed(self, names, query, content):
        bucket, name = names
        for source in json.loads(content)["sourceObjects"]:
            found = metadata(bucket, source["name"])
            if found is None or source.get("generation", found["generation"]) != found["generation"]:
                raise Refusal(404, "NoSuchKey")
            check_condition(source.get("objectPreconditions", {}).get("ifGenerationMatch"), found)
        check_condition(query.get("ifGenerationMatch"), metadata(bucket, name))
        return behind("POST", self.path_only, content, {"Content-Type": "application/json"})


class Threads(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def end_with_input():
    sys.stdin.buffer.read()
    server.kill()
    os._exit(0)


def end_with_server():
    code = server.wait()
    os._exit(code or 1)


def is_up():
    try:
        return behind("GET", "/_internal/healthcheck")[0] == 200
    except OSError:
        return False


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
threading.Thread(target=end_with_input, daemon=True).start()
threading.Thread(target=end_with_server, daemon=True).start()
while not is_up():
    time.sleep(0.05)
try:
    Threads(("127.0.0.1", int(port)), Front).serve_forever()
finally:
    server.kill()
