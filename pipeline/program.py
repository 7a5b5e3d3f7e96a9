"""How every program here starts and fails: arguments, --help, one-line errors, exit codes.

`run` is for any program, `run_stage` for a stage of the pipeline. Both exit with the code of what
went wrong (see `pipeline.errors`), or 128 plus the number of the signal that stopped them.
"""

import argparse
import ctypes
import errno
import fcntl
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from pipeline.artifacts import json_bytes, write_files
from pipeline.errors import BusyError, DiskError, InputError, PipelineError
from pipeline.lock import check_recorded
from pipeline.params import Params, load
from pipeline.paths import LOCKS, PARAMS, TIMING

PR_SET_PDEATHSIG = 1  # linux/prctl.h
NO_COMPILE_CACHE = "NO_COMPILE_CACHE"  # an environment variable: any value switches the cache off


class Parser(argparse.ArgumentParser):
    """Command-line arguments. A wrong one is refused in one line, with exit code 2."""

    def __init__(self, module: str, description: str | None, epilog: str | None = None) -> None:
        """A parser for `python -m module`, described by the first paragraph of its docstring."""
        super().__init__(
            prog=f"python -m {module}",
            description=(description or "").split("\n\n")[0],
            epilog=epilog,
            allow_abbrev=False,
        )
        self.name = module.rpartition(".")[2]

    def error(self, message: str) -> NoReturn:
        """Called by argparse."""
        self.exit(InputError.exit_code, f"{self.name}: {message}; see {self.prog} --help\n")


def add_compile_option(parser: argparse.ArgumentParser) -> None:
    """Adds --no-compile-cache, which holds for all processes that the program starts, too."""
    parser.add_argument(
        "--no-compile-cache",
        action=_SwitchOff,
        nargs=0,
        help=f"compile all programs anew; so does {NO_COMPILE_CACHE}=1 in the environment",
    )


class _SwitchOff(argparse.Action):
    """Sets the variable when the option is parsed."""

    def __call__(self, *_arguments: object) -> None:
        os.environ[NO_COMPILE_CACHE] = "1"


def share(text: str) -> float:
    """The value of an argument that is a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number from 0 to 1")
    return value


def run(
    parser: Parser,
    main: Callable[[argparse.Namespace], int | None],
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Runs `main` as a program.

    Args:
        parser: of the arguments, which `main` gets.
        main: returns an exit code, or None for 0.
        arguments: those of the command line if None.
    """
    _open_streams()
    _exit_on_signals()
    try:
        try:
            code = main(parser.parse_args(arguments)) or 0
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read our output has gone
            code = 128 + signal.SIGPIPE
        except OSError as error:
            raise _disk_error(error) from error
    except PipelineError as error:
        message = printable(str(error), keep="\n")
        print(f"{parser.name}: {message}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    _discard_unwritten(sys.stdout)
    sys.exit(code)


def run_stage(
    name: str,
    description: str | None,
    main: Callable[[Params], None],
    inputs: Iterable[Path] = (),
    *,
    writes: Callable[[], bool] = lambda: True,
    add_options: Callable[[argparse.ArgumentParser], None] = lambda _parser: None,
) -> NoReturn:
    """Runs a stage as a program: with the checked parameters, and alone in this folder.

    Args:
        name: of the stage.
        description: its docstring.
        main: what to do with the parameters.
        inputs: the outputs of earlier stages that it reads; where DVC runs the stage, they must be
            what dvc.lock recorded.
        writes: whether this process writes the results; one that only helps need not be alone.
        add_options: adds its own options, which take effect when they are parsed.
    """

    def stage(_arguments: argparse.Namespace) -> None:
        started = time.perf_counter()
        _die_with_dvc()
        params = load(PARAMS)
        if not writes():
            main(params)
            return
        with _exclusive(name):
            if "DVC_STAGE" in os.environ:
                check_recorded(inputs)
            main(params)
            _record_seconds(name, time.perf_counter() - started)

    parser = Parser(f"pipeline.{name}", description)
    add_options(parser)
    run(parser, stage)


def printable(text: str, keep: str = "") -> str:
    r"""`text` with control characters, such as a terminal's escapes, written as `\x1b`.

    Args:
        text: anything.
        keep: characters to leave as they are.
    """
    return "".join(
        sign if sign.isprintable() or sign in keep else sign.encode("unicode_escape").decode()
        for sign in text
    )


def emit(text: str, stream: TextIO) -> None:
    """Prints a program's result, and makes sure that it got out.

    Raises:
        InputError: the stream is closed or full.
    """
    if isinstance(stream, _Closed):
        raise InputError("the result cannot be printed (the output is closed)")
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        _discard_unwritten(stream)
        raise InputError(f"the result cannot be printed ({error.strerror})") from error


def _discard_unwritten(stream: TextIO) -> None:
    """Drops what `stream` cannot write, which would fail again when Python exits."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Closed(io.StringIO):
    """Stands in for a standard stream that was closed when the program started."""


def _open_streams() -> None:
    """Makes the standard streams safe to print to, whatever the program was started with."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # or the next file to be opened would get this number, and our output
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, _Closed())
        elif isinstance(stream, io.TextIOWrapper):
            # A log shows an epoch when it ends; a terminal that knows ASCII alone shows escapes.
            stream.reconfigure(line_buffering=True, errors="backslashreplace")


def _exit_on_signals() -> None:
    """Cleans up on SIGTERM and SIGHUP, as on Ctrl-C, instead of dying on the spot."""

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, stop)


def _disk_error(error: OSError) -> DiskError:
    """What the file system refused, where, and what may help."""
    remedies = {
        errno.ENOSPC: "make room",
        errno.EDQUOT: "make room",
        errno.EFBIG: "make room",
        errno.EACCES: "get access",
        errno.EPERM: "get access",
        errno.EROFS: "make it writable",
        errno.EEXIST: "something else is in its place, move it away",
        errno.EISDIR: "something else is in its place, move it away",
        errno.ENOTDIR: "something else is in its place, move it away",
    }
    where = f"{error.filename}: " if error.filename else ""
    remedy = remedies.get(error.errno or 0, "check the disk" if error.errno else "make room")
    return DiskError(f"{where}{error.strerror or error}; {remedy}, then run it again")


def die_with_parent() -> None:
    """Lets the system end this process when its parent ends, however that does.

    Only Linux can do this. Elsewhere nothing happens.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _die_with_dvc() -> None:
    """Ends this process when the `dvc repro` that started it ends, even if that was killed.

    Only Linux can do this. Elsewhere the stage runs on, and its lock keeps a second one away.
    """
    if "DVC_STAGE" in os.environ and sys.platform == "linux":
        die_with_parent()
        if os.getpgid(os.getppid()) != os.getpgid(0):  # it has ended, and init adopted us
            sys.exit("the dvc repro that started this stage has ended")


@contextmanager
def _exclusive(name: str) -> Iterator[None]:
    """Holds the lock of stage `name` in this folder; the system drops it with the process.

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
                f"process {process} is running this stage in this folder; wait for it or stop it"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _record_seconds(name: str, seconds: float) -> None:
    """Adds to what `dvc metrics show metrics/timing.json` prints; no result depends on it."""
    timing: dict[str, object] = {}
    with suppress(OSError, ValueError, TypeError):
        timing |= json.loads(TIMING.read_text(encoding="utf-8"))
    with suppress(OSError):
        write_files({TIMING: json_bytes(timing | {name: {"seconds": round(seconds, 2)}})})
