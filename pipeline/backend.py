"""TensorFlow, started quietly, and the same way wherever it runs.

It takes seconds to import, so a stage calls `start` when its parameters are checked, and imports
`keras` and the modules that build on it after that.
"""

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def start() -> None:
    """Imports TensorFlow and fixes what would make results depend on the number of processors."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # fatal errors only
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"  # the widest that all x86 servers of today share
    with _native_stderr_withheld():  # the import logs before that level is in force
        import tensorflow as tf

    # One thread adds up in another order than several do: two are the fewest that agree with more.
    tf.config.threading.set_intra_op_parallelism_threads(max(2, _processors()))


def _processors() -> int:
    """How many this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def processor() -> str:
    """The name of the processor, as far as the system knows it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(": ")[1]
    return platform.processor() or platform.machine()


@contextmanager
def _native_stderr_withheld() -> Iterator[None]:
    """Withholds what is written to file descriptor 2, and gives it out if the block fails."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as withheld:
        os.dup2(withheld.fileno(), 2)
        try:
            yield
        except BaseException:
            withheld.seek(0)
            os.write(original, withheld.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
