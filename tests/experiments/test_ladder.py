from experiments import ladder
from experiments.spread import percent
from tests.experiments.support import Made


def test_mean_and_deviation() -> None:
    assert percent([0.5, 0.75, 1.0]) == "75.00 ± 25.00"  # of a sample: √(2 · 0.25² / 2)
    assert percent([0.98125]) == "98.12"


def test_a_row() -> None:
    assert ladder.row("b", [Made("b", [0.5]), Made("a", [0.75]), Made("ab", [1.0])]) == (
        "| `b` | 1,234 | 75.00 ± 25.00 | 3 | 3 |"
    )
    assert ladder.row("a", [Made("a", [0.5])]).endswith("| 50.00 | 1 | from the cache |")
