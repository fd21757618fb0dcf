"""A server of small images on this machine."""

import re
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MISSING, BROKEN = 6, 4  # of each 10 images: what is not there, and what is no image


def png(number: int) -> bytes:
    """One colour in each image's own size and shade."""
    width, height = size(number)
    line = b"\0" + bytes([number % 256, number // 256, 90]) * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(line * height)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def size(number: int) -> tuple[int, int]:
    return 8 + number % 5, 6 + number % 3


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = re.fullmatch(r"/(\d+)\.png", self.path)
        if found is None or int(found[1]) % 10 == MISSING:
            self.send_error(404)
            return
        number = int(found[1])
        body = b"no image" if number % 10 == BROKEN else png(number)
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


@contextmanager
def serve() -> Iterator[str]:
    """Serve /N.png on the loopback interface; gives the address before the slash."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
