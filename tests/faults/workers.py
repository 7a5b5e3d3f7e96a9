"""One training on several workers: one of them is lost, or is not like the others."""

from shlex import quote

from tests.faults.fault import Fault, nightly, setting, shell, steps

LAUNCH = "python -m pipeline.launch --workers 2"
TRAIN = "python -m pipeline.train"
AN_EPOCH = "until ls .pipeline/checkpoints/*.checkpoint > /dev/null 2>&1; do sleep 1; done"
AS_BEFORE = shell("rm -rf other; git checkout --quiet HEAD params.yaml")
LONG = setting(train__shards=2, train__epochs=10_000)
COPY = "mkdir other; git archive HEAD | tar x -C other; cp -r data/processed other/data; "


def _on_the_second(what: str) -> str:
    """Trains on two workers, of which the second one does something before."""
    script = f"case $TF_CONFIG in *'index\": 1'*) {what} ;; esac; exec {TRAIN}"
    return f"{LAUNCH} bash -c {quote(script)}"


def _another(what: str, change: str, line: str) -> Fault:
    """Worker 1 trains in another folder, in which something is different."""
    return Fault(
        f"train: a worker has other {what}",
        _on_the_second("cd other"),
        2,
        line,
        steps(setting(train__shards=2), shell(COPY + "cp params.yaml other; " + change)),
        undo=AS_BEFORE,
    )


FAULTS = [
    Fault(
        "train: one of 2 workers is killed",
        _on_the_second(f"({AN_EPOCH}; kill -9 $$) &"),
        5,
        "ended; run it again; it resumes after the last finished epoch",
        LONG,
        undo=AS_BEFORE,
    ),
    nightly(
        Fault(
            "train: one of 2 workers is stopped, and silent for 20 s",
            _on_the_second(f"({AN_EPOCH}; kill -STOP $$) &"),
            5,
            "was silent for 20 s; run it again; it resumes after the last finished epoch",
            LONG,
            undo=AS_BEFORE,
        )
    ),
    _another(
        "parameters",
        "sed -i 's/learning_rate: .*/learning_rate: 0.5/' other/params.yaml",
        "has other params than worker 0",
    ),
    nightly(
        _another(
            "data",
            "printf x | dd of=other/data/processed/train/images.npy conv=notrunc bs=1 seek=999",
            "has other data than worker 0",
        )
    ),
    nightly(
        _another(
            "code",
            "echo '# another line' >> other/pipeline/training/engine.py",
            "has other code than worker 0",
        )
    ),
    Fault(
        "train: more workers than train.shards",
        f"{LAUNCH} {TRAIN}",
        2,
        "found 2 workers, expected 1, as train.shards is 1 in params.yaml",
    ),
    Fault(
        "train: TF_CONFIG is no JSON",
        TRAIN,
        2,
        "TF_CONFIG: found 'worker', expected JSON such as",
        variables={"TF_CONFIG": "worker"},
        fast=True,
    ),
    Fault(
        "train: TRAIN_LAUNCHER is no command",
        TRAIN,
        2,
        "TRAIN_LAUNCHER: found 'nothing --here', expected a command",
        variables={"TRAIN_LAUNCHER": "nothing --here"},
        fast=True,
    ),
]
