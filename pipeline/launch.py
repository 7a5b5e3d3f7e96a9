"""Runs a command on several workers of this machine, which train one model together.

Each gets TF_CONFIG, as from a launcher for many machines. If one fails, all end.
"""

import argparse
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import IO

from pipeline.cluster import VARIABLE
from pipeline.errors import InputError
from pipeline.program import Parser, add_compile_option, die_with_parent, run

LOOK = 0.1  # seconds between two looks at the workers
NOTICE = 10.0  # seconds in which the others notice that one has failed, and end by themselves
GRACE = 5.0  # seconds in which one that is told to stop does


def free_addresses(count: int) -> list[str]:
    """Addresses of this machine, at ports that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]


def environments(addresses: Sequence[str]) -> list[dict[str, str]]:
    """What each worker finds in its environment."""
    cluster = {"worker": list(addresses)}
    return [
        os.environ
        | {VARIABLE: json.dumps({"cluster": cluster, "task": {"type": "worker", "index": rank}})}
        for rank in range(len(addresses))
    ]


def launch(command: Sequence[str], count: int) -> int:
    """Runs `command` on `count` workers. Only the first one prints anything else than errors.

    Returns:
        0; or if some failed, the exit code of the first of them that had one. What that printed
        as its error is shown, what the others say of it is not.
    """
    with ExitStack() as stack:
        errors = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
        workers = [
            stack.enter_context(_started(command, rank, environment, errors[rank]))
            for rank, environment in enumerate(environments(free_addresses(count)))
        ]
        ended = _wait(workers)
        for rank in ended:
            errors[rank].seek(0)
            if said := errors[rank].read():
                print(said.decode(errors="replace"), end="", file=sys.stderr)
                break
        codes = [workers[rank].returncode for rank in ended if workers[rank].returncode]
        return next((code for code in codes if code > 0), 128 - codes[0] if codes else 0)


@contextmanager
def _started(
    command: Sequence[str], rank: int, environment: dict[str, str], errors: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker, which is stopped if it still runs at the end of the block."""
    worker = subprocess.Popen(  # noqa: S603, no shell
        command,
        env=environment,
        stdout=subprocess.DEVNULL if rank else None,
        stderr=errors,
        preexec_fn=die_with_parent,  # noqa: PLW1509, there are no threads
    )
    try:
        yield worker
    finally:
        if worker.poll() is None:
            worker.terminate()
            try:
                worker.wait(GRACE)
            except subprocess.TimeoutExpired:
                worker.kill()


def _wait(workers: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Waits until all have ended, or some time after the first one failed; who did, in order."""
    ended: list[int] = []
    deadline = math.inf
    while len(ended) < len(workers) and time.monotonic() < deadline:
        time.sleep(LOOK)
        for rank, worker in enumerate(workers):
            if rank not in ended and worker.poll() is not None:
                ended.append(rank)
                if worker.returncode and deadline == math.inf:
                    deadline = time.monotonic() + NOTICE
    return ended


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("pipeline.launch", __doc__)
    arguments.add_argument("--workers", type=int, required=True, metavar="N", help="how many")
    add_compile_option(arguments)
    arguments.add_argument("command", nargs=argparse.REMAINDER, help="what each of them runs")
    return arguments


def main(options: argparse.Namespace) -> int:
    """Runs the command.

    Raises:
        InputError: there is none.
    """
    if options.workers < 1 or not options.command:
        raise InputError("expected --workers N, at least 1, and a command")
    return launch(options.command, options.workers)


if __name__ == "__main__":
    run(parser(), main)
