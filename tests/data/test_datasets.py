import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.datasets import find, names, verified
from pipeline.errors import InputError
from tests.support import REPOSITORY


@pytest.mark.parametrize("name", names())
def test_a_dataset_can_be_verified(name: str) -> None:
    dataset = find(name)
    assert dataset.name == name
    for file in dataset.files:
        assert file.sha256 is None or len(file.sha256) == 64
        assert file.md5 is None or len(file.md5) == 32
        assert dataset.mirrors or verified(dataset.location / file.name, file)


def test_an_unknown_dataset() -> None:
    with pytest.raises(InputError, match=r"dataset.name: found 'digit', .*; did you mean digits"):
        find("digit")


def test_a_dataset_that_is_not_checked_out(tmp_path: Path) -> None:
    (tmp_path / "pets.dvc").touch()
    with pytest.raises(InputError, match=r"dvc checkout or dvc pull .*pets.dvc brings it"):
        find("pets", sources=tmp_path)


WRONG = {
    "unknown key": ("colour: true", "colour: unknown key, expected only class_names, "),
    "type": ("class_names: 3", "class_names: found 3, expected a list of class names"),
    "no digest": ("files: [{name: a.npz}]", "a.npz: expected a digest, sha256 or md5"),
    "folders": ("files: [{name: ../a, md5: x}]", "found the name '../a', expected one without"),
    "mirrors alone": ("mirrors: [http://localhost]", "expected the files that the mirrors serve"),
    "a list": ("[1]", "dataset.yaml: found a list, expected keys: class_names, "),
    "no YAML": ("a: [", "dataset.yaml: is not YAML: line 2"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_description(case: str, tmp_path: Path) -> None:
    content, message = WRONG[case]
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets/dataset.yaml").write_text(f"{content}\n")
    with pytest.raises(InputError) as error:
        find("pets", sources=tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.long("data/sources/mnist_sample", "pipeline/data/datasets.py")
@pytest.mark.parametrize(("kind", "step"), [("train", 6), ("t10k", 5)])
@pytest.mark.parametrize(("name", "header"), [("images-idx3", 16), ("labels-idx1", 8)])
def test_the_sample_is_of_mnist(kind: str, step: int, name: str, header: int) -> None:
    file = f"{kind}-{name}-ubyte.gz"
    original = Path(os.environ.get("DATASET_MIRROR", ""), file)
    if not original.is_file():
        pytest.skip("DATASET_MIRROR names no folder with MNIST's archives")
    whole, sample = (
        gzip.decompress(path.read_bytes())
        for path in (original, REPOSITORY / "data/sources/mnist_sample" / file)
    )
    count = int.from_bytes(whole[4:8])
    rows = np.frombuffer(whole, np.uint8, offset=header).reshape(count, -1)
    assert int.from_bytes(sample[4:8]) * step == count
    assert sample[header:] == rows[::step].tobytes()
