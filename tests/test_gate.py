"""The gate as a program, on a small git repository with real files, and what tries to fool it."""

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import gate, paths, revision, seeds, verdict
from pipeline.artifacts import write_csv, write_json
from pipeline.params import Gate
from pipeline.results import COLUMNS, Results, digest
from pipeline.score import score
from tests.conftest import REPOSITORY, Workspace

CLASSES = tuple("0123456789")
LABELS = np.random.Generator(np.random.Philox(key=0)).integers(0, 10, 2_000).astype(np.uint8)
BETTER, BASELINE, EQUAL, WORSE = range(20), range(30), range(1, 31), range(60)
DATA = {"data/raw", "data/processed/test", "data/processed/train", "data/processed/validation"}


def parse(text: str) -> Any:  # noqa: ANN401
    return yaml.load(text, Loader=yaml.CSafeLoader)


class Repository:
    """This project's code and parameters with the results of a model that errs where it is told.

    It is a plain clone: data and models are in dvc.lock alone.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ("git", *arguments), cwd=self.root, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def read(self, path: Path) -> str:
        return (self.root / path).read_text()

    def edit(self, path: Path, old: str, new: str, *, lock: bool = False) -> None:
        """Replaces the first `old` in `path`, and has dvc.lock agree if `lock`."""
        text = self.read(path)
        assert old in text
        (self.root / path).write_text(text.replace(old, new, 1))
        if lock:
            self.lock()

    def run(self, wrong: range, labels: NDArray[np.uint8] = LABELS) -> None:
        """Writes the results of a model that takes the images in `wrong` for the next class."""
        predicted = labels.astype(int)
        predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 10
        logits = 5.0 * (predicted[:, None] == np.arange(10))
        metrics = self.root / "metrics"
        write_json(metrics / "evaluate.json", score(logits, labels, CLASSES, bins=15))
        rows = ((i, labels[i], predicted[i], "0.943130") for i in range(len(labels)))
        write_csv(metrics / "predictions.csv", COLUMNS, rows)
        counts = np.bincount(labels, minlength=10).tolist()
        per_class = [{"class": name, "images": n} for name, n in zip(CLASSES, counts, strict=True)]
        test = {"total": len(labels), "per_class": per_class}
        write_json(metrics / "preprocess.json", {"images": {"test": test}})
        self.lock()

    def seeds(self, wrong: Sequence[range], made_from: str = "") -> None:
        """Writes what `make seeds` would of models that err where they are told, for each seed."""
        self.write_seeds(
            [
                {
                    "seed": seed,
                    "accuracy": 1 - len(images) / len(LABELS),
                    "mistakes": {str(i): str((LABELS[i] + 1) % 10) for i in images},
                }
                for seed, images in enumerate(wrong)
            ],
            made_from,
        )

    def write_seeds(self, rows: list[dict[str, Any]], made_from: str = "") -> None:
        digest_here = seeds.fingerprint(lambda path: (self.root / path).read_bytes())
        content = {"made_from": made_from or digest_here, "seeds": rows}
        write_json(self.root / paths.SEEDS, content)

    def lock(self, **digests: str) -> None:
        """Writes the dvc.lock that `dvc repro` would, and `digests` for data that is not here."""
        params = parse(self.read(paths.PARAMS))

        def entry(path: str) -> dict[str, Any]:
            file = self.root / path
            if file.is_file():
                content = file.read_bytes()
                return {"path": path, "md5": digest(content), "size": len(content)}
            return {"path": path, "md5": digests.get(Path(path).name, "0" * 32) + ".dir"}

        stages = {}
        for name, stage in parse(self.read(Path("dvc.yaml")))["stages"].items():
            outs = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
            names = sorted(next(iter(out)) if isinstance(out, dict) else out for out in outs)
            stages[name] = {
                "cmd": stage["cmd"],
                "deps": [{**entry(path), "hash": "md5"} for path in stage["deps"]],
                "params": {"params.yaml": {key: params[key] for key in stage["params"]}},
                "outs": [{**entry(path), "hash": "md5"} for path in names],
            }
        lock = yaml.dump(
            {"schema": "2.0", "stages": stages}, Dumper=yaml.CSafeDumper, sort_keys=False
        )
        (self.root / paths.LOCK).write_text(lock)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Two commits on main, a worse model and the baseline; then a branch with an equal one."""
    repository = Repository(tmp_path_factory.mktemp("gate") / "repository")
    for name in ("pipeline", "metrics", "dvc.yaml", "params.yaml", ".dvc/config", ".gitignore"):
        source, target = REPOSITORY / name, repository.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "timing*"))
        else:
            shutil.copy(source, target)
    repository.git("init", "--quiet", "--initial-branch=main")
    repository.run(WORSE)
    repository.commit("Worse")
    repository.run(BASELINE)
    repository.commit("Baseline")
    repository.git("switch", "--quiet", "--create", "branch")
    repository.run(EQUAL)
    repository.commit("Equal")
    return repository


@pytest.fixture(autouse=True, scope="module")
def no_git_configuration() -> Iterator[None]:
    settings = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_NAME": "Test" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "test@localhost" for who in ("AUTHOR", "COMMITTER")},
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def repository(
    committed: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Repository:
    """A copy to change, which is the working directory."""
    shutil.copytree(committed.root, tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "repository")
    return Repository(tmp_path / "repository")


def judged(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code of the gate, and what it wrote as JSON."""
    code = gate.main([*arguments, "--json", "../verdict.json"])
    content: dict[str, Any] = json.loads(Path("../verdict.json").read_text())
    assert content["exit_code"] == code
    return code, content


def test_an_equal_model_is_accepted(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = judged("--baseline", "main", "--markdown", "../gate.md")
    assert (code, found["outcome"], found["reasons"]) == (0, "accept", [])
    assert found["accuracy"] == found["comparison"]["baseline_accuracy"] == 1 - 30 / 2_000
    compared = found["comparison"]
    assert (compared["drop"], compared["newly_right"], compared["mcnemar_p"]) == (0, 1, 1)
    actual = int(LABELS[30])
    assert compared["newly_wrong"] == [
        {"index": 30, "actual": str(actual), "predicted": str((actual + 1) % 10)}
    ]
    assert compared["upper_bound"] == pytest.approx(1.6449 * 2**0.5 / 2_000, rel=1e-4)
    commit = repository.git("rev-parse", "--short=7", "main")
    printed = capsys.readouterr().out
    assert printed.startswith(f"gate: ACCEPT, compared with main ({commit})\n")
    assert "newly wrong: 30\n" in printed
    written = [Path(f"../{name}").read_bytes() for name in ("gate.md", "verdict.json")]
    judged("--baseline", "main", "--markdown", "../gate.md")
    assert [Path(f"../{name}").read_bytes() for name in ("gate.md", "verdict.json")] == written
    summary = written[0].decode()
    assert summary.startswith("### Gate: ACCEPT, compared with main")
    assert f"| 30 | {actual} | {(actual + 1) % 10} |" in summary


def test_a_better_model_is_accepted(repository: Repository) -> None:
    repository.run(BETTER)
    code, found = judged("--baseline", "main")
    assert code == 0
    assert found["comparison"]["drop"] == -10 / 2_000
    assert found["comparison"]["newly_right"] == 10
    assert found["comparison"]["mcnemar_p"] == pytest.approx(2 / 2**10)


def test_a_worse_model_is_rejected_with_its_numbers(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.run(WORSE)
    code, found = judged("--baseline", "main")
    assert (code, found["outcome"]) == (1, "reject")
    below, drop = found["reasons"]
    assert below == "accuracy 97.00% is below gate.floor, 97.50%"
    # 30 newly wrong of 2,000: 1.5 points, and 1.6449·√(30 - 900/2000)/2000 more
    assert drop.startswith("the drop of 1.50 points may be as much as 1.95 (95% confidence), and ")
    assert drop in capsys.readouterr().out


SEEDS = [range(first, first + 30 + more) for first, more in ((1, 0), (100, 2), (200, 4))]


def with_seeds(repository: Repository, here: Sequence[range] = SEEDS) -> None:
    """The baseline has three seeds and asks for them; the models here err where `here` says."""
    repository.git("switch", "--quiet", "main")
    repository.edit(paths.PARAMS, "seeds: 1", "seeds: 3")
    repository.seeds([BASELINE, *SEEDS[1:]])
    repository.commit("Three seeds")
    repository.git("switch", "--quiet", "--create", "after")
    repository.run(here[0])
    repository.seeds(here)
    repository.commit("Another")


def test_over_seeds_the_means_decide(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    with_seeds(repository, [range(40, 85), *SEEDS[1:]])  # one seed worse than the margin allows
    repository.edit(paths.PARAMS, "margin_seeds: 0.003", "margin_seeds: 0.5")
    repository.git("switch", "--quiet", "--create", "strict")
    code, found = judged("--baseline", "main", "--markdown", "../gate.md")
    assert (code, found["outcome"]) == (1, "reject")
    assert found["comparison"]["upper_bound"] > 0.005
    compared = found["seeds"]
    # mistakes 30, 32, 34 and 45, 32, 34 of 2,000: 5 more on the mean
    assert compared["drop"] == pytest.approx(5 / 2_000)
    # variances 4 and 49: 5 + t·√(53/3), where t(0.95; 2.3242 degrees of freedom) is 2.6602
    assert compared["upper_bound"] == pytest.approx(
        (5 + 2.6602 * (53 / 3) ** 0.5) / 2_000, rel=1e-4
    )
    (reason,) = found["reasons"]
    assert reason.startswith("the mean drop of 0.25 points may be as much as 0.81 (95%")
    assert "| mean accuracy over seeds | 98.40% of 3 | 98.15% of 3 |" in Path(
        "../gate.md"
    ).read_text().replace("&#37;", "%")
    assert "mean drop at most, 95% confidence" in capsys.readouterr().out


def test_equal_models_over_seeds_are_accepted(repository: Repository) -> None:
    with_seeds(repository, [range(300 + 50 * i, 330 + 50 * i + i) for i in range(4)])
    code, found = judged("--baseline", "main")
    assert (code, found["reasons"]) == (0, [])
    assert len(found["seeds"]["here"]) == 4


def test_an_error_of_the_gate_is_no_verdict(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.chdir(repository.root)
    monkeypatch.setattr(verdict, "_compare", fail)
    assert gate.main(["--baseline", "main"]) == 2
    assert "an error of the gate itself, see above: ZeroDivisionError()" in capsys.readouterr().err


# What the gate takes for the baseline if none is named: how the repository stands, and which.
def detach(repository: Repository) -> None:
    repository.git("checkout", "--quiet", "--detach")


def remote(repository: Repository) -> None:
    repository.git("update-ref", "refs/remotes/origin/main", "main~1")


def on_main(repository: Repository) -> None:
    repository.git("switch", "--quiet", "main")


def on_main_changed(repository: Repository) -> None:
    on_main(repository)
    repository.run(EQUAL)


def main_detached(repository: Repository) -> None:
    on_main(repository)
    remote(repository)
    repository.git("update-ref", "refs/remotes/origin/main", "main")
    repository.git("checkout", "--quiet", "--detach")


def master(repository: Repository) -> None:
    repository.git("branch", "--move", "main", "master")


def main_has_gone_on(repository: Repository) -> None:
    on_main(repository)
    repository.commit("Later")
    repository.git("switch", "--quiet", "branch")


DEFAULTS: dict[str, tuple[Callable[[Repository], None] | None, str]] = {
    "on a branch": (None, "merge base with main"),
    "detached": (detach, "merge base with main"),
    "with a remote": (remote, "merge base with origin/main"),
    "main has gone on": (main_has_gone_on, "merge base with main"),
    "another name": (master, "merge base with master"),
    "on main": (on_main, "HEAD~1"),
    "on main, detached": (main_detached, "HEAD~1"),
    "on main with changes": (on_main_changed, "HEAD"),
}


@pytest.mark.parametrize("case", DEFAULTS)
def test_the_default_baseline(case: str, repository: Repository) -> None:
    prepare, expected = DEFAULTS[case]
    if prepare:
        prepare(repository)
    found = revision.default()
    assert found.name == expected
    message = "Worse" if expected in ("HEAD~1", "merge base with origin/main") else "Baseline"
    assert repository.git("log", "-1", "--format=%s", found.commit) == message


def test_a_first_commit_is_ungated(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    on_main(repository)
    repository.git("reset", "--quiet", "--soft", "main~1")
    repository.git("commit", "--quiet", "--amend", "--message", "First")
    assert judged()[0] == 2
    code, found = judged("--allow-missing-baseline")
    assert (code, found["gated"], found["comparison"]) == (0, False, None)
    assert capsys.readouterr().out.startswith("gate: UNGATED, ACCEPT by the floor alone\n")


PREDICTIONS, EVALUATE, PREPROCESS, DOWNLOAD = (
    paths.PREDICTIONS,
    paths.EVALUATE_METRICS,
    paths.PREPROCESS_METRICS,
    paths.DOWNLOAD_METRICS,
)
ROWS = [f"{i},{LABELS[i]},{(LABELS[i] + (i in EQUAL)) % 10},0.943130\n" for i in range(len(LABELS))]


def edited(path: Path, old: str, new: str, *, lock: bool = True) -> Callable[[Repository], None]:
    """Replaces `old` in `path`, and forges dvc.lock to agree if `lock`."""
    return lambda repository: repository.edit(path, old, new, lock=lock)


def replaced(path: Path, content: bytes, *, lock: bool = True) -> Callable[[Repository], None]:
    """Writes `content` to `path`, and forges dvc.lock to agree if `lock`."""

    def change(repository: Repository) -> None:
        (repository.root / path).write_bytes(content)
        if lock:
            repository.lock()

    return change


def worse_and(path: Path, old: str, new: str) -> Callable[[Repository], None]:
    """Brings a worse model, and replaces `old` in `path`."""

    def change(repository: Repository) -> None:
        repository.edit(path, old, new)
        repository.run(WORSE)
        repository.commit("Worse")

    return change


def on_baseline(change: Callable[[Repository], None]) -> Callable[[Repository], None]:
    """The same done to the baseline, and committed there; the results here are as they were."""

    def apply(repository: Repository) -> None:
        repository.git("switch", "--quiet", "main")
        change(repository)
        repository.commit("Changed")
        repository.git("switch", "--quiet", "branch")
        repository.git("merge", "--quiet", "--strategy=ours", "--message", "Merge", "main")

    return apply


def removed(path: Path) -> Callable[[Repository], None]:
    return lambda repository: (repository.root / path).unlink()


def into_a_folder(repository: Repository) -> None:
    (repository.root / PREDICTIONS).unlink()
    (repository.root / PREDICTIONS).mkdir()


def relabelled(repository: Repository) -> None:
    labels = LABELS.copy()
    labels[:100] = labels[99::-1]
    repository.run(BETTER, labels)


def fewer_images(repository: Repository) -> None:
    repository.run(BETTER, LABELS[30:])


def perfect_by_its_labels(repository: Repository) -> None:
    labels = LABELS.copy()
    labels[list(EQUAL)] = (labels[list(EQUAL)] + 1) % 10
    repository.run(range(0), labels)


def other_images(repository: Repository) -> None:
    repository.run(BETTER)
    repository.lock(test="1" * 32)


def laxer(repository: Repository) -> None:
    repository.edit(paths.PARAMS, "confidence: 0.95", "confidence: 0.5")
    worse_and(paths.PARAMS, "margin: 0.005", "margin: 0.5")(repository)


def not_an_ancestor(repository: Repository) -> None:
    repository.git("switch", "--quiet", "main")
    repository.run(WORSE)
    repository.commit("Worse again")
    repository.git("switch", "--quiet", "branch")


def frozen(repository: Repository) -> None:
    # `dvc status` does not look at what a frozen stage reads.
    text = repository.read(Path("dvc.yaml"))
    for command in ("preprocess", "train", "evaluate"):
        line = f"    cmd: exec python -m pipeline.{command}\n"
        text = text.replace(line, f"{line}    frozen: true\n")
    (repository.root / "dvc.yaml").write_text(text)
    repository.edit(paths.PARAMS, "epochs: ", "epochs: 1")


def frozen_code(repository: Repository) -> None:
    frozen(repository)
    repository.git("restore", "params.yaml")
    (repository.root / "pipeline/models.py").write_text("# another network\n")


def without_stages(repository: Repository) -> None:
    (repository.root / "dvc.yaml").write_text("stages: {}\n")
    repository.edit(paths.PARAMS, "epochs: ", "epochs: 1")


def another_command(repository: Repository) -> None:
    repository.edit(Path("dvc.yaml"), "pipeline.evaluate", "pipeline.evaluate --kindly")


def made_from_another_model(repository: Repository) -> None:
    lock = parse(repository.read(paths.LOCK))
    (entry,) = (e for e in lock["stages"]["train"]["outs"] if e["path"] == "models/model.keras")
    entry["md5"] = "2" * 32
    (repository.root / paths.LOCK).write_text(yaml.dump(lock, Dumper=yaml.CSafeDumper))


def forgetful_lock(repository: Repository) -> None:
    lock = parse(repository.read(paths.LOCK))
    del lock["stages"]["evaluate"]
    (repository.root / paths.LOCK).write_text(yaml.dump(lock, Dumper=yaml.CSafeDumper))
    (repository.root / PREDICTIONS).write_text("".join([",".join(COLUMNS) + "\n", *ROWS]))


def replaced_baseline(repository: Repository) -> None:
    # git shows the worse commit where the baseline is named, and the other way round.
    repository.run(WORSE)
    repository.git("replace", "main", "main~1")


def no_gate_anywhere(repository: Repository) -> None:
    def drop(repository: Repository) -> None:
        text = repository.read(paths.PARAMS)
        (repository.root / paths.PARAMS).write_text(text[: text.index("\ngate:")])

    on_baseline(drop)(repository)
    drop(repository)


def worse_without_gate(repository: Repository) -> None:
    text = repository.read(paths.PARAMS)
    (repository.root / paths.PARAMS).write_text(text[: text.index("\ngate:")])
    repository.run(WORSE)


def shallow(repository: Repository) -> None:
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.root}", "../shallow")
    os.chdir("../shallow")


def no_repository(repository: Repository) -> None:
    shutil.rmtree(repository.root / ".git")


def class_floor(repository: Repository) -> None:
    repository.edit(paths.PARAMS, "class_floors: {}", "class_floors: {'3': 1.0}")


def small_drops_in_a_class(repository: Repository) -> None:
    sixes = np.flatnonzero(LABELS == 6)
    repository.edit(paths.PARAMS, "class_floors: {}", "class_floors: {'6': 0.97}")
    repository.run(range(0))
    rows = repository.read(PREDICTIONS).splitlines()
    for i in sixes[:8].tolist():
        rows[i + 1] = f"{i},6,5,0.943130"
    (repository.root / PREDICTIONS).write_text("\n".join(rows) + "\n")
    predicted = LABELS.astype(int)
    predicted[sixes[:8]] = 5
    logits = 5.0 * (predicted[:, None] == np.arange(10))
    write_json(repository.root / EVALUATE, score(logits, LABELS, CLASSES, bins=15))
    repository.lock()


def seeded(*rows: tuple[int, range, float]) -> Callable[[Repository], None]:
    """Seeds, what each takes for the next class, and the accuracy that is claimed."""

    def change(repository: Repository) -> None:
        with_seeds(repository)
        repository.write_seeds(
            [
                {
                    "seed": seed,
                    "accuracy": accuracy,
                    "mistakes": {str(i): str((LABELS[i] + 1) % 10) for i in images},
                }
                for seed, images, accuracy in rows
            ]
        )

    return change


def after_seeds(change: Callable[[Repository], None]) -> Callable[[Repository], None]:
    def both(repository: Repository) -> None:
        with_seeds(repository)
        change(repository)

    return both


def fewer_seeds_asked_for(repository: Repository) -> None:
    with_seeds(repository, [range(60), range(60, 120), range(120, 180)])
    repository.edit(paths.PARAMS, "seeds: 3", "seeds: 1")
    repository.edit(paths.PARAMS, "floor: 0.975", "floor: 0.5")


def first_seeds(repository: Repository) -> None:
    repository.edit(paths.PARAMS, "seeds: 1", "seeds: 3")
    repository.seeds(SEEDS)


def other_parameters(repository: Repository) -> None:
    with_seeds(repository)
    repository.edit(paths.PARAMS, "epochs: 10", "epochs: 11", lock=True)


def of_a_folder(seeds_here: list[Any]) -> Callable[[Repository], None]:
    def change(repository: Repository) -> None:
        with_seeds(repository)
        repository.write_seeds(seeds_here)

    return change


def accuracy_of(images: range) -> float:
    return 1 - len(images) / len(LABELS)


FIRST, SECOND, THIRD = ((seed, images, accuracy_of(images)) for seed, images in enumerate(SEEDS))
REJECT, CANNOT_TELL = 1, 2
TRUE_ACCURACY = f'"accuracy": {1 - 30 / 2_000},\n  "accuracy_interval"'

# What was done, the exit code, and what the gate must say. dvc.lock agrees where nothing is said.
FOOLING: dict[str, tuple[Callable[[Repository], None], int, str]] = {
    "accuracy raised by hand": (
        edited(EVALUATE, "0.985", "0.995", lock=False),
        CANNOT_TELL,
        "metrics/evaluate.json: is not what dvc.lock says the run wrote; run dvc repro",
    ),
    "accuracy raised, and dvc.lock": (
        edited(EVALUATE, TRUE_ACCURACY, TRUE_ACCURACY.replace("0.985", "0.995")),
        CANNOT_TELL,
        "accuracy is 0.995, the predictions make it 0.985",
    ),
    "accuracy NaN": (
        edited(EVALUATE, TRUE_ACCURACY, TRUE_ACCURACY.replace("0.985", "NaN")),
        CANNOT_TELL,
        "metrics/evaluate.json: holds NaN, which is no number",
    ),
    "loss infinite": (
        edited(EVALUATE, '"loss": ', '"loss": 1e999, "was": '),
        CANNOT_TELL,
        "metrics/evaluate.json: holds 1e999, which is no number",
    ),
    "accuracy a text": (
        edited(EVALUATE, TRUE_ACCURACY, TRUE_ACCURACY.replace("0.985", '"0.985"')),
        CANNOT_TELL,
        'accuracy is "0.985", the predictions make it 0.985',
    ),
    "accuracy true": (
        edited(EVALUATE, TRUE_ACCURACY, TRUE_ACCURACY.replace("0.985", "true")),
        CANNOT_TELL,
        "accuracy is true, the predictions make it 0.985",
    ),
    "fewer errors": (edited(EVALUATE, '"errors": 30', '"errors": 20'), CANNOT_TELL, "errors is 20"),
    "a narrower interval": (
        edited(EVALUATE, '"low": 0.97', '"low": 0.98'),
        CANNOT_TELL,
        "accuracy_interval is",
    ),
    "a class left out": (
        edited(EVALUATE, '"class": "4"', '"class": "5"'),
        CANNOT_TELL,
        "accuracy_per_class is",
    ),
    "metrics missing": (removed(EVALUATE), CANNOT_TELL, "evaluate.json: cannot be read (No such"),
    "metrics not JSON": (edited(EVALUATE, "{", ""), CANNOT_TELL, "evaluate.json: is not JSON"),
    "metrics a list": (
        replaced(EVALUATE, b"[]"),
        CANNOT_TELL,
        "evaluate.json: holds no object",
    ),
    "predictions missing": (removed(PREDICTIONS), CANNOT_TELL, "predictions.csv: cannot be read"),
    "predictions empty": (
        replaced(PREDICTIONS, b""),
        CANNOT_TELL,
        "row 0: found columns none, expected index,actual,predicted,probability",
    ),
    "predictions a folder": (
        into_a_folder,
        CANNOT_TELL,
        "predictions.csv: cannot be read (Is a directory)",
    ),
    "predictions not text": (
        replaced(PREDICTIONS, b"\xff\xfe"),
        CANNOT_TELL,
        "predictions.csv: after row 0: 'utf-8' codec can't decode",
    ),
    "a mistake corrected by hand": (
        edited(PREDICTIONS, ROWS[1], f"1,{LABELS[1]},{LABELS[1]},0.943130\n", lock=False),
        CANNOT_TELL,
        "metrics/predictions.csv: is not what dvc.lock says the run wrote",
    ),
    "a mistake corrected, and dvc.lock": (
        edited(PREDICTIONS, ROWS[1], f"1,{LABELS[1]},{LABELS[1]},0.943130\n"),
        CANNOT_TELL,
        "accuracy is 0.985, the predictions make it 0.9855",
    ),
    "a mistake relabelled": (
        edited(PREDICTIONS, ROWS[1], f"1,{(LABELS[1] + 1) % 10},{(LABELS[1] + 1) % 10},0.94\n"),
        CANNOT_TELL,
        "images by class, metrics/preprocess.json has",
    ),
    "all mistakes relabelled": (
        perfect_by_its_labels,
        CANNOT_TELL,
        "another test set: the labels are not those of main",
    ),
    "a column missing": (
        edited(PREDICTIONS, ",actual", ""),
        CANNOT_TELL,
        "row 0: found columns index,predicted,probability, expected index,actual,predicted",
    ),
    "columns exchanged": (
        edited(PREDICTIONS, "actual,predicted", "predicted,actual"),
        CANNOT_TELL,
        "row 0: found columns index,predicted,actual,probability",
    ),
    "a value missing": (
        edited(PREDICTIONS, ROWS[4], "4,1,1\n"),
        CANNOT_TELL,
        "after row 4: not en",
    ),
    "rows exchanged": (
        edited(PREDICTIONS, ROWS[0] + ROWS[1], ROWS[1] + ROWS[0]),
        CANNOT_TELL,
        "row 1: found index 1, expected 0, every image once and in order",
    ),
    "an index twice": (
        edited(PREDICTIONS, ROWS[1], ROWS[0]),
        CANNOT_TELL,
        "row 2: found index 0, expected 1, every image once and in order",
    ),
    "a mistake left out": (
        edited(PREDICTIONS, ROWS[1], ""),
        CANNOT_TELL,
        "row 2: found index 2, expected 1",
    ),
    "the last image left out": (
        edited(PREDICTIONS, ROWS[-1], ""),
        CANNOT_TELL,
        "images by class, metrics/preprocess.json has",
    ),
    "an image too many": (
        edited(PREDICTIONS, ROWS[-1], ROWS[-1] + "2000,1,1,0.9\n"),
        CANNOT_TELL,
        "images by class, metrics/preprocess.json has",
    ),
    "an index that is no number": (
        edited(PREDICTIONS, ROWS[2], f" {ROWS[2]}"),
        CANNOT_TELL,
        "row 3: found index  2, expected 2",
    ),
    "an unknown class": (
        edited(PREDICTIONS, ROWS[2], f"2,{LABELS[2]},nan,0.9\n"),
        CANNOT_TELL,
        "row 3: found class 'nan', expected one of 0, 1",
    ),
    "a probability NaN": (
        edited(PREDICTIONS, ROWS[0], ROWS[0].replace("0.943130", "nan")),
        CANNOT_TELL,
        "row 1: found probability nan, expected 0 to 1",
    ),
    "a probability above 1": (
        edited(PREDICTIONS, ROWS[0], ROWS[0].replace("0.943130", "1.5")),
        CANNOT_TELL,
        "row 1: found probability 1.5, expected 0 to 1",
    ),
    "predictions for other images": (other_images, CANNOT_TELL, "did not see the same images"),
    "another order of the images": (relabelled, CANNOT_TELL, "another test set: the labels are"),
    "another test set": (fewer_images, CANNOT_TELL, "another test set: the labels are"),
    "another dataset": (
        edited(DOWNLOAD, '"dataset": "', '"dataset": "another_'),
        CANNOT_TELL,
        "another dataset: another_mnist here, mnist in main",
    ),
    "another edition of the dataset": (
        edited(DOWNLOAD, '"sha256": "', '"sha256": "0'),
        CANNOT_TELL,
        "or another edition of it",
    ),
    "classes unknown": (
        edited(PREPROCESS, "per_class", "per_kind"),
        CANNOT_TELL,
        "preprocess.json: does not say how many test images of each class",
    ),
    "a class renamed": (
        edited(PREPROCESS, '"class": "3"', '"class": "x"'),
        CANNOT_TELL,
        "found class '3', expected one of 0, 1, 2, x, 4",
    ),
    "a parameter changed without a run": (
        edited(paths.PARAMS, "epochs: ", "epochs: 1", lock=False),
        CANNOT_TELL,
        "stale: train in params.yaml has changed since the last run; run dvc repro, then commit",
    ),
    "code changed without a run": (
        edited(Path("pipeline/models.py"), '"relu"', '"tanh"', lock=False),
        CANNOT_TELL,
        "stale: pipeline/models.py has changed since the last run; run dvc repro",
    ),
    "another command": (
        another_command,
        CANNOT_TELL,
        "stale: stage evaluate: changed command; run dvc repro",
    ),
    "history edited": (
        edited(paths.HISTORY, "1,", "1,0", lock=False),
        CANNOT_TELL,
        "stale: metrics/history.csv has changed since the last run",
    ),
    "a picture exchanged": (
        replaced(paths.CURVES, b"", lock=False),
        CANNOT_TELL,
        "stale: stage evaluate: changed outs: metrics/curves.png modified",
    ),
    "stages frozen": (frozen, CANNOT_TELL, "stale: train in params.yaml has changed"),
    "stages frozen, code changed": (frozen_code, CANNOT_TELL, "stale: pipeline/models.py has"),
    "stages removed": (without_stages, CANNOT_TELL, "stale: train in params.yaml has changed"),
    "judged before it was trained anew": (
        made_from_another_model,
        CANNOT_TELL,
        "dvc.lock: models/model.keras was made anew after a stage had read it",
    ),
    "dvc.lock without the stage": (
        forgetful_lock,
        CANNOT_TELL,
        "metrics/evaluate.json: is not what dvc.lock says",
    ),
    "dvc.lock missing": (removed(paths.LOCK), CANNOT_TELL, "dvc.lock: cannot be read (No such"),
    "dvc.lock of a merge conflict": (
        edited(paths.LOCK, "schema", "<<<<<<< HEAD\nschema", lock=False),
        CANNOT_TELL,
        "dvc.lock: is not YAML",
    ),
    "dvc.lock damaged": (
        replaced(paths.LOCK, b"stages: {train: 1}\n", lock=False),
        CANNOT_TELL,
        "dvc.lock: is damaged",
    ),
    "the baseline's accuracy lowered by hand": (
        on_baseline(edited(EVALUATE, "0.985", "0.955", lock=False)),
        CANNOT_TELL,
        "metrics/evaluate.json: is not what dvc.lock says the run wrote; name another commit",
    ),
    "the baseline's mistakes multiplied": (
        on_baseline(edited(PREDICTIONS, "0.943130", "0.943131", lock=False)),
        CANNOT_TELL,
        "metrics/predictions.csv: is not what dvc.lock says",
    ),
    "the baseline without metrics": (
        on_baseline(removed(EVALUATE)),
        CANNOT_TELL,
        "metrics/evaluate.json: the baseline main",
    ),
    "the baseline without predictions": (
        on_baseline(removed(PREDICTIONS)),
        CANNOT_TELL,
        "has no metrics/predictions.csv; --allow-missing-baseline checks the floors",
    ),
    "a baseline that is not an ancestor": (
        not_an_ancestor,
        CANNOT_TELL,
        "is no ancestor of HEAD, so HEAD does not replace it; take the merge base",
    ),
    "a baseline replaced in git": (replaced_baseline, REJECT, "the drop of 1.50 points"),
    "the floor lowered in the same change": (
        worse_and(paths.PARAMS, "floor: 0.975", "floor: 0.5"),
        REJECT,
        "gate.floor: 0.5 here, but 0.975 holds, the baseline's",
    ),
    "margin and confidence lowered in the same change": (
        laxer,
        REJECT,
        "gate.confidence: 0.5 here, but 0.95 holds, the baseline's: a change is not held",
    ),
    "the gate removed in the same change": (worse_without_gate, REJECT, "the drop of 1.50 points"),
    "the gate removed everywhere": (no_gate_anywhere, CANNOT_TELL, "expected a section gate"),
    "the margin NaN": (
        worse_and(paths.PARAMS, "margin: 0.005", "margin: .nan"),
        CANNOT_TELL,
        "params.yaml: gate.margin: found nan",
    ),
    "a class below its floor": (class_floor, REJECT, "class 3 has accuracy 9"),
    "better on the whole, worse in a class": (
        small_drops_in_a_class,
        REJECT,
        "class 6 has accuracy 9",
    ),
    "seeds missing": (
        after_seeds(removed(paths.SEEDS)),
        CANNOT_TELL,
        "metrics/seeds.json: cannot be read (No such file or directory); make it again: make seeds",
    ),
    "too few seeds": (
        seeded(FIRST, SECOND),
        CANNOT_TELL,
        "metrics/seeds.json has 2 seeds, gate.seeds is 3; make it again: make seeds",
    ),
    "an accuracy of a seed raised": (
        seeded(FIRST, SECOND, (2, SEEDS[2], 0.999)),
        CANNOT_TELL,
        "seed 2: accuracy is 0.999, its mistakes make it 0.983",
    ),
    "an accuracy of a seed NaN": (
        after_seeds(
            edited(paths.SEEDS, '"accuracy": 0.9', '"accuracy": NaN, "was": 0.9', lock=False)
        ),
        CANNOT_TELL,
        "metrics/seeds.json: holds NaN, which is no number",
    ),
    "the best seed twice": (
        seeded(FIRST, (1, *FIRST[1:]), THIRD),
        CANNOT_TELL,
        "seed 1: its mistakes are those of seed 0, so both are one model",
    ),
    "a seed twice": (
        seeded(FIRST, SECOND, (1, *THIRD[1:])),
        CANNOT_TELL,
        "seed 1: expected a whole number, each seed once",
    ),
    "seeds of another model": (
        seeded((0, range(5), accuracy_of(range(5))), SECOND, THIRD),
        CANNOT_TELL,
        "none of its models is the one of metrics/predictions.csv",
    ),
    "a mistake that is none": (
        of_a_folder([{"seed": 0, "accuracy": 0.9995, "mistakes": {"1": str(LABELS[1])}}]),
        CANNOT_TELL,
        f"image 1 taken for '{LABELS[1]}' is no mistake",
    ),
    "a mistake beyond the images": (
        of_a_folder([{"seed": 0, "accuracy": 0.9995, "mistakes": {"2000": "1"}}]),
        CANNOT_TELL,
        "seed 0: found image '2000', expected 0 to 1999",
    ),
    "seeds damaged": (of_a_folder([[]]), CANNOT_TELL, "metrics/seeds.json: is damaged, near"),
    "seeds of other parameters": (
        other_parameters,
        CANNOT_TELL,
        "metrics/seeds.json: stale: its models were made from other code, parameters or data",
    ),
    "fewer seeds asked for in the same change": (
        fewer_seeds_asked_for,
        REJECT,
        "gate.seeds: 1 here, but 3 holds, the baseline's",
    ),
    "seeds that the baseline has not": (
        first_seeds,
        CANNOT_TELL,
        "has no such file; commit metrics/seeds.json with gate.seeds 1 first",
    ),
    "a shallow clone": (shallow, CANNOT_TELL, "this clone is shallow: git fetch --unshallow"),
    "no repository": (no_repository, CANNOT_TELL, "not a git repository"),
}


@pytest.mark.parametrize("case", FOOLING)
def test_it_is_not_fooled(
    case: str,
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(repository.root)  # goes back, wherever the change has led
    change, expected, message = FOOLING[case]
    change(repository)
    code, found = judged("--baseline", "main")
    assert (code, found["outcome"]) == (expected, {1: "reject", 2: "cannot tell"}[expected])
    assert message in "\n".join([*found["reasons"], *found["notes"]])
    output = capsys.readouterr()
    assert message in output.err + output.out
    assert "Traceback" not in output.err
    if code == CANNOT_TELL:
        assert output.err.startswith("gate: CANNOT TELL\n")
        assert len(found["reasons"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--baseline=nothing", "--baseline 'nothing': git knows no such commit"),
        ("--baseline=", "--baseline '': git knows no such commit"),
        (f"--baseline={'0' * 40}", "git knows no such commit"),
        ("--baseline=--help", "--baseline '--help': git knows no such commit"),
        ("--baseline=main:params.yaml", "git knows no such commit"),
        ("--baseline=HEAD", "nothing to compare: the baseline HEAD"),
        ("--baseline=nothing --allow-missing-baseline", "git knows no such commit"),
        ("--baseline=main --markdown=params.yaml/gate.md", "the verdict cannot be written"),
    ],
)
def test_a_wrong_argument(
    arguments: str, message: str, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    del repository
    assert gate.main(arguments.split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["--base main", "--baseline", "main", "--margin=1"])
def test_an_unknown_argument_is_no_acceptance(arguments: str) -> None:
    with pytest.raises(SystemExit) as end:
        gate.main(arguments.split())
    assert end.value.code == 2


def test_a_shallow_clone_is_not_taken_for_a_first_commit(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.git("switch", "--quiet", "main")
    shallow(repository)
    monkeypatch.chdir(Path.cwd())
    assert gate.main(["--allow-missing-baseline"]) == 2
    assert "no commit before it; this clone is shallow" in capsys.readouterr().err


def test_a_text_of_a_class_name_cannot_write_markdown() -> None:
    name = "](http://localhost) |<img>\n# `@all`"
    images = np.zeros(4, dtype=np.intp)
    results = Results({}, "", (name, "b"), images, images + 1, np.ones(4))
    limits = Gate(
        floor=0.5,
        class_floors={name: 0.5},
        margin=0.1,
        confidence=0.9,
        seeds=1,
        margin_seeds=0.1,
    )
    text = verdict.markdown(verdict.decide(results, None, limits))
    assert f"| {verdict.escape(name)} | 4 |" in text
    for sign in ("](", "<img", "\n# ", "@all", "`"):
        assert sign not in text


@st.composite
def predictions(draw: st.DrawFn) -> Results:
    labels = np.array(draw(st.lists(st.integers(0, 2), min_size=1, max_size=40)))
    predicted = np.array(draw(st.lists(st.integers(0, 2), min_size=len(labels), max_size=40)))
    predicted = predicted[: len(labels)]
    return Results({}, "", ("a", "b", "c"), labels, predicted, np.ones(len(labels)))


shares = st.floats(0, 1)
limits = st.builds(
    Gate,
    floor=shares,
    class_floors=st.dictionaries(st.sampled_from("abc"), shares),
    margin=shares,
    confidence=st.floats(0.5, 0.999),
    seeds=st.integers(1, 100),
    margin_seeds=shares,
)


@given(predictions(), limits)
def test_the_same_predictions_are_accepted_if_the_floors_hold(
    results: Results, limits: Gate
) -> None:
    compared = verdict.decide(results, results, limits)
    alone = verdict.decide(results, None, limits)
    assert compared.reasons == alone.reasons
    assert (compared.outcome == "accept") == (compared.reasons == ())


@given(predictions(), st.integers(0, 39), limits)
def test_a_corrected_mistake_never_turns_acceptance_to_rejection(
    results: Results, position: int, limits: Gate
) -> None:
    position %= len(results.labels)
    better = results.predicted.copy()
    better[position] = results.labels[position]
    improved = dataclasses.replace(results, predicted=better)
    if verdict.decide(improved, None, limits).outcome == "reject":
        assert verdict.decide(results, None, limits).outcome == "reject"
    compared = verdict.decide(improved, results, limits).comparison
    assert compared is not None
    assert compared.drop <= 0


@given(limits, limits)
def test_the_stricter_limits_are_stricter_than_both(one: Gate, other: Gate) -> None:
    found = verdict.stricter(one, other)
    assert found == verdict.stricter(other, one)
    for limit in (one, other):
        assert found.floor >= limit.floor
        assert found.margin <= limit.margin
        assert found.seeds >= limit.seeds
        assert found.margin_seeds <= limit.margin_seeds
        assert found.confidence >= limit.confidence
        assert all(found.class_floors[name] >= floor for name, floor in limit.class_floors.items())


@pytest.mark.long
def test_trained_worse_and_back_again(workspace: Workspace) -> None:
    def judge(*arguments: str) -> subprocess.CompletedProcess[str]:
        return workspace.run("python", "-m", "pipeline.gate", *arguments, check=False)

    workspace.set("gate.floor", "0.5")
    workspace.set("gate.margin", "0.05")  # 360 images tell no finer
    workspace.run("git", "add", "--all")
    workspace.run("git", "commit", "--quiet", "--message", "Good")
    workspace.set("train.learning_rate", "0.0001")
    assert "stale: train in params.yaml has changed" in judge().stderr
    assert workspace.repro() == ["train", "evaluate"]
    rejected = judge()
    assert (rejected.returncode, rejected.stderr) == (1, "")
    assert "gate: REJECT, compared with HEAD (" in rejected.stdout
    workspace.run("git", "commit", "--quiet", "--all", "--message", "Bad")
    workspace.run("git", "checkout", "HEAD~1", "--", ".")
    assert "changed outs: models/model.keras modified" in judge().stderr
    workspace.run("dvc", "checkout")
    accepted = judge()
    assert (accepted.returncode, accepted.stderr) == (0, "")
    assert "gate: ACCEPT, compared with HEAD (" in accepted.stdout


@pytest.mark.long
def test_mnist_trained_worse_and_better(mnist: Workspace) -> None:
    def judge() -> tuple[int, dict[str, Any]]:
        command = "python -m pipeline.gate --baseline=HEAD --json=verdict.json"
        code = mnist.run(*command.split(), check=False).returncode
        return code, json.loads((mnist.root / "verdict.json").read_text())

    mnist.set("train.epochs", "5")  # of 10
    mnist.set("train.learning_rate", "0.0001")  # of 0.001
    mnist.repro()
    code, found = judge()
    assert (code, found["outcome"]) == (1, "reject")
    assert found["comparison"]["drop"] > 0.005
    mnist.run("git", "commit", "--quiet", "--all", "--message", "Worse")
    mnist.run("git", "checkout", "HEAD~1", "--", "params.yaml")
    mnist.repro()
    code, found = judge()
    assert (code, found["outcome"]) == (0, "accept")
    assert found["comparison"]["drop"] < -0.005
