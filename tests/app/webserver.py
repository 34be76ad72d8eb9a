"""A web server on this machine that stands for the web, and for what must not be reached."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote

from tests.app.conftest import spell


class WebServer:
    """Answers by path; `asked` holds the paths that were asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.stop = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                web.asked.append(self.path)
                web.answer(self, self.path.partition("?")[0])

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, path: str) -> None:
        name = path.rpartition("/")[2]
        bodies = {"page": b"<html>", "large": b"x" * 5000}
        places = {"loop": "loop", "to": unquote(request.path.partition("?")[2])}
        drops = {"endless": (b"x" * 1000, 0.001), "slow": (b"x", 0.05)}
        if name.endswith(".png"):
            send(request, 200, spell(name.removesuffix(".png")))
        elif name in bodies:
            send(request, 200, bodies[name])
        elif name in places:
            send(request, 302, b"", Location=places[name])
        elif name in drops:
            self.drip(request, *drops[name])
        elif name == "cut":
            send(request, 200, b"x" * 10, length=20)
        else:
            send(request, 404, b"")

    def drip(self, request: BaseHTTPRequestHandler, data: bytes, pause_seconds: float) -> None:
        """Send the same again and again, without having said how much it will be."""
        request.send_response(200)
        request.end_headers()
        request.close_connection = True
        while not self.stop.is_set():
            try:
                request.wfile.write(data)
            except OSError:
                return
            time.sleep(pause_seconds)


def send(
    request: BaseHTTPRequestHandler, status: int, body: bytes, length: int | None = None, **headers: str
) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body) if length is None else length))
    request.end_headers()
    request.wfile.write(body)
    request.close_connection = True
