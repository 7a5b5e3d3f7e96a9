"""The stages that dvc.yaml defines: whether `dvc repro` runs them, and which a change redefines."""

from typing import Any

from pipeline import paths
from pipeline.errors import InputError
from pipeline.lock import read_lock
from pipeline.records import read_yaml
from pipeline.repository import Source

Stage = dict[str, Any]

UNUSED = {"desc", "meta"}  # keys of a stage that do nothing


def check_all_run(source: Source) -> None:
    """Checks that `dvc repro --force` makes every result anew that dvc.lock records.

    It skips a stage that dvc.yaml freezes or omits, and `dvc status` does not look at it either.

    Raises:
        InputError: it would leave a stage out.
    """
    defined = _stages(source)
    for name, stage in defined.items():
        if _is_frozen(stage):
            raise InputError(
                f"{paths.PIPELINE}: stage {name} is frozen, so dvc repro does not run it; "
                f"run dvc unfreeze {name}, then dvc repro"
            )
    # One with foreach or matrix is in dvc.lock as name@item, once for every item.
    recorded = {name.partition("@")[0] for name in read_lock(source.read).stages}
    for name in sorted(recorded - defined.keys()):
        raise InputError(
            f"{paths.PIPELINE}: has no stage {name}, but {paths.LOCK} has its results; remove it "
            f"there, too, or bring it back"
        )


def changes(here: Source, baseline: Source) -> tuple[str, ...]:
    """A line for each stage that `here` defines otherwise than `baseline` does.

    Raises:
        InputError: one of the two defines no stages.
    """
    ours, theirs = _stages(here), _stages(baseline)
    return tuple(
        f"{paths.PIPELINE}: stage {name} {what}, compared with the baseline"
        for name in sorted(ours.keys() | theirs.keys())
        if (what := _change(ours.get(name), theirs.get(name)))
    )


def _change(here: Stage | None, there: Stage | None) -> str:
    """What has happened to a stage, empty if nothing has."""
    if here is None or there is None:
        return "is gone" if here is None else "is new"
    keys = sorted(key for key in here | there if here.get(key) != there.get(key))
    different = [key for key in keys if key not in UNUSED]
    return f"has changed its {', '.join(different)}" if different else ""


def _stages(source: Source) -> dict[str, Stage]:
    """The stages in dvc.yaml by name."""
    where = f"{source.name}: {paths.PIPELINE}"
    content = read_yaml(source.read(paths.PIPELINE), where)
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(isinstance(one, dict) for one in stages.values()):
        raise InputError(f"{where}: expected a section stages, with a section for each stage")
    return {str(name): stage for name, stage in stages.items()}


def _is_frozen(stage: Stage) -> bool:
    """Whether it says frozen, or its `do` does where it is a template for several."""
    return any(part.get("frozen", False) is not False for part in (stage, stage.get("do") or {}))
