"""A slow, deaf or broken network between a client and its server."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Relay:
    """Passes bytes to a server, each piece *delay* seconds late: a round trip takes ``2 · delay``.

    Attributes:
        url: Where clients connect to.
        deaf: While true nothing is passed on, as if the server had stopped.
    """

    def __init__(self, server_url: str, *, delay: float = 0.0) -> None:
        parts = urlsplit(server_url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.deaf = False
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(timeout=5)

    def cut(self) -> None:
        """Break every connection."""
        for end in self._open:
            with suppress(OSError):  # the other end was first
                end.shutdown(socket.SHUT_RDWR)

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                ours = self._listener.accept()[0]
            except OSError:
                return
            theirs = socket.create_connection(self._server)
            self._open += [ours, theirs]
            self._start(self._pass, ours, theirs)
            self._start(self._pass, theirs, ours)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        late: deque[tuple[float, bytes]] = deque()
        source.settimeout(0.005)
        with suppress(OSError), target:
            while True:
                with suppress(TimeoutError):
                    data = source.recv(65536)
                    if not data:
                        break
                    late.append((time.monotonic() + self._delay, data))
                while late and not self.deaf and late[0][0] <= time.monotonic():
                    target.sendall(late.popleft()[1])
            for _, data in late if not self.deaf else ():
                target.sendall(data)
