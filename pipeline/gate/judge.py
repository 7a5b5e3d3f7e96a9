"""Compares the results in the working tree with those of an earlier commit.

docs/gate.md says how it decides, and how often it errs.
"""

from typing import Any

import numpy as np

from pipeline import paths
from pipeline.errors import InputError
from pipeline.gate import definitions, freshness, results, verdict
from pipeline.gate.results import Results
from pipeline.gate.verdict import Verdict
from pipeline.params import Gate, check_gate
from pipeline.records import read_file, read_yaml
from pipeline.repository import (
    WORKING_TREE,
    Commit,
    NoBaselineError,
    Source,
    default_baseline,
    find_commit,
    tracked_files,
)

FLOORS_ALONE = "--allow-missing-baseline checks the floors alone"


def judge(name: str | None, *, allow_missing_baseline: bool = False) -> Verdict:
    """Decides whether the model here may replace that of the commit called `name`.

    Args:
        name: None for the merge base with the main branch, see `repository.default_baseline`.
        allow_missing_baseline: if there is nothing to compare with, decide by the floors alone.

    Raises:
        InputError: the two cannot be compared.
    """
    freshness.check_lock(WORKING_TREE, tracked_files())
    definitions.check_all_run(WORKING_TREE)
    try:
        baseline = find_baseline(name)
    except NoBaselineError as error:
        if not allow_missing_baseline:
            raise NoBaselineError(f"{error}; {FLOORS_ALONE}") from error
        limits = check_gate(_gate_section(WORKING_TREE), str(paths.PARAMS))
        decided = verdict.decide(results.load(WORKING_TREE), None, limits, notes=(str(error),))
    else:
        if baseline.is_head() and read_file(paths.PREDICTIONS) == baseline.read(paths.PREDICTIONS):
            raise InputError(
                f"nothing to compare: the baseline {baseline} is HEAD, and the predictions here "
                f"are its own; name an earlier commit: --baseline HEAD~1"
            )
        decided = compare(WORKING_TREE, source_of(baseline))
    freshness.check_status()  # last, because DVC takes a second
    return decided


def compare(here: Source, baseline: Source) -> Verdict:
    """Decides whether the model in `here` may replace the one in `baseline`.

    Raises:
        InputError: the two cannot be compared.
    """
    ours, theirs = results.load(here), results.load(baseline)
    _check_comparable(ours, theirs, baseline.name)
    limits, notes = _limits(_gate_section(here), _gate_section(baseline))
    if ours.dataset != theirs.dataset:
        notes += (f"trained on another edition of {ours.dataset.get('dataset')}; same test images",)
    notes += definitions.changes(here, baseline)
    return verdict.decide(ours, theirs, limits, name=baseline.name, notes=notes)


def find_baseline(name: str | None) -> Commit:
    """The commit called `name`, or the default one.

    Raises:
        InputError: there is no such commit.
        NoBaselineError: there is none to compare with, or it has no predictions.
    """
    baseline = default_baseline() if name is None else find_commit(name)
    if not baseline.contains(paths.PREDICTIONS):
        raise NoBaselineError(f"the baseline {baseline} has no {paths.PREDICTIONS}")
    return baseline


def source_of(baseline: Commit) -> Source:
    """Where the files of `baseline` are read from."""
    return Source(f"baseline {baseline}", "name another commit: --baseline REV", baseline.read)


def _check_comparable(here: Results, there: Results, baseline: str) -> None:
    name, other = here.dataset.get("dataset"), there.dataset.get("dataset")
    if name != other:
        raise InputError(
            f"another dataset: {name} here, {other} in the {baseline}; models are compared on the "
            f"same images"
        )
    ours, theirs = here.predictions, there.predictions
    if here.class_names != there.class_names or not np.array_equal(ours.labels, theirs.labels):
        raise InputError(f"another test set: the labels are not those of the {baseline}")
    if here.test != there.test:
        raise InputError(
            f"another test set: the bytes of {paths.TEST} are not those of the {baseline}, so the "
            f"models did not see the same images"
        )


def _gate_section(source: Source) -> dict[str, Any]:
    """The keys of `gate` in params.yaml that this version knows, unchecked."""
    where = f"{source.name}: {paths.PARAMS}"
    content = read_yaml(source.read(paths.PARAMS), where)
    section = content.get("gate", {}) if isinstance(content, dict) else None
    if not isinstance(section, dict):
        raise InputError(f"{where}: gate: expected a section: {', '.join(Gate.model_fields)}")
    known = {key: value for key, value in section.items() if key in Gate.model_fields}
    # Older ones name no metric: a change must not choose theirs.
    return {"metric": "accuracy", **known} if known else {}


def _limits(own: dict[str, Any], theirs: dict[str, Any]) -> tuple[Gate, tuple[str, ...]]:
    """The stricter limits of both sides, and a line for each that the change would relax.

    A change cannot relax the limits that apply to it, nor choose another metric for them. A key
    that one side lacks is the other's.
    """
    if not (own or theirs):
        raise InputError(f"{paths.PARAMS}: expected a section gate: {', '.join(Gate.model_fields)}")
    mine = check_gate(theirs | own, str(paths.PARAMS))
    limits = verdict.stricter(mine, check_gate(own | theirs, f"the baseline's {paths.PARAMS}"))
    notes = []
    compared = {*Gate.model_fields}
    if mine.metric != limits.metric:
        notes.append(
            f"gate.metric is {mine.metric} here and {limits.metric} in the baseline, whose metric, "
            f"floor and margin apply"
        )
        compared -= {"metric", "floor", "margin"}
    notes += [
        f"gate.{name} is {getattr(mine, name)} here and {getattr(limits, name)} in the baseline; "
        f"the stricter one applies"
        for name in Gate.model_fields
        if name in compared and getattr(mine, name) != getattr(limits, name)
    ]
    return limits, tuple(notes)
