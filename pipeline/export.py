"""Converts the model to LiteRT, ONNX or SavedModel, and checks that it gives the same answers.

The file is written elsewhere, run on all test images, and takes its place only if its answers are
those of the Keras model. It takes raw pixels and gives logits, as that one does.
"""

import argparse
import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from tqdm import tqdm

from pipeline import paths
from pipeline.artifacts import replacing_folder, write_output
from pipeline.data.split import Split
from pipeline.errors import InputError, IntegrityError, advising, listed
from pipeline.formats import litert, onnx, savedmodel
from pipeline.formats.format import INPUT, OUTPUT, Format, Run
from pipeline.program import Parser, run, share
from pipeline.records import one_line
from pipeline.training import backend, inference
from pipeline.training.model_file import ModelFile

FORMATS: dict[str, Format] = {"litert": litert, "onnx": onnx, "savedmodel": savedmodel}
AGREEMENT = {"float32": 1.0, "float16": 1.0, "int8": 0.99}  # share of equal answers, at least
KERAS_OWN = ("date_saved", "keras_version")  # of the metadata of a .keras file
PRODUCER = "mnist-pipeline"


@dataclass
class Parity:
    """How the answers of an exported file compare with the model's, on the same images."""

    total: int = 0  # images
    same: int = 0  # of the answers
    largest: float = 0.0  # difference of a probability
    right: int = 0  # of the exported file's answers
    right_before: int = 0  # of the model's

    def add(
        self,
        before: NDArray[np.float64],
        after: NDArray[np.float32],
        labels: NDArray[np.unsignedinteger[Any]],
    ) -> None:
        """Counts some images: the model's logits, those of the exported file, the classes."""
        difference = np.abs(softmax(before, axis=1) - softmax(after, axis=1))
        self.total += len(labels)
        self.same += int((before.argmax(1) == after.argmax(1)).sum())
        self.largest = max(self.largest, float(difference.max()))
        self.right += int((after.argmax(1) == labels).sum())
        self.right_before += int((before.argmax(1) == labels).sum())

    def __str__(self) -> str:
        """What the program says."""
        return (
            f"{self.same:,} of {self.total:,} answers are those of the model, a probability "
            f"differs by {self.largest:.1g} at most, accuracy {self.right / self.total:.2%} "
            f"(before {self.right_before / self.total:.2%})"
        )


def export(
    kind: str, precision: str, *, model: Path, out: Path, test: Path, agreement: float
) -> Parity:
    """Writes `model` in another format, if its answers stay the same.

    Args:
        kind: one of FORMATS.
        precision: of the weights, one that the format has.
        model: a `.keras` file of `dvc repro`.
        out: the file or folder to write.
        test: the folder of a `Split`, whose images are compared.
        agreement: the share of the answers that must be the same.

    Raises:
        InputError: something is missing, the images are not the model's, or `out` is taken.
        IntegrityError: too few answers are the same.
        DiskError: the file system refused.
    """
    form = FORMATS[kind]
    _check_name(form, out)
    _check_packages(form)
    about = _about(model)
    _check_free(form, out)
    with advising("the exported file is checked on the test images, which dvc repro makes"):
        split = Split.load(test)
        if tuple(about["class_names"]) != split.class_names:
            raise InputError(
                f"{test}: found images of the classes {listed(split.class_names)}, expected those "
                f"of {model}, {listed(about['class_names'])}"
            )
        network = inference.load(model, split.images.shape[1:])
    from pipeline.training.exportable import exportable

    with TemporaryDirectory() as folder:
        made = Path(folder, f"model{form.SUFFIX}")
        with _telling_failure(form.NAME, model, folder):
            form.write(exportable(network, INPUT, OUTPUT), precision, about, made)
            compute = form.load(made)
        parity = compare(model, compute, split)
        if parity.same < agreement * parity.total:
            raise IntegrityError(
                f"{form.NAME}, {precision}: {parity}; expected "
                f"{'all' if agreement == 1 else f'at least {agreement:.4g} of them'} to be the "
                f"same, so {out} is not written"
            )
        _place(made, out)
    return parity


def _check_name(form: Format, out: Path) -> None:
    if form.SUFFIX and out.suffix != form.SUFFIX:
        raise InputError(f"--out: found {out}, expected a name that ends in {form.SUFFIX}")


def _check_packages(form: Format) -> None:
    missing = [package for package in form.PACKAGES if not find_spec(package)]
    if missing:
        raise InputError(
            f"{form.NAME} requires packages that are not installed ({listed(missing)}); install "
            f"them: make extras"
        )


def _about(model: Path) -> dict[str, Any]:
    """What an exported file says of itself: what the model does, and that it comes from here."""
    about = ModelFile.read(model).about
    kept = {key: value for key, value in about.items() if key not in KERAS_OWN}
    return {**kept, "producer": PRODUCER}


def _check_free(form: Format, out: Path) -> None:
    """Refuses to replace what this program has not made."""
    if out.exists() and form.about(out).get("producer") != PRODUCER:
        raise InputError(
            f"{out}: exists and was not made by this program, so it is not replaced; move it away, "
            f"or choose another name with --out"
        )


def compare(model: Path, compute: Run, split: Split) -> Parity:
    """Runs a model and its exported counterpart on the same images.

    Args:
        model: a `.keras` file.
        compute: the counterpart.
        split: the images, and their labels.
    """
    parity = Parity()
    batch = backend.images_at_once(split.images.shape[1:])
    with tqdm(
        total=len(split.images),
        desc="images",
        unit="",
        delay=1,
        leave=False,
        disable=not sys.stderr.isatty(),
    ) as progress:
        for part in inference.predict(model, split.images, len(split.class_names)):
            for start in range(0, len(part), batch):
                before = part[start : start + batch]  # (M, classes)
                chosen = slice(parity.total, parity.total + len(before))
                parity.add(before, compute(split.images[chosen]), split.labels[chosen])
                progress.update(len(before))
    return parity


@contextmanager
def _telling_failure(name: str, model: Path, folder: str) -> Iterator[None]:
    """Says in one line what a converter that writes to `folder` raises, of whatever kind."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO):  # TensorFlow has errors of its own
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number), folder) from error
        raise InputError(
            f"{model}: cannot be converted to {name} ({one_line(error)[:200]})"
        ) from error


def _place(made: Path, out: Path) -> None:
    if made.is_dir():
        with replacing_folder(out) as folder:
            shutil.copytree(made, folder, dirs_exist_ok=True)
    else:
        write_output(out, made.read_bytes())


def _size(path: Path) -> int:
    """Bytes of a file, or of all in a folder."""
    return sum(one.stat().st_size for one in (path, *path.rglob("*")) if one.is_file())


def main(options: argparse.Namespace) -> None:
    """Exports the model, and says what came of it."""
    form, precision = FORMATS[options.format], options.quantize or "float32"
    if precision not in form.PRECISIONS:
        raise InputError(
            f"--quantize: found {precision}, but the weights of a {form.NAME} stay float32; "
            f"expected none, or --format litert or onnx"
        )
    agreement = AGREEMENT[precision] if options.agreement is None else options.agreement
    out = options.out or paths.MODEL.parent / default_name(form, precision)
    parity = export(
        options.format,
        precision,
        model=options.model,
        out=out,
        test=paths.TEST,
        agreement=agreement,
    )
    print(f"{out}: {form.NAME}, {precision}, {_size(out):,} bytes")
    print(parity)


def default_name(form: Format, precision: str) -> str:
    """What the file is called, in the folder of the model."""
    if not form.SUFFIX:
        return "saved_model"
    return f"model{'' if precision == 'float32' else f'-{precision}'}{form.SUFFIX}"


def parser() -> Parser:
    """The arguments."""
    arguments = Parser("pipeline.export", __doc__)
    arguments.add_argument("--format", required=True, choices=[*FORMATS], help="what to convert to")
    arguments.add_argument(
        "--quantize",
        choices=[precision for precision in AGREEMENT if precision != "float32"],
        help="store the weights in fewer bits",
    )
    arguments.add_argument(
        "--agreement",
        type=share,
        metavar="SHARE",
        help="of the answers on the test images that must be the model's (default: "
        f"{AGREEMENT['int8']} for int8, else 1)",
    )
    arguments.add_argument(
        "--model",
        type=Path,
        default=paths.MODEL,
        metavar="FILE",
        help="another model (default: %(default)s)",
    )
    arguments.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="the file or, for savedmodel, the folder to write (default: in models/)",
    )
    return arguments


if __name__ == "__main__":
    run(parser(), main)
