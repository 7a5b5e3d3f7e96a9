"""Functions as tasks on a Ray cluster, which RAY_ADDRESS names.

The nodes get this package, as it is here, from the one that connects. They share no disk with it,
and need the packages of the locks: a node on which one has another version runs nothing.
"""

import logging
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import InputError, NetworkError, PipelineError
from pipeline.records import one_line

ADDRESS = "RAY_ADDRESS"  # the variable
ANSWER = 5  # seconds within which a cluster accepts a connection
ASKED = "5"  # times that Ray asks a cluster who it is, a second each
PACKAGES = ("keras", "numpy", "pillow", "tensorflow")  # whose versions decide what comes out
AHEAD, MOST = 4, 128  # tasks for each core of the cluster, and in all, that wait for it or for us
PACKAGE = Path(__file__).parent

Item = TypeVar("Item")
Result = TypeVar("Result")


def address() -> str:
    """What RAY_ADDRESS says, empty if it is not set."""
    return os.environ.get(ADDRESS, "")


@contextmanager
def connected(address: str, **options: Any) -> Iterator[Any]:  # noqa: ANN401, of ray.init
    """The module `ray`, connected to the cluster during the block.

    Args:
        address: of its head, HOST:PORT.
        options: for `ray.init`, too.

    Raises:
        InputError: Ray is not installed, or the cluster does not let us in.
        NetworkError: it does not answer.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_NUM_REDIS_GET_RETRIES"] = ASKED
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise InputError(f"ray is not installed, which {ADDRESS} needs; make extras") from error
    _check_answers(address)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with _hushed():
            ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except ray.exceptions.AuthenticationError as error:
        raise InputError(
            f"{ADDRESS}={address}: there is no token here; put the cluster's into RAY_AUTH_TOKEN, "
            f"or set RAY_AUTH_MODE=disabled if it has none"
        ) from error
    except ConnectionError as error:
        raise InputError(
            f"{ADDRESS}={address}: answers, but does not let us in; it is no Ray cluster, or has "
            f"another token: RAY_AUTH_TOKEN is the one that `ray get-auth-token` prints on its head"
        ) from error
    except Exception as error:  # Ray raises what it likes, such as RuntimeError for a version
        raise InputError(
            f"{ADDRESS}={address}: {one_line(error)}; make setup extras gives all nodes the same "
            f"packages, ray start on this machine makes it one of them"
        ) from error
    signal.signal(signal.SIGTERM, before)
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def _hushed() -> Iterator[None]:
    """Drops what is written to standard error, as Ray's native code does at every attempt."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_answers(address: str) -> None:
    """Checks that something accepts connections.

    Raises:
        InputError: `address` is none.
        NetworkError: nothing does.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"{ADDRESS}={address}: expected HOST:PORT, such as head:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER).close()
    except (OSError, OverflowError) as error:
        raise NetworkError(
            f"{ADDRESS}={address}: does not answer ({one_line(error)}); start the cluster's head "
            f"there: ray start --head (docs/clusters.md)"
        ) from error


def in_order(
    function: Callable[..., Result], items: Iterable[Item], *shared: object
) -> Iterator[Result]:
    """`function` of each of `items`, as tasks on the cluster of RAY_ADDRESS.

    Few of them wait at any time, so that `items` may be more than fit into memory. Ray runs again
    elsewhere what has lost its node.

    Args:
        function: of this package.
        items: the first argument of each call.
        shared: its other arguments, which are sent once.

    Yields:
        What it returns for each, in their order.

    Raises:
        PipelineError: `function` raised it, or the cluster cannot be used.
    """
    package = {"py_modules": [str(PACKAGE)], "excludes": ["__pycache__"]}
    with connected(address(), runtime_env=package) as ray:
        task = ray.remote(_run).options(scheduling_strategy="SPREAD")
        sent = [ray.put(one) for one in shared]
        ours = versions()
        most = min(MOST, AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1))))
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(task.remote(function, ours, item, *sent))
            if len(waiting) > most:
                yield _result(ray, waiting.popleft())
        while waiting:
            yield _result(ray, waiting.popleft())


def _run(
    function: Callable[..., Result], expected: dict[str, str], item: object, *shared: object
) -> Result:
    """Runs on a node."""
    check_versions(expected)
    return function(item, *shared)


@cache
def versions() -> dict[str, str]:
    """Of the PACKAGES here."""
    return {name: version(name) for name in PACKAGES}


def check_versions(expected: dict[str, str]) -> None:
    """Checks that the packages here are the `expected` ones.

    Raises:
        InputError: one has another version.
    """
    for name, ours in versions().items():
        if ours != expected[name]:
            raise InputError(
                f"node {socket.gethostname()}: found {name} {ours}, expected {expected[name]}, as "
                f"on the machine that asks; make setup there"
            )


def _result(ray: Any, task: Any) -> Any:  # noqa: ANN401, untyped
    try:
        return ray.get(task)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, PipelineError):
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        raise NetworkError(f"{ADDRESS}={address()}: {one_line(error)[:300]}") from error
