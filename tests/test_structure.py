"""What dvc.yaml says, compared with the source, and how the source may be connected."""

import ast
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pipeline.params import Params
from pipeline.records import read_yaml
from tests.support import PROGRAMS, REPOSITORY, STAGES, Workspace

PIPELINE: Any = read_yaml((REPOSITORY / "dvc.yaml").read_bytes(), "dvc.yaml")
PACKAGE = REPOSITORY / "pipeline"
FILES = sorted(PACKAGE.rglob("*.py"))
SECTIONS = {  # of params.yaml, and the stages that read them
    "dataset": {"download", "preprocess"},
    "preprocess": {"preprocess"},
    "model": {"train"},
    "train": {"train"},
    "augment": {"train"},
    "evaluate": {"evaluate"},
    "gate": set(),
}


@cache
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
    candidates = (REPOSITORY / name.replace(".", "/") for name in imports(path))
    return {file for name in candidates if (file := name.with_suffix(".py")).is_file()}


@cache
def closure(path: Path) -> set[Path]:
    """`path` and the project's files that it imports, directly or not."""
    found: set[Path] = set()
    waiting = {path}
    while waiting:
        found |= waiting
        waiting = {imported for one in waiting for imported in project_imports(one)} - found
    return found


def program(module: str) -> Path:
    """The file that `python -m module` runs."""
    path = REPOSITORY / module.replace(".", "/")
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


@pytest.mark.parametrize("stage", PIPELINE["stages"])
def test_dependencies_are_the_imports(stage: str) -> None:
    declared = [dep for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith("pipeline/")]
    files = closure(program(f"pipeline.{stage}"))
    assert declared == sorted(str(file.relative_to(REPOSITORY)) for file in files)
    assert PIPELINE["stages"][stage]["cmd"] == f"exec python -E -m pipeline.{stage}"


def test_a_stage_names_the_sections_that_it_reads() -> None:
    assert tuple(PIPELINE["stages"]) == STAGES
    assert set(SECTIONS) == set(Params.model_fields)
    named = {
        section: {
            name
            for name, stage in PIPELINE["stages"].items()
            if section in {key.split(".")[0] for key in stage["params"]}
        }
        for section in SECTIONS
    }
    assert named == SECTIONS
    for stage in STAGES:
        text = program(f"pipeline.{stage}").read_text()
        assert {name for name in SECTIONS if f"params.{name}" in text} == {
            name for name, stages in SECTIONS.items() if stage in stages
        }


def test_every_file_is_used_by_a_program_or_the_lesson() -> None:
    used = {file for module in PROGRAMS for file in closure(program(module))}
    assert "pipeline.notebook" in (REPOSITORY / "docs/lesson.ipynb").read_text()
    used.add(PACKAGE / "notebook.py")
    assert {file for file in FILES if file.name != "__init__.py"} - used == set()


def test_every_program_is_in_the_table() -> None:
    files = [*FILES, *(REPOSITORY / "experiments").glob("*.py")]
    files += [*(REPOSITORY / "benchmarks").glob("*.py")]
    found = {file for file in files if 'if __name__ == "__main__":' in file.read_text()}
    assert found == {program(module) for module in PROGRAMS}


def test_stages_and_programs_are_imported_by_no_room() -> None:
    programs = {program(module) for module in PROGRAMS}
    for file in FILES:
        if file != PACKAGE / "notebook.py":  # it stands above the stages
            assert programs & project_imports(file) <= {program("pipeline.gate")}


def test_no_file_imports_itself_in_a_circle() -> None:
    for file in FILES:
        assert file not in {other for one in project_imports(file) for other in closure(one)}


def test_packages_contain_nothing_but_the_map() -> None:
    (only,) = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert isinstance(only, ast.Expr)
    for file in PACKAGE.glob("*/__init__.py"):
        assert file.read_text() == ""


def test_the_map_names_every_module_and_room() -> None:
    text = (PACKAGE / "__init__.py").read_text()
    for file in PACKAGE.iterdir():
        if file.suffix == ".py" and file.stem != "__init__":
            assert f"`{file.stem}`" in text
        elif (file / "__init__.py").exists():
            assert f"`{file.name}/`" in text


def test_tensorflow_is_imported_only_where_it_is_needed() -> None:
    def imports_tensorflow(file: Path) -> bool:
        return bool({"tensorflow", "keras"} & {name.split(".")[0] for name in imports(file)})

    assert {
        str(file.relative_to(PACKAGE))
        for file in FILES
        if imports_tensorflow(file) and file.parent.name != "training"
    } == {  # for a type alone, or inside a function
        "artifacts.py",
        "formats/format.py",
        "formats/litert.py",
        "formats/onnx.py",
        "formats/savedmodel.py",
        "train.py",
    }
    with_tensorflow = {
        *(f"pipeline.{name}" for name in ("train", "evaluate", "export", "page", "predict"))
    }
    for module in PROGRAMS.keys() - with_tensorflow:
        if module.startswith("pipeline."):
            assert not [file for file in closure(program(module)) if file.parent.name == "training"]


def test_no_parameter_is_out_of_sight_of_the_run_cache() -> None:
    def keys(section: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for name, value in section.items():
            yield f"{prefix}{name}"
            yield from keys(value, f"{prefix}{name}.") if isinstance(value, dict) else ()

    params: Any = read_yaml((REPOSITORY / "params.yaml").read_bytes(), "params.yaml")
    left_out = {key for key in keys(params) if key.split(".")[-1] in ("size", "nfiles")}
    listed = {key for stage in PIPELINE["stages"].values() for key in stage["params"]}
    assert left_out <= listed  # StageCache of DVC hashes what is listed under its full name


def test_metrics_and_plots_are_in_git() -> None:
    for stage in PIPELINE["stages"].values():
        for output in [*stage.get("metrics", []), *stage.get("plots", [])]:
            (options,) = output.values()
            assert options["cache"] is False
        # One of these without a cache would switch off the run cache of its stage.
        assert all(isinstance(output, str) for output in stage.get("outs", []))


def test_the_package_can_be_installed(fresh: Workspace, tmp_path: Path) -> None:
    offline = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet")
    fresh.copy(tmp_path / "copy").run(
        "python", "-m", "pip", "wheel", *offline, "--wheel-dir", str(tmp_path), "."
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as members:
        names = {name for name in members.namelist() if ".dist-info/" not in name}
    expected = {str(file.relative_to(REPOSITORY)) for file in FILES}
    names_of_more = ("py.typed", "card.md", "report.html", "gate/verdict.md")
    more = {f"pipeline/{name}" for name in names_of_more}
    web = {str(file.relative_to(REPOSITORY)) for file in (PACKAGE / "web").iterdir()}
    assert names == expected | more | web
