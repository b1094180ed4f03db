"""What of Hugging Face's hub its own library asks for when files are pushed and pulled."""

import base64
import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse

TOKEN = "hf_that_may_write"


class Hub:
    """repositories: {owner/name: [(commit, {file: bytes}), ...], the newest last}. asked: lines of
    requests. fail: part of a path whose requests are answered with 500."""

    def __init__(self):
        self.repositories, self.uploads, self.asked, self.fail = {}, {}, [], ""

    def commit(self, repository, files):
        """A commit that adds files to those that are there; its name."""
        history = self.repositories.setdefault(repository, [])
        whole = {**(history[-1][1] if history else {}), **files}
        name = hashlib.sha1(repr((len(history), sorted(whole.items()))).encode()).hexdigest()
        history.append((name, whole))
        return name

    def files(self, repository, revision):
        """(commit, {file: bytes}) of a revision, or None."""
        history = self.repositories.get(repository) or []
        if revision == "main":
            return history[-1] if history else None
        return next((one for one in history if one[0] == revision), None)


@contextlib.contextmanager
def running():
    """A Hub whose `url` answers while the block lasts."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _large(name):
    return name.endswith((".safetensors", ".bin"))


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def _answer(self, status, data=b"", headers=()):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_HEAD(self):
        self._serve()

    def do_GET(self):
        self._serve()

    def do_POST(self):
        self._serve()

    def do_PUT(self):
        self._serve()

    def _serve(self):
        hub, path = self.hub, urllib.parse.unquote(self.path.partition("?")[0])
        hub.asked.append(f"{self.command} {path}")
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = path.strip("/").split("/")
        if hub.fail and hub.fail in path:
            self._answer(500, {"error": "the server is not well"})
        elif parts[2:3] == ["resolve"]:
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        elif parts[0] == "lfs":
            hub.uploads[parts[1]] = data
            self._answer(200)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid username or password."})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(data)["objects"]
            for one in objects:
                one["actions"] = {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}}
            self._answer(200, {"objects": objects, "transfer": "basic"})
        else:
            self._api(path, parts, data)

    def _api(self, path, parts, data):
        hub, repository = self.hub, "/".join(parts[2:4])
        if path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            asked = json.loads(data)
            name = f"{asked['organization']}/{asked['name']}"
            known = name in hub.repositories
            hub.repositories.setdefault(name, [])
            self._answer(409 if known else 200, {"url": f"{hub.url}/{name}"})
        elif parts[4:5] == ["preupload"]:
            modes = [
                {
                    "path": path,
                    "shouldIgnore": False,
                    "uploadMode": "lfs" if _large(path) else "regular",
                }
                for path in (file["path"] for file in json.loads(data)["files"])
            ]
            self._answer(200, {"files": modes})
        elif parts[4:5] == ["commit"]:
            files = {}
            for line in map(json.loads, data.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = hub.uploads[value["oid"]]
            commit = hub.commit(repository, files)
            url = f"{hub.url}/{repository}/commit/{commit}"
            self._answer(200, {"commitUrl": url, "commitOid": commit})
        else:
            self._answer(404, {"error": "no such thing"})

    def _file(self, repository, revision, name):
        found = self.hub.files(repository, revision)
        if repository not in self.hub.repositories:
            code = "RepoNotFound"
        else:
            code = "EntryNotFound" if found else "RevisionNotFound"
        if found is None or name not in found[1]:
            self._answer(404, b"", [("X-Error-Code", code)])
            return
        data = found[1][name]
        if _large(name):
            tag = hashlib.sha256(data).hexdigest()
        else:
            tag = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        self._answer(200, data, [("X-Repo-Commit", found[0]), ("ETag", f'"{tag}"')])
