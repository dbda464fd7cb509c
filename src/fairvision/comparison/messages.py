"""Short messages from workers, wherever they run: datagrams, which nobody waits for."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Sender", "mailbox"]

_HERE = "127.0.0.1"


@dataclass(frozen=True)
class Sender:
    """Sends the numbers that it is called with; that nobody hears them is no error."""

    address: tuple[str, int]
    token: str
    who: int

    def __call__(self, n: int) -> None:
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto(json.dumps([self.token, self.who, n]).encode(), self.address)


@contextmanager
def mailbox(
    cluster: str | None, n: int, hear: Callable[[int, int], None]
) -> Iterator[list[Sender | None]]:
    """Hear what `n` senders say, in a thread.

    Parameters
    ----------
    cluster : str or None
        Address of the cluster whose workers send; None if they are on this machine, and
        then nobody else can.
    n : int
    hear : callable
        Takes the number of a sender and what it said.

    Yields
    ------
    list of Sender or None
        Senders 0 to n - 1, which may be pickled; None each where nothing can be received.
    """
    line = _bound(cluster)
    if line is None:
        yield [None] * n
        return
    token, over = secrets.token_hex(8), Event()

    def listen() -> None:
        while not over.is_set():
            with suppress(OSError):
                read = _read(line.recv(256), token)
                if read is not None and read[0] < n:
                    hear(*read)

    thread = Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield [Sender(line.getsockname(), token, i) for i in range(n)]
    finally:
        over.set()
        thread.join()
        line.close()


def _bound(cluster: str | None) -> socket.socket | None:
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        line.settimeout(0.2)  # how long the end of the comparison may wait for the thread
        line.bind((_host_towards(cluster), 0))
    except OSError:
        line.close()
        return None
    return line


def _read(message: bytes, token: str) -> tuple[int, int] | None:
    """Sender and number of a message of ours; None for any other."""
    try:
        said: Any = json.loads(message)
    except ValueError:
        return None
    if not isinstance(said, list) or len(said) != 3 or said[0] != token:
        return None
    numbers = [n for n in said[1:] if type(n) is int and 0 <= n < 10**9]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None


def _host_towards(cluster: str | None) -> str:
    """This machine's address as a cluster sees it."""
    if cluster is None:
        return _HERE
    host = urlsplit(cluster if "//" in cluster else f"//{cluster}").hostname
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.connect((host, 9))  # sends nothing: the routing table is asked
        return str(line.getsockname()[0])
    return _HERE
