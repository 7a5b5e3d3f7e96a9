import os
from pathlib import Path

from benchmarks import plain
from experiments import ladder
from experiments.spread import percent
from tests.experiments.support import Made


def test_mean_and_deviation() -> None:
    assert percent([0.5, 0.75, 1.0]) == "75.00 ± 25.00"  # of a sample: √(2 · 0.25² / 2)
    assert percent([0.98125]) == "98.12"


def test_a_row() -> None:
    runs = [Made("b", [0.5]), Made("a", [0.75]), Made("ab", [1.0])]
    assert ladder.row("b", runs, [0.5, 0.75, 1.0], 2.0) == (
        "| `b` | 1,234 | 75.00 ± 25.00 | 3 | 3 | 1.5 |"
    )
    assert ladder.row("b", runs, [0.5, 0.75, 1.0], None).endswith("| 3 |  |")
    assert ladder.row("a", [Made("a", [0.5])], [0.5], 2.0).endswith(
        "| 50.00 | 1 | from the cache |  |"
    )


def test_images_can_be_held_out_to_choose_by() -> None:
    (name,), (seeds,) = (ladder.wanted("cnn-small", range(1), count) for count in (None, 5000))
    assert (name, seeds) == ("cnn-small-seed-0", "cnn-small-validation-5000-seed-0")
    (params,) = ladder.wanted("cnn-small", range(1), 5000).values()
    assert params["preprocess.validation"] == 5000


def test_a_plain_epoch_takes_time() -> None:
    train, test = (plain.scaled(Path(os.devnull), name) for name in ("train", "t10k"))
    assert train[0].shape == (60_000, 28, 28)
    assert test[1].shape == (10_000,)
