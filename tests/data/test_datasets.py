import pytest

from pipeline.data.datasets import DATASETS, find
from pipeline.errors import InputError


@pytest.mark.parametrize("name", DATASETS)
def test_a_row_is_complete(name: str) -> None:
    dataset = find(name)
    assert dataset.name == name
    assert len({file.sha256 for file in dataset.files}) == len(dataset.files) == 4
    assert all(len(file.sha256) == 64 for file in dataset.files)
    assert len(set(dataset.class_names)) == len(dataset.class_names) >= 2
    assert dataset.mirrors


def test_an_unknown_dataset() -> None:
    with pytest.raises(InputError, match=r"dataset.name: found 'digit', .*; did you mean 'digits'"):
        find("digit")
