"""What dvc.yaml says, held against the source."""

import ast
from pathlib import Path

import pytest
import yaml

STAGES = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
TENSORFLOW = {"backend", "models", "fit", "layers", "noise", "progress", "train", "evaluate"}


def imports(path: Path) -> set[str]:
    """Every module that `path` imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def project_imports(path: Path) -> set[Path]:
    """The project's files that `path` imports itself."""
    candidates = (Path(name.replace(".", "/")).with_suffix(".py") for name in imports(path))
    return {candidate for candidate in candidates if candidate.is_file()}


def closure(path: Path) -> set[Path]:
    """`path` and the project's files that it imports, directly or not."""
    found: set[Path] = set()
    waiting = {path}
    while waiting:
        found |= waiting
        waiting = {imported for one in waiting for imported in project_imports(one)} - found
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_are_the_imports(stage: str) -> None:
    declared = [dep for dep in STAGES[stage]["deps"] if dep.startswith("pipeline/")]
    assert declared == sorted(map(str, closure(Path("pipeline", f"{stage}.py"))))
    assert STAGES[stage]["cmd"] == f"exec python -m pipeline.{stage}"


def test_every_file_serves_a_program() -> None:
    programs = [*STAGES, "gate", "report", "verify"]
    used = {file for name in programs for file in closure(Path("pipeline", f"{name}.py"))}
    assert used | {Path("pipeline/__init__.py")} == set(Path("pipeline").glob("*.py"))


def test_no_stage_imports_another() -> None:
    for path in Path("pipeline").glob("*.py"):
        assert not {Path("pipeline", f"{stage}.py") for stage in STAGES} & project_imports(path)


def test_the_package_holds_its_description_alone() -> None:
    (only,) = ast.parse(Path("pipeline/__init__.py").read_text()).body
    assert isinstance(only, ast.Expr)


def test_tensorflow_is_imported_where_it_is_needed() -> None:
    slow = {
        path.stem
        for path in Path("pipeline").glob("*.py")
        if {"tensorflow", "keras"} & {name.split(".")[0] for name in imports(path)}
    }
    assert slow == TENSORFLOW | {"artifacts"}  # there for the types alone
    for program in ("download", "preprocess", "gate", "verify"):
        assert not TENSORFLOW & {path.stem for path in closure(Path("pipeline", f"{program}.py"))}


def test_metrics_and_plots_are_in_git() -> None:
    for stage in STAGES.values():
        for output in [*stage.get("metrics", []), *stage.get("plots", [])]:
            (options,) = output.values()
            assert options["cache"] is False
