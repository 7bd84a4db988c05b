"""Serve tiny streams on this machine: an MP4 file and motion JPEG over HTTP, and H.264 over RTSP."""

from __future__ import annotations

import base64
import re
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cv2
import recordings

try:
    import av
except ImportError:
    av = None

USER = ("robot", "s3cret:pa")
"""User and password. The password has a character that ends a naive search."""
ADDRESS_USER = "robot:s3cret%3Apa"
_FRAME_S = 0.02


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    files: dict[str, bytes]
    frames_per_connection: int
    connections: int
    needs_user: bool


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        wanted = base64.b64encode(":".join(USER).encode()).decode()
        if self.server.needs_user and self.headers["Authorization"] != f"Basic {wanted}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        name = self.path.partition("?")[0]
        with suppress(ConnectionError):
            self._send_stream() if name == "/stream" else self._send_file(self.server.files.get(name))

    def _send_file(self, data: bytes | None) -> None:
        if data is None:
            self.send_error(404)
            return
        found = re.match(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
        start = int(found[1]) if found else 0
        part = data[start : int(found[2]) + 1 if found and found[2] else None]
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def _send_stream(self) -> None:
        """Send motion JPEG, and end the connection after some frames."""
        self.server.connections += 1
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=frame")
        self.end_headers()
        for index in range(self.server.frames_per_connection):
            data = cv2.imencode(".jpg", recordings.frame_image(index))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")
            time.sleep(_FRAME_S)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Answer requests in a thread."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def http_server(files: dict[str, bytes] | None = None, frames: int = 20, needs_user: bool = False) -> Iterator[_Server]:
    """Serve files by path, and motion JPEG at ``/stream``, whose connections end after some frames."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.files, server.frames_per_connection, server.connections = files or {}, frames, 0
    server.needs_user = needs_user
    with _serving(server):
        yield server


class _RtspHandler(socketserver.StreamRequestHandler):
    """One RTSP connection, with RTP in the same connection (RFC 2326, section 10.12)."""

    def handle(self) -> None:
        self.server.connections += 1  # type: ignore[attr-defined]
        with suppress(ConnectionError, ValueError):
            while request := self._read_request():
                method, url, headers = request
                answer, body = self._answer(method, url, headers)
                lines = ["RTSP/1.0 200 OK", f"CSeq: {headers['cseq']}", *answer]
                if body:
                    lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
                self.wfile.write("\r\n".join([*lines, "", body]).encode())
                if method == "PLAY":
                    self._play()
                    return

    def _read_request(self) -> tuple[str, str, dict[str, str]] | None:
        first = self.rfile.readline().decode().split()
        if not first:
            return None
        headers = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return first[0], first[1], headers

    def _answer(self, method: str, url: str, headers: dict[str, str]) -> tuple[list[str], str]:
        if method == "OPTIONS":
            return ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"], ""
        if method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=test\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
                "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
            )
            return [f"Content-Base: {url}/"], body
        if method == "SETUP":
            return ["Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"], ""
        return ["Session: 1"], ""

    def _play(self) -> None:
        for packet in rtp_packets(self.server.frames_per_connection):  # type: ignore[attr-defined]
            self.wfile.write(struct.pack(">cBH", b"$", 0, len(packet)) + packet)


def rtp_packets(frames: int) -> Iterator[bytes]:
    """Encode frames as H.264 in RTP packets, at the pace of a camera."""
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0.0)
        with av.open(f"rtp://127.0.0.1:{receiver.getsockname()[1]}", "w", format="rtp") as container:
            stream = container.add_stream("libx264", rate=50)
            stream.width, stream.height = recordings.SIZE_WH
            stream.pix_fmt = "yuv420p"
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
            for index in range(frames):
                frame = av.VideoFrame.from_ndarray(recordings.frame_image(index), format="bgr24")
                frame.pts, frame.time_base = index, Fraction(1, 50)
                container.mux(stream.encode(frame))
                time.sleep(_FRAME_S)
                yield from _waiting(receiver)


def _waiting(receiver: socket.socket) -> Iterator[bytes]:
    with suppress(BlockingIOError):
        while True:
            packet = receiver.recv(4096)
            if packet[1] & 127 == 96:  # not RTCP
                yield packet


@contextmanager
def rtsp_server(frames: int = 100) -> Iterator[Any]:
    """Serve H.264 over RTSP. Each connection ends after some frames."""
    server: Any = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _RtspHandler)
    server.daemon_threads, server.frames_per_connection, server.connections = True, frames, 0
    with _serving(server):
        yield server


def address(server: Any, path: str, scheme: str = "http", user: str = "") -> str:
    """Return the address of a path of a server."""
    return f"{scheme}://{user}{'@' if user else ''}127.0.0.1:{server.server_address[1]}{path}"
