"""TensorFlow, started quietly, and in the same way wherever it runs.

It takes seconds to import, so a stage calls `start` once its parameters are checked, and imports
`keras` and the modules that use it after that.
"""

import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def start() -> None:
    """Imports TensorFlow, and fixes what would make results depend on the processor."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # fatal errors only
    if platform.machine() in ("x86_64", "AMD64"):
        # Wider vectors add up in another order, and XLA's platform-dependent math uses other
        # instructions where there is AVX-512: 33 of 10,000 predictions on MNIST differed.
        os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
        os.environ["XLA_FLAGS"] = " ".join(
            (
                os.environ.get("XLA_FLAGS", ""),
                "--xla_cpu_max_isa=AVX2",
                "--xla_cpu_enable_platform_dependent_math=false",
            )
        )
    with _native_stderr_withheld():  # TensorFlow logs before that level takes effect
        import tensorflow as tf

    # One thread adds up in another order than several do; two are the fewest that agree with more.
    tf.config.threading.set_intra_op_parallelism_threads(max(2, _processors()))


def _processors() -> int:
    """How many this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """The machine's memory in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def processor() -> str:
    """What decides how this machine adds up: name, family, model and stepping of its processor."""
    with suppress(OSError, KeyError):
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
        facts = dict(line.split("\t", 1) for line in first.splitlines() if "\t" in line)
        name, *numbers = (
            facts[key].strip("\t: ") for key in ("model name", "cpu family", "model", "stepping")
        )
        return f"{name}, family {numbers[0]}, model {numbers[1]}, stepping {numbers[2]}"
    return platform.processor() or platform.machine()


@contextmanager
def _native_stderr_withheld() -> Iterator[None]:
    """Withholds what is written to file descriptor 2, and releases it if the block fails."""
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
