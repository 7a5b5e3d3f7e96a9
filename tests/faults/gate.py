"""git, DVC and what the gate compares are not as they should be; nobody can read the verdict."""

from pipeline.lock import md5
from tests.faults.fault import Fault, Prepare, change, nothing, remove, setting, shell, write
from tests.support import Workspace

GATE = "python -m pipeline.gate --baseline HEAD"
SAME = "nothing to compare: the baseline HEAD"  # what it says of a copy in which nothing is wrong
PREDICTIONS = "metrics/predictions.csv"
RESTORE = shell("git checkout --quiet HEAD .")
PIPE = shell(f"rm {PREDICTIONS}; mkfifo {PREDICTIONS}")
ENDLESS = shell(f"rm {PREDICTIONS}; ln -s /dev/zero {PREDICTIONS}")


def _cannot_tell(what: str, line: str, prepare: Prepare, command: str = GATE) -> Fault:
    return Fault(f"gate: {what}", command, 2, line, prepare, undo=RESTORE)


def _forge(workspace: Workspace) -> None:
    """Makes every prediction right, and dvc.lock agree."""
    path = workspace.root / PREDICTIONS
    before = path.read_bytes()
    header, *rows = before.decode().splitlines()
    cells = [row.split(",") for row in rows]
    forged = [f"{index},{actual},{actual},{sure}" for index, actual, _, sure in cells]
    path.write_text("\n".join([header, *forged]) + "\n")
    old, new = md5(before).encode(), md5(path.read_bytes()).encode()
    change("dvc.lock", lambda lock: lock.replace(old, new))(workspace)


FAULTS = [
    _cannot_tell(
        "the predictions are missing",
        f"{PREDICTIONS}: cannot be read (No such file or directory)",
        remove(PREDICTIONS),
    ),
    _cannot_tell("the predictions are a pipe", "cannot be read (it is not a regular file)", PIPE),
    _cannot_tell("the predictions never end", "cannot be read (it is not a regular file)", ENDLESS),
    _cannot_tell(
        "the predictions were edited",
        f"{PREDICTIONS}: is not what the run wrote according to dvc.lock",
        change(PREDICTIONS, lambda content: content.replace(b",0.", b",0.0", 1)),
    ),
    _cannot_tell("dvc.lock is missing", "dvc.lock: cannot be read (No such", remove("dvc.lock")),
    _cannot_tell(
        "dvc.lock has a merge conflict",
        "dvc.lock: is not YAML",
        change("dvc.lock", lambda content: b"<<<<<<< HEAD\n" + content),
    ),
    _cannot_tell(
        "a parameter was changed without a run",
        "stale: train in params.yaml has changed since the last run; run dvc repro, then commit",
        setting(train__epochs=3),
    ),
    _cannot_tell(
        "code was changed without a run",
        "stale: pipeline/training/models.py has changed since the last run; run dvc repro",
        change("pipeline/training/models.py", lambda content: content + b"# changed\n"),
    ),
    _cannot_tell(
        "dvc.yaml is damaged",
        "dvc.yaml: is not YAML: line 1",
        write("dvc.yaml", "stages: ["),
        "python -m pipeline.gate --baseline HEAD~1 --allow-missing-baseline",
    ),
    _cannot_tell(
        "the commit is unknown",
        "'v9': git knows no such commit",
        nothing,
        "python -m pipeline.gate --baseline v9",
    ),
    Fault(
        "gate: there is no git repository",
        GATE,
        2,
        "not a git repository",
        shell("mv .git elsewhere"),
        undo=shell("mv elsewhere .git"),
    ),
    Fault(
        "gate: git is not installed",
        f'PATH=$(dirname "$(command -v python)") {GATE}',
        2,
        "git: no such program; commits are read with it",
    ),
    _cannot_tell(
        "the verdict cannot be written",
        "the verdict cannot be written: ",
        nothing,
        f"{GATE} --json params.yaml/verdict.json",
    ),
    Fault(
        "gate: a forged accuracy has no room on a full terminal",
        "python -m pipeline.gate --baseline HEAD > /dev/full",
        2,
        "gate: the result cannot be printed (No space left on device)",
        _forge,
        undo=RESTORE,
    ),
    Fault(
        "gate: standard output is closed",
        "python -m pipeline.gate --baseline HEAD >&-",
        2,
        "gate: the result cannot be printed (the output is closed)",
        _forge,
        undo=RESTORE,
    ),
    Fault(
        "gate: a class floor has escapes and line breaks, and the terminal knows ASCII alone",
        "PYTHONIOENCODING=ascii python -m pipeline.gate --baseline HEAD~1 --allow-missing-baseline",
        1,
        r"class n\xfall\x1b[2J\n in gate.class_floors is none of the classes",
        setting(gate__class_floors={"n\u00fall\x1b[2J\n": 0.5}),
        undo=RESTORE,
    ),
    Fault(
        "gate: --json is a device",
        f"{GATE} --json /dev/null; code=$?; test -c /dev/null && exit $code",
        2,
        SAME,
    ),
    Fault(
        "report: there are no results",
        "python -m pipeline.report",
        2,
        f"report: here: {PREDICTIONS}: cannot be read",
        remove(PREDICTIONS),
        undo=RESTORE,
    ),
    Fault(
        "report: the provenance is damaged",
        "python -m pipeline.report --output /dev/null",
        0,
        "/dev/null",
        write("metrics/provenance.json", "{"),
        undo=RESTORE,
    ),
    Fault(
        "report: the page cannot be written",
        "python -m pipeline.report --output params.yaml/report.html",
        6,
        "params.yaml",
    ),
    Fault(
        "card: there are no results",
        "python -m pipeline.card",
        2,
        f"card: here: {PREDICTIONS}: cannot be read",
        remove(PREDICTIONS),
        undo=RESTORE,
    ),
    Fault(
        "card: a parameter was changed without a run",
        "python -m pipeline.card",
        2,
        "stale: train in params.yaml has changed since the last run; run dvc repro",
        setting(train__epochs=3),
        undo=RESTORE,
    ),
    Fault(
        "card: metrics/evaluate.json says more than the predictions",
        "python -m pipeline.card",
        4,
        "metrics/evaluate.json: errors is 1, but ",
        shell('sed -i \'s/"errors": [0-9]*/"errors": 1/\' metrics/evaluate.json'),
        undo=RESTORE,
    ),
    Fault(
        "card: the provenance is damaged",
        "python -m pipeline.card --out /dev/null",
        0,
        "/dev/null",
        write("metrics/provenance.json", "{"),
        undo=RESTORE,
    ),
    Fault(
        "card: the card cannot be written",
        "python -m pipeline.card --out params.yaml/MODEL_CARD.md",
        6,
        "params.yaml",
    ),
    Fault(
        "card: standard output is closed",
        "python -m pipeline.card >&-",
        2,
        "card: the result cannot be printed (the output is closed)",
    ),
    Fault(
        "verify: metrics/evaluate.json says more than the predictions",
        "python -m pipeline.verify",
        4,
        "metrics/evaluate.json: errors is 1, but ",
        shell(
            'sed -i \'s/"errors": [0-9]*/"errors": 1/\' metrics/evaluate.json; git commit -qam x'
        ),
        undo=shell("git reset --quiet --hard HEAD~1"),
    ),
    Fault(
        "verify: a parameter was committed without a run",
        "python -m pipeline.verify",
        2,
        "stale: train in params.yaml has changed since the last run; run dvc repro, then commit",
        shell("sed -i 's/epochs: 2/epochs: 3/' params.yaml; git commit -qam x"),
        undo=shell("git reset --quiet --hard HEAD~1"),
    ),
    Fault(
        "verify: the project is a folder of a larger repository",
        "cd mono/project && python -m pipeline.verify",
        0,
        "the same to the bit: dvc.lock, and with it 14 outputs",
        shell(
            "mkdir mono; git archive --prefix mono/project/ HEAD | tar x; cd mono; "
            "git init --quiet; git add --all; git commit --quiet --message All"
        ),
        undo=shell("rm -r mono"),
        nightly=True,
    ),
    Fault(
        "any program: git turns line ends into CRLF (`core.autocrlf=true`)",
        "git clone --quiet -c core.autocrlf=true . crlf; cd crlf; "
        f"{GATE}; code=$?; cd ..; rm -rf crlf; exit $code",
        2,
        SAME,
    ),
]
