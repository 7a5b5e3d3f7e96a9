"""The page's JavaScript in Node."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.page import SCRIPTS, WEB

LOGITS = """
const [description, pixels] = process.argv.slice(2, 4).map((path) => fs.readFileSync(path));
const network = decodeNetwork(JSON.parse(description));
const size = network.shape.reduce((product, length) => product * length);
const found = [];
for (let start = 0; start < pixels.length; start += size) {
  found.push([...logits(network, pixels.subarray(start, start + size))]);
}
fs.writeFileSync(process.argv[4], JSON.stringify(found));
"""


def run_node(script: str, *arguments: Path) -> None:
    """Runs `script` after the page's own scripts but for the last, the interface."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    sources = [(WEB / name).read_text() for name in SCRIPTS[:-1]]
    program = "\n".join(['const fs = require("fs");', *sources, script])
    done = subprocess.run(
        ("node", "-", *map(str, arguments)),
        input=program,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    assert done.stderr == ""


def logits(network: dict[str, Any], images: NDArray[np.uint8], folder: Path) -> NDArray[np.float64]:
    """What network.js makes of `images`, (N, height, width); (N, classes).

    Args:
        network: the description that the page contains.
        images: raw pixels.
        folder: where files are exchanged.
    """
    paths = [folder / name for name in ("network.json", "pixels", "logits.json")]
    paths[0].write_text(json.dumps(network))
    paths[1].write_bytes(images.tobytes())
    run_node(LOGITS, *paths)
    return np.array(json.loads(paths[2].read_text()))
