"""Notices within seconds that a worker of a training was killed, stopped or cut off, and which one.

Every worker has a connection to the first one, on which both say each second that they are alive.
When the first one misses something, it tells the others. TensorFlow's collectives by themselves
wait for a stopped worker for ever, and do not say which one was killed.
"""

import socket
import threading
import time
from collections.abc import Callable
from selectors import EVENT_READ, DefaultSelector

from pipeline.cluster import Cluster
from pipeline.errors import NetworkError

BEAT = 1.0  # seconds between two signs of life
SILENCE = 20.0  # seconds without one after which a worker counts as lost
CONNECT = 30.0  # seconds in which to connect to the first worker
ALIVE, FINISHED, LOST = b"+", b".", b"-"  # how a message begins; the rank follows on LOST
RANK_SIZE = 4  # bytes


class Watch:
    """Watches over the other workers in a thread of its own."""

    def __init__(self, cluster: Cluster, on_loss: Callable[[str], None]) -> None:
        """Calls `on_loss` from that thread with what happened to which worker, at most once."""
        self.cluster = cluster
        self.on_loss = on_loss
        self.loss = ""  # what happened to which worker
        self.ranks: dict[socket.socket, int] = {}  # of the workers to whom there is a connection
        self.heard: dict[socket.socket, float] = {}  # when they were last heard of
        self.server: socket.socket | None = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def listen(self) -> int:
        """Opens a port for the others, on the first worker, and returns it."""
        host, _ = self.cluster.address(0)
        family = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0][0]
        self.server = socket.create_server(("", 0), family=family, backlog=self.cluster.count)
        return int(self.server.getsockname()[1])

    def start(self, port: int) -> None:
        """Connects the workers, all of which call it, and begins to watch.

        Args:
            port: what the first worker's `listen` returned.

        Raises:
            NetworkError: the others cannot reach the first worker there.
        """
        host, _ = self.cluster.address(0)
        try:
            if self.server:
                self.server.settimeout(CONNECT)
                while len(self.ranks) < self.cluster.count - 1:
                    link, _ = self.server.accept()
                    link.settimeout(CONNECT)
                    rank = int.from_bytes(link.recv(RANK_SIZE, socket.MSG_WAITALL))
                    if rank in {*range(1, self.cluster.count)} - {*self.ranks.values()}:
                        self._add(link, rank)
                    else:  # it is no worker
                        link.close()
                self.server.close()
            else:
                link = socket.create_connection((host, port), CONNECT)
                link.sendall(self.cluster.rank.to_bytes(RANK_SIZE))
                self._add(link, 0)
        except OSError as error:
            raise NetworkError(
                f"the workers cannot connect to {self.cluster.name(0)} on its port {port} "
                f"({error}); open all ports between the workers"
            ) from error
        self.thread.start()

    def finish(self) -> None:
        """Ends the watch: from now on a worker may end."""
        self.over.set()
        self._say(FINISHED)
        for link in self.ranks:
            link.close()

    def _add(self, link: socket.socket, rank: int) -> None:
        self.ranks[link] = rank
        self.heard[link] = time.monotonic()

    def _watch(self) -> None:
        with DefaultSelector() as selector:
            for link in self.ranks:
                selector.register(link, EVENT_READ)
            said = 0.0
            while self.heard and not self.loss and not self.over.is_set():
                # First what has arrived: if this process was stopped, all have been silent to it.
                for key, _ in selector.select(BEAT):
                    self._hear(key.fileobj)  # type: ignore[arg-type]
                    if key.fileobj not in self.heard:
                        selector.unregister(key.fileobj)
                now = time.monotonic()
                for link, heard in self.heard.items():
                    if now - heard > SILENCE:
                        self._lose(self.ranks[link], f"was silent for {SILENCE:.0f} s")
                if now - said >= BEAT:
                    self._say(ALIVE)
                    said = now

    def _hear(self, link: socket.socket) -> None:
        """Reads a message."""
        try:
            kind = link.recv(1)
            if kind == LOST:
                rank = int.from_bytes(link.recv(RANK_SIZE, socket.MSG_WAITALL))
                self._lose(rank, "was lost")
        except OSError:
            kind = b""
        self.heard[link] = time.monotonic()
        if kind == FINISHED:
            del self.heard[link]
        elif not kind:
            self._lose(self.ranks[link], "ended")

    def _lose(self, rank: int, how: str) -> None:
        """Tells everyone that a worker is lost, unless another one was before, or all is over."""
        if self.loss or self.over.is_set():
            return
        self.loss = f"{self.cluster.name(rank)} {how}"
        self._say(LOST + rank.to_bytes(RANK_SIZE))
        self.on_loss(self.loss)

    def _say(self, message: bytes) -> None:
        for link in self.ranks:
            try:
                link.sendall(message)
            except OSError:
                continue  # hearing finds out
