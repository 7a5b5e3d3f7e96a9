"""Every path, relative to the repository, where DVC runs each stage."""

from pathlib import Path

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
LOCK = Path("dvc.lock")

SOURCES = Path("data/sources")
RAW = Path("data/raw")
PROCESSED = Path("data/processed")
TRAIN = PROCESSED / "train"
VALIDATION = PROCESSED / "validation"
TEST = PROCESSED / "test"

MODEL = Path("models/model.keras")

METRICS = Path("metrics")
DOWNLOAD_METRICS = METRICS / "download.json"
PREPROCESS_METRICS = METRICS / "preprocess.json"
TRAIN_METRICS = METRICS / "train.json"
HISTORY = METRICS / "history.csv"
EVALUATE_METRICS = METRICS / "evaluate.json"
PREDICTIONS = METRICS / "predictions.csv"
CURVES = METRICS / "curves.png"
CONFUSION = METRICS / "confusion.png"
MISTAKES = METRICS / "mistakes.png"
PROVENANCE = METRICS / "provenance.json"  # in git but no DVC output: it differs by machine
TIMING = METRICS / "timing.json"  # seconds: ignored by git and no DVC output

STATE = Path(".pipeline")  # ignored by git and no DVC output
CHECKPOINTS = STATE / "checkpoints"
DOWNLOADS = STATE / "downloads"
LOCKS = STATE / "locks"

REPORT = Path("report.html")
PAGE = Path("page.html")
