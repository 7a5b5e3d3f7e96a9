"""Programs are stopped, killed or started twice, or nobody reads what they print."""

import signal

from tests.faults.fault import AT_HAND, Fault, Prepare, downloading, nothing, stage, strike

MOMENTS = {  # the file at whose rename each stage is hit
    "download": "data/raw",
    "preprocess": "data/processed",
    "train": "models/model.keras",
    "evaluate": "metrics/predictions.csv",
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


def _stopped(name: str, number: signal.Signals) -> Fault:
    command = stage(name)
    prepare: Prepare = nothing
    if name == "download":  # one file is missing, so all are provided anew
        command = f"rm -f data/raw/t10k-labels-idx1-ubyte.gz; {stage(name)}"
        prepare = downloading(stage(name))
    return Fault(
        f"{name}: stopped by {number.name} while its outputs take their places",
        command,
        128 + number,
        "",
        prepare,
        strike("rename", MOMENTS[name], signal=number),
        undo=AT_HAND if name == "download" else nothing,
        incomplete=number is signal.SIGKILL,
        fast=name == "preprocess" and number is signal.SIGTERM,
        nightly=name in ("download", "evaluate")
        or number is signal.SIGHUP
        or (name == "train" and number is not signal.SIGTERM),
    )


FAULTS = [
    *(_stopped(name, number) for name in MOMENTS for number in SIGNALS),
    *(
        Fault(
            f"train: stopped by {number.name} while a checkpoint is written",
            stage("train"),
            128 + number,
            "",
            variables=strike("rename", ".checkpoint", signal=number),
            incomplete=number is signal.SIGKILL,
            nightly=number is not signal.SIGKILL,
        )
        for number in SIGNALS
    ),
    Fault(
        "train: whoever read its output has gone (`| head -1`)",
        f"{stage('train')} | head -1; exit ${{PIPESTATUS[0]}}",
        141,
        "weights",
    ),
    Fault(
        "preprocess: whoever read its output has gone",
        f"{stage('preprocess')} | sleep 0; exit ${{PIPESTATUS[0]}}",
        141,
        "",
    ),
    Fault("train: standard output is closed", f"{stage('train')} >&-", 0, "", nightly=True),
    Fault(
        "train: standard input, output and error are closed",
        f"{stage('train')} <&- >&- 2>&-",
        0,
        "",
        nightly=True,
    ),
    Fault(
        "preprocess: standard output is full",
        f"{stage('preprocess')} > /dev/full",
        6,
        "No space left on device",
        fast=True,
    ),
    Fault(
        "preprocess: the same stage is running in this folder",
        "mkdir -p .pipeline/locks; exec 9>.pipeline/locks/preprocess; flock 9; echo -n 4711 >&9; "
        f"bash -c '{stage('preprocess')}'",
        7,
        "process 4711 is running this stage in this folder; wait for it or stop it",
        fast=True,
    ),
    Fault(
        "preprocess: the lock file is damaged",
        f"echo damaged > .pipeline/locks/preprocess; {stage('preprocess')}",
        0,
        "images of 8x8 pixels",
    ),
    Fault(
        "preprocess: a folder is in the place of the lock file",
        "rm -f .pipeline/locks/preprocess; mkdir .pipeline/locks/preprocess; "
        f"{stage('preprocess')}; code=$?; rmdir .pipeline/locks/preprocess; exit $code",
        6,
        ".pipeline/locks/preprocess: Is a directory; something else is in its place",
    ),
]
