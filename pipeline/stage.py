"""What a stage is from outside: it reads params.yaml, and it fails with one line and a code."""

import ctypes
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper

from pipeline.artifacts import write_json
from pipeline.errors import BusyError, DiskError, PipelineError
from pipeline.params import Params, load
from pipeline.paths import LOCKS, PARAMS, TIMING

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run(name: str, stage: Callable[[Params], None]) -> None:
    """Runs `stage` as a program, and leaves with its exit code if it fails.

    Args:
        name: of the stage, for its row in metrics/timing.json.
        stage: what to do with the checked parameters.
    """
    started = time.perf_counter()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log shows an epoch when it ends
    try:
        try:
            _die_with_dvc()
            params = load(PARAMS)
            with _alone(name):
                stage(params)
                _record_seconds(name, time.perf_counter() - started)
        except BrokenPipeError:  # whoever read our output has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        except OSError as error:
            raise DiskError(f"{error}; make room or give access, then run it again") from error
    except PipelineError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _die_with_dvc() -> None:
    """Ends this process when the `dvc repro` that started it ends, even if that was killed.

    Only Linux can do this. Elsewhere the stage runs on, and its lock keeps a second one away.
    """
    if "DVC_STAGE" in os.environ and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getpgid(os.getppid()) != os.getpgid(0):  # it ended before, and init has adopted us
            sys.exit("the dvc repro that started this stage has ended")


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Holds the lock of stage `name` in this workspace; it goes with the process.

    Raises:
        BusyError: another process holds it.
    """
    path = LOCKS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            process = lock.read() or "that is just starting"
            raise BusyError(
                f"process {process} runs this stage in this workspace; wait for it, or stop it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _record_seconds(name: str, seconds: float) -> None:
    """Adds to what `dvc metrics show metrics/timing.json` prints."""
    timing = {}
    with suppress(OSError, ValueError):
        timing = json.loads(TIMING.read_text(encoding="utf-8"))
    write_json(TIMING, timing | {name: {"seconds": round(seconds, 2)}})
