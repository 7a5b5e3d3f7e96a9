"""Images in a store: in memory, in a folder, and on an S3 server."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.data import store
from pipeline.data.digests import digests_of
from pipeline.data.split import Split, SplitWriter
from pipeline.data.store import Manifest, Part, RefusedError, RemoteImages, Span, merged
from pipeline.errors import IntegrityError, NetworkError
from tests import servers
from tests.data.support import png, read, write
from tests.support import REPOSITORY

IMAGES = np.arange(60, dtype=np.uint8).reshape(10, 2, 3)
REFUSED = r"s3://bucket/folder: does not let us in .*; for s3:// set AWS_ACCESS_KEY_ID"
LABELS = np.array([0, 1] * 5, np.uint8)


@pytest.fixture
def memory() -> Iterator[str]:
    """A store that ends with the test."""
    yield "memory://store"
    fsspec.filesystem("memory").store.clear()


def saved(folder: Path, url: str, images: NDArray[np.uint8] = IMAGES) -> Split:
    """What is loaded after `images` were written piece by piece."""
    folder.parent.mkdir(exist_ok=True)
    writer = SplitWriter(folder, images.shape, url)
    for piece in np.array_split(images, 4):
        writer.add(piece)
    writer.finish([LABELS[: len(images)]], ("a", "b"), 59, "pad")
    return Split.load(folder)


def remote(split: Split) -> RemoteImages:
    assert isinstance(split.images, RemoteImages)
    return split.images


def in_memory() -> dict[str, bytes]:
    files = fsspec.filesystem("memory")
    return {path: files.cat_file(path) for path in files.find("/store")}


def test_a_manifest_by_hand(memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART", 25)  # 4 images of 6 bytes
    saved(tmp_path / "train", memory)
    content = json.loads((tmp_path / "train/images.json").read_text())
    found = in_memory()
    assert content["store"] == memory
    assert content["shape"] == [10, 2, 3]
    assert [part["rows"] for part in content["parts"]] == [4, 4, 2]
    for number, part in enumerate(content["parts"]):
        inside = found[f"/store/{part['name']}"]
        assert part["name"] == f"train/images-{number:05}-{part['sha256'][:16]}.npy"
        assert hashlib.sha256(inside).hexdigest() == part["sha256"]
        assert len(inside) == part["size"] == 128 + 6 * part["rows"]
    assert len(found) == 3
    names = {path.name for path in (tmp_path / "train").iterdir()}
    assert names == {"about.json", "digests.npy", "images.json", "labels.npy"}


def test_numpy_reads_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART", 30)
    saved(tmp_path / "train", f"file://{tmp_path}/store")
    parts = [np.load(path) for path in sorted((tmp_path / "store/train").iterdir())]
    assert np.array_equal(np.concatenate(parts), IMAGES)


def test_ranges_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "GAP", 10)
    starts = np.array([0, 5, 10])

    def ranges(*rows: int) -> list[Span]:
        return merged(np.array(rows, np.intp), starts, 10)

    assert ranges() == []
    assert ranges(2) == [Span(0, 2, slice(0, 1), 20, 30)]
    assert ranges(2, 3) == [Span(0, 2, slice(0, 2), 20, 40)]
    assert ranges(1, 3) == [Span(0, 1, slice(0, 2), 10, 40)]  # 10 bytes are between them
    assert ranges(0, 3) == [Span(0, 0, slice(0, 1), 0, 10), Span(0, 3, slice(1, 2), 30, 40)]
    assert ranges(4, 5) == [Span(0, 4, slice(0, 1), 40, 50), Span(1, 5, slice(1, 2), 0, 10)]
    monkeypatch.setattr(store, "MOST", 20)
    assert [span.places for span in ranges(5, 6, 7, 8, 9)] == [
        slice(0, 2),
        slice(2, 4),
        slice(4, 5),
    ]


@given(st.data())
def test_indices_read_what_they_read_of_an_array(data: st.DataObject) -> None:
    count, size, part = (data.draw(st.integers(1, most)) for most in (40, 5, 60))
    images = np.random.default_rng(count).integers(0, 256, (count, size, 2), np.uint8)
    indices = np.array(data.draw(st.lists(st.integers(-count, count - 1))), np.int32)
    bounds = st.one_of(st.none(), st.integers(-50, 50))
    piece = slice(data.draw(bounds), data.draw(bounds), data.draw(st.sampled_from([None, 2, -1])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "PART", part)
        patch.setattr(store, "GAP", data.draw(st.sampled_from([0, 5, 30])))
        patch.setattr(store, "MOST", data.draw(st.sampled_from([1, 20, 1000])))
        rows = store.rows_of_a_part(images.shape)
        parts = tuple(
            store.put("memory://store", f"x/{start}", images[start : start + rows], {})
            for start in range(0, count, rows)
        )
        stored = RemoteImages(
            Manifest("memory://store", images.shape, parts),
            digests_of(images),
            room=data.draw(st.sampled_from([0, 300, 10**6])),
        )
        assert np.array_equal(stored[indices], images[indices])
        assert np.array_equal(stored[piece], images[piece])
        first, last = sorted(data.draw(st.tuples(*[st.integers(0, count - 1)] * 2)))
        section = stored.section(first, last + 1)
        assert len(section.manifest.parts) <= 1 + (last - first + rows - 1) // rows + 1
        assert np.array_equal(section[:], images[first : last + 1])
    fsspec.filesystem("memory").store.clear()


def test_it_is_like_an_array(memory: str, tmp_path: Path) -> None:
    stored = saved(tmp_path / "train", memory).images
    assert (stored.shape, stored.dtype, stored.ndim) == ((10, 2, 3), np.dtype(np.uint8), 3)
    assert (stored.nbytes, len(stored)) == (60, 10)
    assert np.array_equal(stored[np.int64(3)], IMAGES[3])
    assert np.array_equal(stored[-1], IMAGES[-1])
    assert np.array_equal(stored[IMAGES[:, 0, 0] > 30], IMAGES[IMAGES[:, 0, 0] > 30])
    assert stored[5:5].shape == (0, 2, 3)
    assert np.array_equal(np.asarray(stored), IMAGES)
    with pytest.raises(IndexError):
        stored[10]


def test_the_digest_is_of_the_content(memory: str, tmp_path: Path) -> None:
    first = saved(tmp_path / "train", memory)
    other = IMAGES.copy()
    other[9, 1, 2] += 1
    assert first.remote
    assert first.digest() == saved(tmp_path / "b" / "train", f"{memory}/b").digest()
    assert first.digest() != saved(tmp_path / "c" / "train", memory, other).digest()


def test_equal_parts_are_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART", 25)
    folder = tmp_path / "store/train"
    write(folder, {"notes.txt": "mine"})
    saved(tmp_path / "train", f"file://{tmp_path}/store")
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    other = IMAGES.copy()
    other[0] += 1
    saved(tmp_path / "again/train", f"file://{tmp_path}/store", other)
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert before.items() <= after.items()
    assert [name[:12] for name in after.keys() - before.keys()] == ["images-00000"]


@pytest.mark.parametrize(
    ("kept", "what"), [(0, "1 of the 10 images that were read are not"), (1, "its SHA-256 is not")]
)
def test_damage_is_noticed(
    kept: int, what: str, memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "KEPT", kept)
    saved(tmp_path / "train", memory)
    (name,) = in_memory()
    content = bytearray(in_memory()[name])
    content[128 + 3 * 6] ^= 1
    fsspec.filesystem("memory").pipe_file(name, bytes(content))
    split = Split.load(tmp_path / "train")
    if not kept:
        assert np.array_equal(split.images[4:], IMAGES[4:])
    with pytest.raises(IntegrityError, match=rf"train/images-00000-\w+.npy: is damaged, {what}"):
        split.images[:]
    assert isinstance(split.failure, IntegrityError)


def test_a_part_is_missing(memory: str, tmp_path: Path) -> None:
    split = saved(tmp_path / "train", memory)
    (name,) = in_memory()
    fsspec.filesystem("memory").pipe_file(name, in_memory()[name][:-1])
    with pytest.raises(IntegrityError, match=r"found 187 bytes, expected 188 bytes; dvc repro"):
        Split.load(tmp_path / "train")
    fsspec.filesystem("memory").rm(name)
    with pytest.raises(IntegrityError, match=r"found nothing, expected 188 bytes; dvc repro"):
        Split.load(tmp_path / "train")
    with pytest.raises(IntegrityError, match="a part is missing, one of train/images-00000"):
        split.images[0]


def test_parts_are_kept_while_there_is_room(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PART", 25)
    images = remote(saved(tmp_path / "train", memory))
    images.room = 2 * (128 + 24)  # the first two of three parts
    asked: list[list[tuple[int, int]]] = []
    read_ranges = store.read_ranges

    def asking(url: str, wanted: Sequence[tuple[Part, int, int]]) -> list[bytes]:
        asked.append([(start, stop) for _, start, stop in wanted])
        return read_ranges(url, wanted)

    monkeypatch.setattr(store, "read_ranges", asking)
    order = np.array([9, 0, 5, 9])
    for _ in range(3):
        assert np.array_equal(images[order], IMAGES[order])
    single = (134, 140)
    assert asked == [[(128, 134), single, single], [(0, 152)], [(0, 152)], [single], [single]]
    assert np.array_equal(images[:8], IMAGES[:8])
    assert len(asked) == 5


def test_a_section_is_sent_without_the_rest(memory: str, tmp_path: Path) -> None:
    images = remote(saved(tmp_path / "train", memory))
    assert len(pickle.dumps(images.section(2, 5))) < 1000
    section = pickle.loads(pickle.dumps(images.section(2, 5)))  # noqa: S301, our own
    assert np.array_equal(section[:], IMAGES[2:5])


def pictures(folder: Path, count: int = 60) -> Path:
    """Pictures of several sizes in two classes; one is broken, two are equal."""
    generator = np.random.default_rng(0)
    files: dict[str, bytes | str] = {}
    for number in range(count):
        height, width = generator.integers(5, 30, 2)
        files[f"own/{'ab'[number % 2]}/{number:03}.png"] = png(
            generator.integers(0, 256, (height, width), np.uint8)
        )
    files["own/a/002.png"] = b"broken"
    files["own/a/004.png"] = files["own/a/006.png"]
    return write(folder, files)


@pytest.mark.parametrize("validation", [0.2, "test"])
def test_preprocess_stores_the_same_images(
    validation: float | str, memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PART", 500)
    folder = pictures(tmp_path)
    options: dict[str, Any] = {
        "size": 8,
        "broken": "skip",
        "duplicates": "remove",
        "validation": validation,
    }
    local = read(folder, **options)
    about = (tmp_path / ".preprocess.json").read_bytes()
    stored = read(folder, **options, store=memory)
    assert (tmp_path / ".preprocess.json").read_bytes() == about
    for name, split in stored.items():
        assert split.remote
        assert np.array_equal(split.images[:], local[name].images)
        assert split.labels.tolist() == local[name].labels.tolist()
        assert split.about == local[name].about
        assert not (tmp_path / ".processed" / name / "images.npy").exists()
    assert not (tmp_path / ".processed" / "pixels").exists()


def test_nothing_of_fsspec_is_imported_for_local_images(tmp_path: Path) -> None:
    saved(tmp_path / "train", "local")
    program = (
        "import sys; from pathlib import Path; from pipeline import preprocess\n"
        "from pipeline.data.split import Split\n"
        "print(len(Split.load(Path(sys.argv[1])).images), 'fsspec' in sys.modules)"
    )
    command = (sys.executable, "-c", program, str(tmp_path / "train"))
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "10 False\n"


def test_a_store_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"^nonsense://a: found no store of this kind \(.*"):
        saved(tmp_path / "train", "nonsense://a")


def test_a_folder_that_is_another_for_each_clone(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"^file://store: found a path that is not"):
        saved(tmp_path / "train", "file://store")


def test_the_disk_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        saved(tmp_path / "train", f"file://{tmp_path}/file")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket."""
    for module in ("s3fs", "moto", "flask_cors"):
        pytest.importorskip(module, reason=f"{module} is in requirements-*.lock only")
    with servers.s3("bucket") as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{servers.HOST}:{port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("no_proxy", servers.HOST)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        yield "s3://bucket/folder"


def test_s3(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PART", 25)
    split = saved(tmp_path / "train", s3)
    order = np.array([9, 0, 3, 3, 8])
    assert np.array_equal(split.images[order], IMAGES[order])
    assert np.array_equal(split.images[:], IMAGES)


def test_a_bucket_that_is_not_there(s3: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="s3://other/folder: no such bucket or folder; make it"):
        saved(tmp_path / "train", s3.replace("bucket", "other"))


def test_wrong_credentials(s3: str, tmp_path: Path) -> None:
    split = saved(tmp_path / "train", s3)
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    requests.post(f"{endpoint}/moto-api/reset-auth", data=b"0", timeout=10).raise_for_status()
    try:
        with pytest.raises(RefusedError, match=REFUSED):
            split.images[0]
        with pytest.raises(RefusedError, match=REFUSED):
            Split.load(tmp_path / "train")
    finally:
        requests.post(f"{endpoint}/moto-api/reset-auth", data=b"inf", timeout=10)


def test_no_credentials(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(RefusedError, match=REFUSED):
        saved(tmp_path / "train", s3)


def test_nothing_answers(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{servers.HOST}:9")
    with pytest.raises(NetworkError, match=r"bucket/folder: cannot be reached .*; try again"):
        saved(tmp_path / "train", s3)


def test_s3fs_is_not_installed() -> None:
    program = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from pipeline.data.store import RefusedError, reach\n"
        "try: reach('s3://b/f')\n"
        "except RefusedError as error: print(error)"
    )
    command = (sys.executable, "-c", program)
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("s3://b/f: Install s3fs ")
    assert done.stdout.endswith("; make extras has s3fs, for s3://\n")
