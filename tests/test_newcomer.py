"""What a newcomer's tools read: the dev container and the citation."""

import json
import re
import tomllib
from typing import Any

import yaml

from tests.support import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
KEYS = {  # of the dev container specification, of those that it has
    "name",
    "image",
    "hostRequirements",
    "postCreateCommand",
    "customizations",
}


def test_the_dev_container() -> None:
    container = json.loads((REPOSITORY / ".devcontainer/devcontainer.json").read_text())
    assert container.keys() <= KEYS
    image = re.fullmatch(r"python:3\.(\d+)\.\d+-bookworm@sha256:[0-9a-f]{64}", container["image"])
    assert image
    low, high = re.findall(r"3\.(\d+)", PROJECT["requires-python"])
    assert int(low) <= int(image[1]) < int(high)
    targets = re.findall(r"make (\w+)", container["postCreateCommand"])
    makefile = (REPOSITORY / "Makefile").read_text()
    assert targets == ["setup"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
    interpreter = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert interpreter == "${containerWorkspaceFolder}/.venv/bin/python"


def test_the_citation() -> None:
    citation: dict[str, Any] = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()  # what it must have
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
