"""TensorFlow, started quietly, and in the same way wherever it runs.

It takes seconds to import, so a stage calls `start` once its parameters are checked, and imports
`keras` and the modules that use it after that.
"""

import gc
import math
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from pipeline import machine

# Environment variables that would change results or end a training early. All are dropped: a list
# of those that exist would be out of date with the next TensorFlow.
DECIDING = ("AUTOGRAPH_", "DNNL_", "DTENSOR_", "KERAS_", "MLIR_", "ONEDNN_", "TF2_", "TF_", "XLA_")

# Wider vectors add up in another order, and XLA's platform-dependent math uses other instructions
# where there is AVX-512: 33 of 10,000 predictions on MNIST differed.
WIDEST = "AVX2"
XLA_FLAGS = f"--xla_cpu_max_isa={WIDEST} --xla_cpu_enable_platform_dependent_math=false"

# In a batch of images to score: the values of 55 colour images of 224x224 pixels, for which the
# first of many filters take some hundred megabytes.
MOST_IMAGES, MOST_VALUES = 2000, 2**23


def start(programs: Path | None = None) -> None:
    """Imports TensorFlow and Keras, and fixes what would make results depend on the surroundings.

    Those are the processor, environment variables, and ~/.keras/keras.json.

    Args:
        programs: the folder in which TensorFlow finds compiled programs and leaves others, if it is
            given before any is compiled; see `compile_cache`.
    """
    for name in [*os.environ]:
        if name.startswith(DECIDING):
            del os.environ[name]
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["KERAS_HOME"] = os.devnull  # no keras.json is read or written there
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # fatal errors only
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ["ONEDNN_MAX_CPU_ISA"] = WIDEST
        os.environ["XLA_FLAGS"] = XLA_FLAGS
    if programs:
        os.environ["TF_XLA_FLAGS"] = (
            f'--tf_xla_persistent_cache_directory="{programs}" '
            f"--tf_xla_persistent_cache_device_types=CPU"
        )
    first = "tensorflow" not in sys.modules
    # TensorFlow logs before that level takes effect.
    with native_stderr_withheld(), _lasting() if first else nullcontext():
        import keras
        import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # it warns of the third training in a process
    # One thread adds up in another order than several do; two are the fewest that agree with more.
    tf.config.threading.set_intra_op_parallelism_threads(max(2, machine.cores()))
    keras.config.set_dtype_policy("float32")  # a notebook may have imported Keras before
    keras.config.set_image_data_format("channels_last")
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)


def images_at_once(shape: tuple[int, ...]) -> int:
    """How many images of `shape` to score in a batch: fewer of large ones, for want of memory."""
    return max(1, min(MOST_IMAGES, MOST_VALUES // math.prod(shape)))


def processor() -> str:
    """What decides how this machine adds up: name, family, model and stepping of its processor."""
    facts = _facts()
    with suppress(KeyError):
        name, *numbers = (facts[key] for key in ("model name", "cpu family", "model", "stepping"))
        return f"{name}, family {numbers[0]}, model {numbers[1]}, stepping {numbers[2]}"
    return platform.processor() or platform.machine()


def instructions() -> str:
    """The sets of instructions that the processor has, empty if the system does not say."""
    return _facts().get("flags", "")


def _facts() -> dict[str, str]:
    """What Linux says of the first processor."""
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
        pairs = (line.split("\t", 1) for line in first.splitlines() if "\t" in line)
        return {key: value.strip("\t: ") for key, value in pairs}
    return {}


@contextmanager
def _lasting() -> Iterator[None]:
    """For a block whose objects last: the garbage collector never looks at them.

    It takes a quarter of the time of TensorFlow's import, and 0.2 s of a training later on.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextmanager
def native_stderr_withheld() -> Iterator[None]:
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
