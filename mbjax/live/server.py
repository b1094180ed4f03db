"""The page of `mbjax live` and its feed, for the browser of this machine alone.

Bound to 127.0.0.1; every address has a token in it that nobody can guess; the Host that the browser
names must be this machine, so that no other page can ask for the pictures under a name of its own
(DNS rebinding); and what a browser says that another page asks for, also one of this machine, is
refused, should that page have come to know the address. The feed is one of server-sent events: the
newest always, none in between.
"""

import errno
import http.server
import json
import secrets
import threading
from collections.abc import Mapping

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
    "connect-src 'self'; frame-ancestors 'none'"
)


class Server:
    """Serves `page` at `url`, and what is given to `publish` to whoever has it open."""

    def __init__(self, page: str, port: int = 0):
        """port: 0 for a free one; ValueError where it is taken."""
        self._page = page.encode()
        self._token = secrets.token_urlsafe(16)
        self._event, self._number, self._closed = b"", 0, False
        self._changed = threading.Condition()
        handler = type("Handler", (_Handler,), {"live": self})
        try:
            self._http = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise ValueError(f"port {port} cannot be had ({error.strerror}); --port N") from None
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/{self._token}/"
        threading.Thread(target=self._http.serve_forever, daemon=True, name="page").start()

    def publish(self, event: dict) -> None:
        with self._changed:
            self._event, self._number = json.dumps(event).encode(), self._number + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the feeds, so that open pages say that it is over."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._http.shutdown()
        self._http.server_close()

    def allows(self, path: str, headers: Mapping[str, str]) -> str | None:
        """'' for the page, 'events' for the feed, None for anything else."""
        host, own = headers.get("Host", ""), (f"127.0.0.1:{self.port}", f"localhost:{self.port}")
        if host not in own or headers.get("Origin", f"http://{host}") != f"http://{host}":
            return None
        # Not sent by old browsers; 'none' is an address that somebody opens.
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return None
        _, _, rest = path.partition("/")
        token, _, what = rest.partition("/")
        known = secrets.compare_digest(token.encode(), self._token.encode())
        return what if known and what in ("", "events") else None

    def events(self):
        """Each event that is new when the last one has been sent; ends when the server does."""
        sent = 0
        while True:
            with self._changed:
                while self._number == sent and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                event, sent = self._event, self._number
            yield event


class _Handler(http.server.BaseHTTPRequestHandler):
    live: Server

    def do_GET(self):
        what = self.live.allows(self.path, self.headers)
        if what is None:
            self.send_error(403)
            return
        self.send_response(200)
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Content-Security-Policy", _POLICY)
        kind = "text/event-stream" if what else "text/html; charset=utf-8"
        self.send_header("Content-Type", kind)
        if not what:
            self.send_header("Content-Length", str(len(self.live._page)))
        self.end_headers()
        try:
            if not what:
                self.wfile.write(self.live._page)
                return
            for event in self.live.events():
                self.wfile.write(b"data: " + event + b"\n\n")
                self.wfile.flush()
            self.wfile.write(b"event: end\ndata: {}\n\n")
        except OSError:  # the page was closed
            pass

    def log_message(self, *arguments):
        """Requests are nobody's concern but a test's."""
