"""Headless Chromium without a network."""

import json
import os
import re
import subprocess
import threading
import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

# It looks for its own updates, and gets ready for a search.
OF_THE_BROWSER = re.compile(r"\b(google|googleapis|duckduckgo)\.com\b")
PATIENCE = 20  # seconds

Point = tuple[float, float]


class Tab:
    """An open page, used as a person would: by the DevTools protocol.

    Source: https://chromedevtools.github.io/devtools-protocol.
    """

    def __init__(self, commands: BinaryIO, messages: BinaryIO) -> None:
        self.commands, self.messages = commands, messages
        self.session: dict[str, str] = {}
        self.sent = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Calls a method of the protocol; what happens meanwhile is kept in `events`."""
        self.sent += 1
        message = {"id": self.sent, "method": method, "params": params, **self.session}
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while (answer := self._next()).get("id") != self.sent:
            self.events.append(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        content = bytearray()
        while (byte := self.messages.read(1)) != b"\0":
            assert byte, "the browser has ended"
            content += byte
        return dict(json.loads(content))

    def open(self, path: Path, *, width: int, height: int, touch: bool = False) -> None:
        """Opens the page in a file, in a window of `width` by `height` pixels."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height, touch=touch)
        self.call("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def resize(self, width: int, height: int, *, touch: bool = False) -> None:
        """Changes the window, to that of a phone with `touch`."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if touch else 1,
            mobile=touch,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch)

    def prefer(self, **features: str) -> None:
        """Sets what media queries see, such as prefers_color_scheme="dark"."""
        found = [{"name": name.replace("_", "-"), "value": features[name]} for name in features]
        self.call("Emulation.setEmulatedMedia", features=found)

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401, JSON
        """The JSON value of JavaScript's `expression`, awaited if it is a promise."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def text(self, selector: str) -> str:
        """The visible text of an element."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def frame(self) -> None:
        """Waits until the page has been drawn again."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")

    def wait(self, expression: str) -> None:
        """Waits until `expression` is true."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            assert time.monotonic() < end, expression
            time.sleep(0.05)

    def place(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element in the window, in pixels."""
        box = self.evaluate(
            f"(({{left, top, width, height}}) => [left, top, width, height])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        return tuple(box)

    def mouse(self, kind: str, point: Point, buttons: int = 0) -> None:
        """A mouse event: mousePressed, mouseMoved or mouseReleased."""
        button = "none" if kind == "mouseMoved" else "left"
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=point[0],
            y=point[1],
            button=button,
            buttons=buttons,
            clickCount=1,
        )

    def click(self, selector: str) -> None:
        """Clicks on the middle of an element."""
        left, top, width, height = self.place(selector)
        point = left + width / 2, top + height / 2
        self.mouse("mousePressed", point, 1)
        self.mouse("mouseReleased", point)

    def draw(self, selector: str, strokes: Sequence[Sequence[Point]], steps: int = 3) -> None:
        """Draws with the mouse on an element.

        Args:
            selector: of the element.
            strokes: their corners, from (0, 0) in the element's top left corner to (1, 1).
            steps: moves from a corner to the next.
        """
        left, top, width, height = self.place(selector)
        for stroke in strokes:
            corners = [(left + x * width, top + y * height) for x, y in stroke]
            self.mouse("mousePressed", corners[0], 1)
            for (x0, y0), (x1, y1) in pairwise(corners):
                for step in range(1, steps + 1):
                    share = step / steps
                    self.mouse("mouseMoved", (x0 + share * (x1 - x0), y0 + share * (y1 - y0)), 1)
            self.mouse("mouseReleased", corners[-1])
        self.frame()

    def touch(self, selector: str, stroke: Sequence[Point]) -> None:
        """Draws a stroke with a finger on an element; its corners are as for `draw`."""
        left, top, width, height = self.place(selector)
        for kind, (x, y) in zip(["touchStart", *["touchMove"] * len(stroke)], stroke, strict=False):
            point = {"x": left + x * width, "y": top + y * height}
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[point])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.frame()

    def choose(self, selector: str, path: Path) -> None:
        """Chooses a file in a file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        found = self.call("DOM.querySelector", nodeId=root, selector=selector)
        self.call("DOM.setFileInputFiles", nodeId=found["nodeId"], files=[str(path)])

    def key(self, key: str, *, control: bool = False, shift: bool = False) -> None:
        """Presses a key and lets it go."""
        code = {" ": 32, "Tab": 9, "Enter": 13, "Delete": 46}.get(key, 0)
        pressed = {
            "key": key,
            "modifiers": 2 * control + 8 * shift,
            "windowsVirtualKeyCode": code,
            **({"text": "\r"} if key == "Enter" else {}),
        }
        self.call("Input.dispatchKeyEvent", type="keyDown", **pressed)
        self.call("Input.dispatchKeyEvent", type="keyUp", **pressed | {"text": ""})

    def screenshot(self) -> bytes:
        """The window as a PNG."""
        return b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def console(self) -> list[str]:
        """What the page said on the console, exceptions and violations of its policy included."""
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event["method"] in kinds]

    def requests(self) -> list[str]:
        """The URLs that were requested, the page itself included, data URLs left out."""
        sent = [event for event in self.events if event["method"] == "Network.requestWillBeSent"]
        urls = [str(event["params"]["request"]["url"]) for event in sent]
        return [url for url in urls if not url.startswith("data:")]


class Browser:
    """Opens pages, and keeps every request that they make."""

    def __init__(self, folder: Path, port: int, requests: list[str]) -> None:
        self.folder, self.port, self.requests = folder, port, requests

    def open(self, page: str) -> tuple[str, list[str]]:
        """What the page has become, and what it said on the console."""
        path = self.folder / "page.html"
        path.write_text(page)
        return self.open_file(path)

    def open_file(self, path: Path) -> tuple[str, list[str]]:
        """The same of a page in a file."""
        done = subprocess.run(
            (*self._command(), "--virtual-time-budget=3000", "--dump-dom", path.as_uri()),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    @contextmanager
    def use(
        self, path: Path, *, width: int = 1280, height: int = 800, touch: bool = False
    ) -> Iterator[Tab]:
        """The page in a file, to be used."""
        from_tests, commands = os.pipe()
        messages, to_tests = os.pipe()
        # Chromium reads from file descriptor 3 and writes to 4.
        redirected = f'exec "$@" 3<&{from_tests} 4>&{to_tests}'
        process = subprocess.Popen(
            ("bash", "-c", redirected, "chromium", *self._command(), "--remote-debugging-pipe"),
            pass_fds=(from_tests, to_tests),
            stderr=subprocess.DEVNULL,
        )
        os.close(from_tests)
        os.close(to_tests)
        with open(commands, "wb") as writer, open(messages, "rb") as reader:  # noqa: PTH123
            try:
                tab = Tab(writer, reader)
                tab.open(path, width=width, height=height, touch=touch)
                yield tab
                tab.session = {}
                tab.call("Browser.close")
            finally:
                process.terminate()
                process.wait()

    def _command(self) -> list[str]:
        switches = (
            "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
            "--disable-background-networking --disable-component-update --enable-logging=stderr "
            f"--proxy-server=http://127.0.0.1:{self.port} "
            f"--proxy-bypass-list=<-loopback> --user-data-dir={self.folder / 'profile'}"
        )
        return ["chromium", *switches.split()]


@contextmanager
def offline_browser(folder: Path) -> Iterator[Browser]:
    """A browser whose every request is answered with 404.

    Args:
        folder: an empty one of its own.
    """
    requests: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if not OF_THE_BROWSER.search(self.path):
                requests.append(self.path)
            with suppress(ConnectionError):  # the browser may have ended
                self.send_error(404)

        do_GET = do_POST = do_CONNECT = answer  # noqa: N815, named by the protocol

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Browser(folder, server.server_port, requests)
        server.shutdown()
        thread.join()
