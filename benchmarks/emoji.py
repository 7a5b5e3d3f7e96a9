"""Draws emoji as a dataset of colour pictures: ten classes, 32x32 pixels, a folder of PNGs.

FOLDER/train and FOLDER/test get a folder for each class. An emoji is drawn several times, each with
another rotation, size, position, background and noise. All drawings of it are in train, or all are
in test, so that a model is tested on emoji that it has never seen. The same bytes every time.

Reads Debian's packages fonts-noto-color-emoji (SIL OFL 1.1) and unicode-data.
"""

import argparse
from collections.abc import Iterator
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.artifacts import replacing_folder
from pipeline.errors import InputError
from pipeline.program import Parser, run

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
EMOJI = Path("/usr/share/unicode/emoji/emoji-test.txt")
FONT_SIZE = 109  # the only one that this font has; an emoji is 136x128 pixels
SIZE = 32  # pixels a side
PICTURES = {"train": 600, "test": 200}  # of each class
TEST = 1 / 4  # share of a class's emoji
ROTATION = 20  # degrees, either way
SCALE = 0.7, 1.0  # side of the rotated emoji, as a share of the picture's
BACKGROUND = 160, 256  # levels of red, green and blue: light colours
NOISE = 8  # standard deviation, in levels of 256

# Each class and the subgroups of Unicode's emoji-test.txt that it consists of.
CLASSES = {
    "animal": ("animal-*",),
    "clothing": ("clothing",),
    "face": ("face-*",),
    "food": ("food-fruit", "food-vegetable", "food-prepared", "food-asian", "food-sweet", "drink"),
    "hand": ("hand-*", "hands"),
    "person": ("person", "person-*"),
    "place": ("place-geographic", "place-building", "place-religious", "place-other"),
    "sign": ("transport-sign", "warning", "arrow", "religion", "zodiac", "av-symbol", "alphanum"),
    "sky": ("sky & weather",),
    "vehicle": ("transport-ground", "transport-water", "transport-air"),
}


def emoji_of_classes(text: str) -> dict[str, list[str]]:
    """The emoji of each class, those of one code point: no variants by skin, hair or gender.

    Args:
        text: of emoji-test.txt; its format is described in its first lines.
    """
    found: dict[str, list[str]] = {name: [] for name in CLASSES}
    current = None
    for line in text.splitlines():
        if line.startswith("# subgroup:"):
            current = class_of(line.partition(":")[2].strip())
        points, _, status = line.partition("#")[0].partition(";")
        if current and status.strip() == "fully-qualified":
            first, *others = points.split()
            if set(others) <= {"FE0F"}:  # asks for the emoji in colour
                found[current].append(chr(int(first, 16)))
    return found


def class_of(subgroup: str) -> str | None:
    """The class that a subgroup belongs to, if any."""
    for name, patterns in CLASSES.items():
        if any(fnmatchcase(subgroup, pattern) for pattern in patterns):
            return name
    return None


def split(emoji: list[str], generator: np.random.Generator) -> dict[str, list[str]]:
    """A random TEST of the emoji for test, the others for train."""
    shuffled = [emoji[position] for position in generator.permutation(len(emoji))]
    held_out = round(TEST * len(emoji))
    return {"train": shuffled[held_out:], "test": shuffled[:held_out]}


def glyph(emoji: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The emoji as large as the font has it, trimmed, in the middle of a transparent square.

    Raises:
        InputError: the font does not have it.
    """
    canvas = Image.new("RGBA", (2 * FONT_SIZE, 2 * FONT_SIZE))
    ImageDraw.Draw(canvas).text((0, 0), emoji, font=font, embedded_color=True)
    box = canvas.getbbox()
    if not box:
        raise InputError(
            f"{FONT}: has no U+{ord(emoji):X}; install fonts-noto-color-emoji and unicode-data of "
            "the same release of Debian"
        )
    drawn = canvas.crop(box)
    square = Image.new("RGBA", (max(drawn.size), max(drawn.size)))
    square.paste(drawn, ((square.width - drawn.width) // 2, (square.height - drawn.height) // 2))
    return square


def picture(drawn: Image.Image, generator: np.random.Generator) -> Image.Image:
    """The square `drawn`, (S, S) RGBA, in a random way: (SIZE, SIZE) RGB."""
    angle = generator.uniform(-ROTATION, ROTATION)
    side = round(SIZE * generator.uniform(*SCALE))
    left, top = generator.integers(0, SIZE - side, size=2, endpoint=True).tolist()
    colour = generator.integers(*BACKGROUND, size=3).tolist()
    background = Image.new("RGBA", (SIZE, SIZE), (*colour, 255))
    turned = drawn.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    small = turned.resize((side, side), Image.Resampling.BOX)
    background.alpha_composite(small, (left, top))
    pixels = np.asarray(background.convert("RGB"))
    noisy = np.rint(pixels + generator.normal(0, NOISE, pixels.shape)).clip(0, 255)
    return Image.fromarray(noisy.astype(np.uint8))


def drawings(
    emoji: list[str], count: int, font: ImageFont.FreeTypeFont, generator: np.random.Generator
) -> Iterator[tuple[str, bytes]]:
    """`count` PNGs with their names, as many of each emoji as of any other, give or take one."""
    glyphs = [glyph(one, font) for one in emoji]
    for number in range(count):
        turn, which = divmod(number, len(emoji))
        content = BytesIO()
        picture(glyphs[which], generator).save(content, "PNG")
        yield f"{ord(emoji[which]):05x}-{turn:02}.png", content.getvalue()


def parser() -> Parser:
    """The arguments of the program."""
    arguments = Parser("benchmarks.emoji", __doc__)
    arguments.add_argument(
        "folder", type=Path, help="to make, such as data/sources/emoji; must not exist yet"
    )
    return arguments


def main(options: argparse.Namespace) -> None:
    """Draws the dataset and prints how many emoji and pictures each class has."""
    for path in (FONT, EMOJI):
        if not path.is_file():
            raise InputError(f"{path}: missing; install fonts-noto-color-emoji and unicode-data")
    if options.folder.exists():
        raise InputError(f"{options.folder}: already exists; remove it or name another folder")
    font = ImageFont.truetype(FONT, FONT_SIZE)
    classes = emoji_of_classes(EMOJI.read_text(encoding="utf-8"))
    print("| class | emoji in train | in test | pictures in train | in test |")
    print("|---|---|---|---|---|")
    with replacing_folder(options.folder) as folder:
        for number, (name, emoji) in enumerate(classes.items()):
            generator = np.random.Generator(np.random.Philox(key=number))
            parts = split(emoji, generator)
            for part, count in PICTURES.items():
                target = folder / part / name
                target.mkdir(parents=True)
                for file, content in drawings(parts[part], count, font, generator):
                    (target / file).write_bytes(content)
            counts = [*map(len, parts.values()), *PICTURES.values()]
            print(f"| {name} | {' | '.join(map(str, counts))} |", flush=True)


if __name__ == "__main__":
    run(parser(), main)
