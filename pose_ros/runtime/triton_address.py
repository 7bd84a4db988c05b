"""Parse the address of a model on a Triton server."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

SCHEME = "triton://"
PORT = 8001
"""Default port of the gRPC interface of a Triton server."""
FORM = "triton://HOST[:PORT]/MODEL[/VERSION]"


def find_address(model: object) -> str | None:
    """Return the address of a model on a server. None if the model is a file.

    The address may be a Path, which has lost the second of its slashes.
    """
    text = str(model)
    return SCHEME + text.removeprefix("triton:").lstrip("/") if text.startswith("triton:/") else None


@dataclass(frozen=True)
class TritonAddress:
    """A model on a server.

    Attributes:
        host: Name or number of the host.
        port: Port of the gRPC interface.
        model: Name of the model on the server.
        version: Version of the model. Empty = the version that the server chooses.
    """

    host: str
    port: int
    model: str
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> TritonAddress:
        """Parse ``triton://HOST[:PORT]/MODEL[/VERSION]``.

        Raises:
            ValueError: If the text has another form.
        """
        if "@" in text:  # first, because the other errors show the text, with a password
            raise ValueError(f"model: expected {FORM} without a user name, got one; a Triton server has no users")
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port or PORT
        except ValueError as error:  # such as port 99999
            raise ValueError(f"model: expected {FORM}, got {text!r:.200}: {error}") from error
        names = [unquote(name) for name in parts.path.strip("/").split("/")]
        is_complete = parts.scheme == "triton" and host and 1 <= len(names) <= 2 and all(names)
        if not is_complete or parts.query or parts.fragment:
            raise ValueError(f"model: expected {FORM}, got {text!r:.200}")
        model, version = (*names, "")[:2]
        if version and not version.isdecimal():
            raise ValueError(f"model: expected a number as the version in {FORM}, got {version!r:.80}")
        return cls(host, port, model, version)

    @property
    def server(self) -> str:
        """Host and port, as gRPC reads them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine, as far as its name tells."""
        return self.host in ("localhost", "::1", socket.gethostname().lower()) or self.host.startswith("127.")

    def __str__(self) -> str:
        version = f"/{self.version}" if self.version else ""
        return f"{SCHEME}{self.server}/{self.model}{version}"
