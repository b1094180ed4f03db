"""A page in headless Chromium, and a server for folders of pages."""

import contextlib
import functools
import http.server
import json
import os
import subprocess
import threading
import time

import pytest

from tests.recipes import commands


class Browser:
    """Chromium at the other end of two pipes, by the DevTools protocol: JSON between zero bytes."""

    def __init__(self, chromium, profile, *flags):
        out_of_browser, ours_in = os.pipe()
        into_browser, ours_out = os.pipe()
        command = [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={profile}", "--window-size=800,600",
            "--remote-debugging-pipe", *flags,
        ]  # fmt: skip
        # The protocol is spoken on descriptors 3 and 4.
        redirected = f'exec "$@" 3<&{into_browser} 4>&{ours_in}'
        self.process = subprocess.Popen(
            ["bash", "-c", redirected, "bash", *command], pass_fds=(into_browser, ours_in),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(into_browser)
        os.close(ours_in)
        self._in, self._out = os.fdopen(out_of_browser, "rb"), os.fdopen(ours_out, "wb")
        self._number, self._session, self.requests = 0, None, []
        self._unread = bytearray()

    def open(self, url, ready="true"):
        """Shows a page, and waits until it is loaded and what `ready` asks for is so."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        self.call("Network.enable")
        self.call("Page.navigate", url=url)
        self.wait_for(f"document.readyState === 'complete' && ({ready})")

    def call(self, method, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while True:
            answer = self._read()
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _read(self):
        while b"\0" not in self._unread:
            more = self._in.read1(1 << 20)
            assert more, "Chromium is gone"
            self._unread += more
        content, _, rest = bytes(self._unread).partition(b"\0")
        self._unread = bytearray(rest)
        return json.loads(content)

    def js(self, expression):
        """What it gives, of a promise what that gives; an error in it is one here."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, expression, seconds=20):
        end = time.monotonic() + seconds
        while not self.js(expression):
            assert time.monotonic() < end, (
                f"never {expression}: {self.js('document.body.innerText')}"
            )

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", **more)

    def close(self):
        self.process.kill()
        self.process.wait()
        self._in.close()
        self._out.close()


@contextlib.contextmanager
def opened(profile, *flags):
    """A browser with a profile folder of its own; the test is skipped where there is none."""
    chromium = commands.browser()
    if chromium is None:
        pytest.skip("no Chromium here (Debian's package chromium)")
    browser = Browser(chromium, profile, *flags)
    try:
        yield browser
    finally:
        browser.close()


@contextlib.contextmanager
def served(folder):
    """(address, the paths that were asked for so far) of a folder, as `python -m http.server`."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *_):
            asked.append(self.path)

        def log_message(self, *_):
            """Of files that are not there."""

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", asked
        server.shutdown()
