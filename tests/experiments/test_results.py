from pathlib import Path

import pytest

from experiments import logs, results
from pipeline.repository import Commit

EPOCHS = "epoch 1/2  0.5  0.9  2.0 s\nepoch 2/2  0.4  0.9  1.0 s\n"


@pytest.mark.parametrize(("text", "seconds"), [(EPOCHS, 3), (EPOCHS[:30], None), ("cached", None)])
def test_the_seconds_of_what_a_cluster_ran(
    text: str, seconds: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    logs.task("abc").parent.mkdir(parents=True)
    logs.task("abc").write_text(text)
    assert results.Run("one", Commit("one", "abc")).seconds() == seconds
