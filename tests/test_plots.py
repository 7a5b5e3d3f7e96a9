"""What `dvc plots` draws from dvc.yaml, .dvc/plots and the files of a run."""

import json
import re
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.support import Workspace

DRAWN = ["metrics/history.csv", "metrics/predictions.csv"]
PICTURES = ["metrics/confusion.png", "metrics/curves.png", "metrics/mistakes.png"]
LOADED = """<script>
addEventListener("load", () => {
  for (const image of document.images)
    document.body.append(`[loaded ${image.getAttribute("src")} ${image.naturalWidth > 100}]`);
});
</script>"""


@pytest.mark.parametrize(
    ("command", "revisions"),
    [(["show"], ["workspace"]), (["diff", "HEAD~1"], ["workspace", "HEAD~1"])],
    ids=["show", "diff"],
)
def test_each_plot_once(
    command: list[str], revisions: list[str], compared: Workspace, browser: Browser, tmp_path: Path
) -> None:
    compared.run("dvc", "plots", *command, "--out", str(tmp_path / "plots"))
    file = tmp_path / "plots" / "index.html"
    page = file.read_text()
    drawn = re.findall(r'<div id = "(.+)">', page)
    assert drawn == [path.replace("/", "_").replace(".", "_") for path in DRAWN]
    assert re.findall("<p>(metrics/.+)</p>", page) == PICTURES

    history, confusion = (json.loads(spec) for spec in re.findall("var spec = (.+);", page))
    assert "<DVC_" not in page  # what a template leaves open
    for spec, path in zip((history, confusion), DRAWN, strict=True):
        rows = (compared.root / path).read_text().count("\n") - 1
        drawn = [row["rev"] for row in spec["data"]["values"]]
        assert drawn == [revision for revision in revisions for _ in range(rows)]

    # Vega comes from elsewhere. Without a network the pictures are there, and nothing else.
    file.write_text(page + LOADED)
    shown, console = browser.open_file(file)
    assert {request.split(":")[0] for request in browser.requests} == {"cdn.jsdelivr.net"}
    assert any("vegaEmbed is not defined" in line for line in console)
    names = [
        f"static/{revision}_{path.replace('/', '_')}" for path in PICTURES for revision in revisions
    ]
    assert re.findall(r"\[loaded (\S+) true\]", shown) == names


def test_what_the_editor_reads(compared: Workspace) -> None:
    plots = json.loads(compared.run("dvc", "plots", "diff", "--json", "--split", "HEAD~1").stdout)
    assert list(plots["data"]) == [*DRAWN, *PICTURES]
    assert "errors" not in plots
    for path in DRAWN:
        (plot,) = plots["data"][path]
        assert plot["revisions"] == ["workspace", "HEAD~1"]
        assert "<DVC_METRIC_TITLE>" in plot["anchor_definitions"]
    shown = json.loads(compared.run("dvc", "exp", "show", "--json").stdout)
    assert "metrics/evaluate.json" in shown[0]["data"]["metrics"]
    assert json.loads(compared.run("dvc", "data", "status", "--json").stdout) == {}


def test_confusion_counts_errors_alone(compared: Workspace) -> None:
    shown = compared.run("dvc", "plots", "show", "--json", "metrics/predictions.csv").stdout
    spec = json.loads(shown)["data"]["metrics/predictions.csv"][0]["content"]
    calculated = {one["as"]: one["calculate"] for one in spec["transform"][1:3]}
    assert calculated == {
        "right": "datum['actual'] == datum['predicted']",
        "errors": "datum.right ? 0 : datum.images",
    }
