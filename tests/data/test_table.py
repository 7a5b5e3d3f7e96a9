"""CSV tables: of pixels as Kaggle has them, and of pictures' paths."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.split import Split
from pipeline.errors import InputError, PipelineError
from tests.data.support import png, read, read_alone, write

# Eight images of 2x2 pixels; the first pixel is the number of the image, which tells its class.
IMAGES = [(number, 50, 100, 255) for number in range(8)]
HEADER = "label,pixel0,pixel1,pixel2,pixel3"
FIRST = [f"{image[0] % 2},{','.join(map(str, image))}" for image in IMAGES]
LAST = [f"{','.join(map(str, image))},{image[0] % 2}" for image in IMAGES]


def lines(*rows: str) -> str:
    return "\n".join(rows) + "\n"


def check(splits: dict[str, Split], names: tuple[str, ...] = ("0", "1")) -> None:
    """Every image is there once, with its class."""
    images = np.concatenate([split.images for split in splits.values()]).reshape(-1, 4)
    labels = np.concatenate([split.labels for split in splits.values()])
    assert sorted(map(tuple, images.tolist())) == IMAGES
    assert (images[:, 0] % 2).tolist() == labels.tolist()
    assert splits["train"].class_names == names


TABLES = {
    "label first": lines(HEADER, *FIRST),
    "label last": lines("p0,p1,p2,p3,label", *LAST),
    "pixels by row and column": lines("Class,1x1,1x2,2x1,2x2", *FIRST),
    "pixels by number": lines("label,0,1,2,3", *FIRST),
    "another name for the label": lines("digit,pixel0,pixel1,pixel2,pixel3", *FIRST),
    "byte order mark": "\ufeff" + lines(HEADER, *FIRST),
    "CRLF": lines(HEADER, *FIRST).replace("\n", "\r\n"),
    "CR": lines(HEADER, *FIRST).replace("\n", "\r"),
    "semicolons": lines(HEADER, *FIRST).replace(",", ";"),
    "tabs": lines(HEADER, *FIRST).replace(",", "\t"),
    "quotes": lines(HEADER, *FIRST)
    .replace(",", '","')
    .replace("\n", '"\n"')
    .join('""')
    .removesuffix('""'),
    "spaces": lines(HEADER, *FIRST).replace(",", " , "),
    "empty lines": lines(HEADER, *FIRST).replace("\n", "\n\n"),
    "no line end": lines(HEADER, *FIRST).strip(),
}


@pytest.mark.parametrize("case", TABLES)
def test_pixels(case: str, tmp_path: Path) -> None:
    check(read(write(tmp_path, {"own/train.csv": TABLES[case]}), test=2, validation=2))


@pytest.mark.parametrize(("position", "rows"), [(0, FIRST), (-1, LAST), (4, LAST)])
def test_pixels_without_a_header(position: int, rows: list[str], tmp_path: Path) -> None:
    files = {"own/train.csv": lines(*rows), "own/dataset.yaml": f"label: {position}\n"}
    check(read(write(tmp_path, files), test=2, validation=2))


@pytest.mark.parametrize("rows", [FIRST, LAST])
def test_a_column_that_is_constant_is_a_margin(rows: list[str], tmp_path: Path) -> None:
    # Label and 0, 7, 7, 0, or the other way round.
    margins = [row.replace("255", "0") for row in rows]
    margins = [
        row.replace(f"{number},50", "0,50") if rows is LAST else row
        for number, row in enumerate(margins)
    ]
    splits = read(write(tmp_path, {"own/train.csv": lines(*margins)}), test=2, validation=2)
    assert splits["train"].class_names == ("0", "1")
    assert set(splits["train"].images[:, 0, 1].tolist()) == {50}


def test_labels_that_are_text_need_no_header(tmp_path: Path) -> None:
    rows = [f"{'cat' if image[0] % 2 == 0 else 'dog'},9,9,{image[0]},0" for image in IMAGES]
    splits = read(write(tmp_path, {"own/train.csv": lines(*rows)}), test=2, validation=2)
    assert sum(len(split.labels) for split in splits.values()) == 8  # none was taken for a header
    for split in splits.values():
        assert split.class_names == ("cat", "dog")
        assert (split.images[:, 1, 0] % 2).tolist() == split.labels.tolist()


def test_splits_and_a_test_without_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "own/fashion_train.csv": lines(HEADER, *FIRST[:4]),
        "own/fashion_val.csv": lines(HEADER, *FIRST[4:6]),
        "own/fashion_test.csv": lines(HEADER, *FIRST[6:]),
        "own/unknown.csv": lines("p0,p1,p2,p3,p4,p5,p6,p7,p8", "1,2,3,4,5,6,7,8,9"),
    }
    splits = read(write(tmp_path, files))
    found = {name: split.images[:, 0, 0].tolist() for name, split in splits.items()}
    assert found == {"train": [0, 1, 2, 3], "validation": [4, 5], "test": [6, 7]}
    line = f"{tmp_path}/own/unknown.csv: has no labels, so it is left out; make predict classifies"
    assert line in capsys.readouterr().out


def test_a_position_for_a_table_without_labels(tmp_path: Path) -> None:
    files = {
        "own/train.csv": lines(*FIRST),
        "own/test.csv": lines("1,2,3,4,5,6,7,8,9"),
        "own/dataset.yaml": "label: 0\n",
    }
    check(read(write(tmp_path, files), test=2, validation=2))


SHAPES = {
    "2x2": ("", 4, (2, 2)),
    "2x2 in colour": ("", 12, (2, 2, 3)),
    "6x2": ("shape: [6, 2]\n", 12, (6, 2)),
    "1x2 in colour": ("shape: [1, 2, 3]\n", 6, (1, 2, 3)),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes(case: str, tmp_path: Path) -> None:
    about, count, shape = SHAPES[case]
    pixels = list(range(count))
    header = ",".join(["label", *(f"p{number}" for number in pixels)])
    rows = [f"{label},{','.join(map(str, pixels))}" for label in (0, 1) * 3]
    files = {"own/train.csv": lines(header, *rows)} | ({"own/dataset.yaml": about} if about else {})
    splits = read(write(tmp_path, files), test=2, validation=2)
    assert splits["train"].images.tolist() == [np.reshape(pixels, shape).tolist()] * 2


NAMES = [f"{number:04}" for number in range(8)]
PICTURES: dict[str, bytes | str] = {
    f"own/all/{name}.png": png(np.reshape(image, (2, 2)))
    for name, image in zip(NAMES, IMAGES, strict=True)
}
LISTS = {
    "paths": [f"all/{name}.png" for name in NAMES],
    "paths from here": [f"./all/{name}.png" for name in NAMES],
    "names": [f"{name}.png" for name in NAMES],
    "ids": NAMES,
}


@pytest.mark.parametrize("header", ["image,label", "id,breed", "Filename,Category", "label,path"])
@pytest.mark.parametrize("case", LISTS)
def test_lists_of_pictures(case: str, header: str, tmp_path: Path) -> None:
    rows = [(name, "dog" if number % 2 else "cat") for number, name in enumerate(LISTS[case])]
    if header.startswith("label"):
        rows = [(label, name) for name, label in rows]
    table = lines(header, *map(",".join, rows))
    splits = read(write(tmp_path, {"own/labels.csv": table, **PICTURES}), test=2, validation=2)
    check(splits, ("cat", "dog"))


def test_a_column_of_splits(tmp_path: Path) -> None:
    words = ["train", "train", "Train", "training", "val", "valid", "test", "Test"]
    rows = [
        f"{name},{n % 2},{word}" for n, (name, word) in enumerate(zip(NAMES, words, strict=True))
    ]
    table = lines("id,label,split", *rows)
    splits = read(write(tmp_path, {"own/labels.csv": table, **PICTURES}))
    found = {name: split.images[:, 0, 0].tolist() for name, split in splits.items()}
    assert found == {"train": [0, 1, 2, 3], "validation": [4, 5], "test": [6, 7]}


def test_columns_by_name(tmp_path: Path) -> None:
    rows = [f"x,{number % 2},{name},9" for number, name in enumerate(NAMES)]
    files = {
        "own/labels.csv": lines("id,kind,scan,age", *rows),
        "own/dataset.yaml": "image: scan\nlabel: kind\n",
        **PICTURES,
    }
    check(read(write(tmp_path, files), test=2, validation=2))


def test_pictures_that_no_row_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = lines("id,label", *(f"{name},{int(name) % 2}" for name in NAMES[:6]))
    splits = read(write(tmp_path, {"own/labels.csv": table, **PICTURES}), test=2, validation=2)
    assert sum(len(split.labels) for split in splits.values()) == 6
    assert "labels.csv: left out what it does not name: " in capsys.readouterr().out


REFUSED: dict[str, tuple[bytes | str, str, str]] = {
    "no square": (lines(f"{HEADER},pixel4", "1,2,3,4,5,6"), "", "found 5 columns of pixels, which"),
    "another shape": (
        lines(HEADER, *FIRST),
        "shape: [3, 2]",
        "found 4 columns of pixels, expected 6",
    ),
    "no such column": (lines(HEADER, *FIRST), "label: 5", "found 5 columns, and label: 5 in data"),
    "either may be the label": (
        lines(*(f"{number},1,2,3,{number}" for number in range(8))),
        "",
        "cannot tell whether the first or the last column has the labels; say label: 0 or ",
    ),
    "sorted by label": (
        # The labels look like a margin for 1,200 rows.
        lines(*(f"{number // 1200},1,2,3,{number % 200}" for number in range(2400))),
        "",
        "cannot tell whether the first or the last column has the labels",
    ),
    "a quotation mark": (lines(HEADER, *FIRST, '1,"2,3,4,5'), "", "lines 2 to 10: found quotation"),
    "marks around two lines": (
        lines(HEADER, *FIRST, '"1,2,3,4,5', '1",2,3,4,5'),
        "",
        "lines 2 to 11: found quotation marks without",
    ),
    "a fraction": (lines(HEADER, *FIRST, "1,2,0.5,4,5"), "", "line 10: found '0.5' in column 3"),
    "negative": (lines(HEADER, *FIRST, "1,2,-3,4,5"), "", "line 10: found '-3' in column 3"),
    "huge": (lines(HEADER, *FIRST, f"1,2,{'9' * 99},4,5"), "", "line 10: found '99999"),
    "a list without a header": (lines(*(f"{name},{name}" for name in NAMES)), "", "no header"),
    "no column of images": (
        lines("a,b,c", "1,2,3"),
        "",
        "found the columns a, b, c, expected one ca",
    ),
    "no such column of images": (
        lines("a,b", "1,2"),
        "image: c",
        "found no column 'c', which dataset",
    ),
    "a picture twice": (
        lines("id,label", "1,0"),
        "",
        "line 2: found 2 pictures called '1', expected",
    ),
    "not CSV": (
        lines("id,label", f"{'x' * 200_000},0"),
        "",
        "line 2: field larger than field limit",
    ),
    "not UTF-8 further down": (
        b"id,label\n" + b"0000,0\n" * 9000 + b"\xff,1\n",
        "",
        "is not text in UTF-8 (invalid start byte); convert it",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    table, about, message = REFUSED[case]
    files = {"own/table.csv": table, "own/dataset.yaml": about or "{}", **PICTURES}
    write(tmp_path, {**files, "own/a/1.png": png([[1]]), "own/b/1.png": png([[1]])})
    with pytest.raises(InputError) as error:
        read(tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


CELL = st.sampled_from(["0", "1", "9", "255", "256", "-1", "nan", "", '"', '"1"', "a.png", "1e2"])
TABLE = st.builds(
    lambda header, rows: "\n".join([header, *map(",".join, rows)]),
    st.sampled_from(["", HEADER, "image,label", "a;b"]),
    st.sampled_from([2, 5]).flatmap(
        lambda count: st.lists(st.lists(CELL, min_size=count, max_size=count), max_size=4)
    ),
)


@given(st.text(max_size=40) | TABLE)
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("table")
    write(folder, {"own/train.csv": text.encode(), "own/a.png": png([[1]])})
    with contextlib.suppress(PipelineError):
        read_alone(folder)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("table")
    write(folder, {"own/train.csv": content, "own/a.png": png([[1]])})
    with contextlib.suppress(PipelineError):
        read_alone(folder)
