"""What could change results from outside, and is kept from it."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import keras
import pytest

from pipeline.training import backend
from tests.support import REPOSITORY

# Variables that the installed Keras and TensorFlow read, and that decide no result.
HARMLESS = {
    "CLOUD_TPU_TASK_ID": "TPUs",
    "CUDA_VISIBLE_DEVICES": "which GPUs there are: a machine's, like its processors",
    "ENABLE_RUNTIME_UPTIME_TELEMETRY": "TPUs",
    "GRPC_FAIL_FAST": "clusters",
    "HDF5_PLUGIN_PATH": "compression filters, which no file here uses",
    "HIP_VISIBLE_DEVICES": "which GPUs there are",
    "OMP_NUM_THREADS": "threads of builds with OpenMP",
    "SKIP_APPLICATIONS_TESTS": "Keras's own tests",
    "TPU_ML_PLATFORM": "TPUs",
    "TPU_ML_PLATFORM_VERSION": "TPUs",
}
TESTS = re.compile(r"TEST_|TRT_TEST")  # of TensorFlow's own tests
READ = re.compile(
    r"""(?:environ(?:\.get|\.pop|\.setdefault)?|getenv)[\[(]\s*["']([A-Z][A-Z_0-9]+)"""
)


def variables(package: str) -> set[str]:
    """The environment variables that the Python files of an installed package read."""
    spec = find_spec(package)
    assert spec
    assert spec.origin
    root = Path(spec.origin).parent
    files = [path for path in root.rglob("*.py") if path.parts[len(root.parts)] != "include"]
    return {name for file in files for name in READ.findall(file.read_text(errors="replace"))}


@pytest.mark.parametrize("package", ["keras", "tensorflow"])
def test_every_variable_is_dropped_or_harmless(package: str) -> None:
    found = {name for name in variables(package) if not TESTS.match(name)}
    assert len(found) > 5
    others = {name for name in found if not name.startswith(backend.DECIDING)}
    assert others <= set(HARMLESS)


def test_the_first_start_alone_keeps_its_objects_from_the_collector() -> None:
    program = (
        "import gc\n"
        "from pipeline.training import backend\n"
        "for _ in range(2):\n"
        "    backend.start()\n"
        "    print(gc.get_freeze_count(), gc.isenabled())\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", program), cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert first == second
    frozen, enabled = first.split()
    assert int(frozen) > 100_000  # what the imports made
    assert enabled == "True"


def test_settings_of_a_notebook_are_undone() -> None:
    keras.config.set_image_data_format("channels_first")
    keras.config.set_max_epochs(1)
    keras.config.set_dtype_policy("float16")
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    backend.start()
    assert keras.config.image_data_format() == "channels_last"
    assert keras.config.max_epochs() is None
    assert keras.config.dtype_policy().name == "float32"
    assert keras.config.floatx() == "float32"
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ
