"""What a stage is from outside: it reads params.yaml, and it fails with one line and a code."""

import contextlib
import json
import sys
import time
from collections.abc import Callable

from pipeline.artifacts import write_json
from pipeline.errors import DiskError, PipelineError
from pipeline.params import Params, load
from pipeline.paths import PARAMS, TIMING


def run(name: str, stage: Callable[[Params], None]) -> None:
    """Runs `stage` as a program, and leaves with its exit code if it fails.

    Args:
        name: of the stage, for its row in metrics/timing.json.
        stage: what to do with the checked parameters.
    """
    started = time.perf_counter()
    try:
        try:
            stage(load(PARAMS))
            _record_seconds(name, time.perf_counter() - started)
        except OSError as error:
            raise DiskError(f"{error}; what was there before is as it was") from error
    except PipelineError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _record_seconds(name: str, seconds: float) -> None:
    """Adds to what `dvc metrics show metrics/timing.json` prints."""
    timing = {}
    with contextlib.suppress(OSError, ValueError):
        timing = json.loads(TIMING.read_text(encoding="utf-8"))
    write_json(TIMING, timing | {name: {"seconds": round(seconds, 2)}})
