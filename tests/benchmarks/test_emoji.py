"""The emoji dataset: which emoji a class has, how they are split, and the pictures."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont

from benchmarks import emoji
from pipeline.errors import InputError

TEXT = """\
# group: Smileys & Emotion
# subgroup: face-smiling
1F600                   ; fully-qualified     # 😀 E1.0 grinning face
263A FE0F               ; fully-qualified     # ☺️ E0.6 smiling face
263A                    ; unqualified         # ☺ E0.6 smiling face

# subgroup: heart
2764 FE0F               ; fully-qualified     # ❤️ E0.6 red heart
# subgroup: hands
1F44F                   ; fully-qualified     # 👏 E0.6 clapping hands
1F44F 1F3FB             ; fully-qualified     # 👏🏻 E1.0 clapping hands: light skin tone
"""

PARTS = ("train", "test")

packages = pytest.mark.skipif(
    not (emoji.FONT.is_file() and emoji.EMOJI.is_file()),
    reason="needs fonts-noto-color-emoji and unicode-data",
)


def generator() -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=0))


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}


def test_a_class_has_no_variants() -> None:
    found = emoji.emoji_of_classes(TEXT)
    assert {name: "".join(of) for name, of in found.items() if of} == {"face": "😀☺", "hand": "👏"}


def test_no_emoji_is_in_both_parts() -> None:
    parts = emoji.split(list("abcdefgh"), generator())
    assert {name: len(part) for name, part in parts.items()} == {"train": 6, "test": 2}
    assert sorted(parts["train"] + parts["test"]) == list("abcdefgh")


def test_a_picture_is_determined_by_the_generator() -> None:
    drawn = Image.new("RGBA", (100, 100), (255, 0, 0, 255))
    one, again = (emoji.picture(drawn, generator()) for _ in range(2))
    assert (one.size, one.mode) == ((32, 32), "RGB")
    assert one.tobytes() == again.tobytes()
    other = generator()
    assert emoji.picture(drawn, other).tobytes() != emoji.picture(drawn, other).tobytes()


@packages
def test_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emoji, "PICTURES", dict(zip(PARTS, (3, 2), strict=True)))
    for name in ("one", "again"):
        emoji.main(Namespace(folder=tmp_path / name))
    pictures = files(tmp_path / "one")
    assert pictures == files(tmp_path / "again")
    assert len(pictures) == 10 * (3 + 2)
    drawn = {part: {path.name[:5] for path in pictures if part in path.parts} for part in PARTS}
    assert not drawn["train"] & drawn["test"]
    for path in pictures:
        with Image.open(tmp_path / "one" / path) as picture:
            assert (picture.size, picture.mode, picture.info) == ((32, 32), "RGB", {})
    with pytest.raises(InputError, match="already exists; remove it"):
        emoji.main(Namespace(folder=tmp_path / "one"))


def test_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emoji, "FONT", tmp_path / "font.ttf")
    with pytest.raises(InputError, match=r"font\.ttf: missing; install fonts-noto-color-emoji"):
        emoji.main(Namespace(folder=tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


@packages
def test_an_emoji_that_the_font_lacks() -> None:
    font = ImageFont.truetype(emoji.FONT, emoji.FONT_SIZE)
    with pytest.raises(InputError, match=r"has no U\+10FFFD; install .* same release of Debian"):
        emoji.glyph("\U0010fffd", font)
