"""May the model here replace the one of an earlier revision? Exit code 0 yes, 1 no, 2 cannot tell.

`python -m pipeline.gate --baseline REV` holds metrics/predictions.csv in the working tree against
the one in git's commit REV. docs/gate.md says how it decides, and how often it errs.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import params, paths, results, revision, seeds, verdict, workspace
from pipeline.artifacts import write_bytes, write_json
from pipeline.errors import InputError, PipelineError
from pipeline.params import Gate
from pipeline.results import Results
from pipeline.revision import NoBaselineError, Revision
from pipeline.verdict import Verdict

FIRST = f"commit {paths.SEEDS} with gate.seeds 1 first (make seeds SEEDS=5), then raise gate.seeds"


def judge(name: str | None, *, allow_missing_baseline: bool = False) -> Verdict:
    """Compares the working tree with the revision called `name`.

    Args:
        name: of a commit; None for the merge base with the main branch, see `revision.default`.
        allow_missing_baseline: where there is nothing to compare with, the floors alone decide.

    Raises:
        InputError: the two cannot be compared.
    """
    here = results.load(workspace.read, "here", "run dvc repro")
    workspace.check_lock()
    ours = _section(workspace.read, "here")
    try:
        baseline = find_baseline(name)
    except NoBaselineError as error:
        if not allow_missing_baseline:
            raise NoBaselineError(f"{error}; --allow-missing-baseline checks the floors") from error
        limits = params.gate(ours, str(paths.PARAMS))
        found = verdict.decide(here, None, limits, notes=(str(error),))
    else:
        where = f"baseline {baseline}"
        there = results.load(baseline.read, where, "name another commit: --baseline REV")
        _check_comparable(here, there, baseline)
        limits, notes = _limits(ours, _section(baseline.read, where))
        both = None
        if limits.seeds > 1:
            both = (
                _accuracies(baseline.read, there, limits.seeds, where, FIRST),
                _accuracies(workspace.read, here, limits.seeds, "here", seeds.REMEDY),
            )
        found = verdict.decide(here, there, limits, name=str(baseline), seeds=both, notes=notes)
    workspace.check_status()  # after all that is quick: DVC takes a second
    return found


def find_baseline(name: str | None) -> Revision:
    """The revision called `name`, or the default one.

    Raises:
        InputError: there is no such revision.
        NoBaselineError: there is none to compare with, or it has no predictions.
    """
    found = revision.default() if name is None else revision.find(name)
    if not found.holds(paths.PREDICTIONS):
        raise NoBaselineError(f"the baseline {found} has no {paths.PREDICTIONS}")
    return found


def _accuracies(
    read: results.Read, model: Results, expected: int, where: str, remedy: str
) -> NDArray[np.float64]:
    """Those of the models of several seeds, at least as many as `expected`."""
    found = seeds.load(read, model, where, remedy)
    if len(found) < expected:
        raise InputError(
            f"{where}: {paths.SEEDS} has {len(found)} seeds, gate.seeds is {expected}; {remedy}"
        )
    return found


def _check_comparable(here: Results, there: Results, baseline: Revision) -> None:
    if here.dataset != there.dataset:
        raise InputError(
            f"another dataset: {here.dataset.get('dataset')} here, {there.dataset.get('dataset')} "
            f"in {baseline}, or another edition of it; models are compared on the same images"
        )
    if here.class_names != there.class_names or here.labels.tolist() != there.labels.tolist():
        raise InputError(f"another test set: the labels are not those of {baseline}")
    if here.test != there.test:
        raise InputError(
            f"another test set: {paths.TEST} has not the bytes that it has in {baseline}, so the "
            f"models did not see the same images"
        )
    if baseline.is_head() and here.predicted.tolist() == there.predicted.tolist():
        raise InputError(
            f"nothing to compare: the baseline {baseline} is HEAD, and the predictions here are "
            f"its own; name an earlier commit: --baseline HEAD~1"
        )


def _section(read: results.Read, where: str) -> dict[str, Any]:
    """The keys of `gate` in params.yaml that this version knows, not checked yet."""
    content = params.parse(read(paths.PARAMS), f"{where}: {paths.PARAMS}")
    section = content.get("gate", {}) if isinstance(content, dict) else None
    if not isinstance(section, dict):
        keys = ", ".join(Gate.model_fields)
        raise InputError(f"{where}: {paths.PARAMS}: gate: expected a section: {keys}")
    return {key: value for key, value in section.items() if key in Gate.model_fields}


def _limits(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[Gate, tuple[str, ...]]:
    """The stricter of both sides' limits, and a line for each that the change would relax.

    A change cannot relax what it is held against. A key that one side lacks is the other's.
    """
    if not (ours or theirs):
        keys = ", ".join(Gate.model_fields)
        raise InputError(f"{paths.PARAMS}: expected a section gate: {keys}")
    mine = params.gate(theirs | ours, str(paths.PARAMS))
    limits = verdict.stricter(mine, params.gate(ours | theirs, f"the baseline's {paths.PARAMS}"))
    notes = (
        f"gate.{name}: {getattr(mine, name)} here, but {getattr(limits, name)} holds, the "
        f"baseline's: a change is not held against limits that it relaxes"
        for name in Gate.model_fields
        if getattr(mine, name) != getattr(limits, name)
    )
    return limits, tuple(notes)


def main(arguments: Sequence[str]) -> int:
    """Prints and writes the verdict, and returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.gate",
        description="Compares the predictions here with those of an earlier revision.",
        epilog="Exit code: 0 accept, 1 reject, 2 cannot tell.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--baseline", metavar="REV", help="default: the merge base with the main branch"
    )
    parser.add_argument(
        "--allow-missing-baseline",
        action="store_true",
        help="where there is nothing to compare with yet, check the floors alone",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything")
    options = parser.parse_args(arguments)
    try:
        found = judge(options.baseline, allow_missing_baseline=options.allow_missing_baseline)
    except PipelineError as error:
        found = Verdict("cannot tell", tuple(str(error).splitlines()))
    except Exception as error:  # noqa: BLE001  # Python's own exit code for it is that of a rejection
        traceback.print_exc()
        found = Verdict("cannot tell", (f"an error of the gate itself, see above: {error!r}",))
    try:
        if options.markdown:
            write_bytes(options.markdown, verdict.markdown(found).encode())
        if options.json:
            write_json(options.json, verdict.as_json(found))
    except OSError as error:
        found = Verdict("cannot tell", (f"the verdict cannot be written: {error}",))
    print(
        verdict.console(found),
        end="",
        flush=True,
        file=sys.stderr if found.outcome == "cannot tell" else sys.stdout,
    )
    return found.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
