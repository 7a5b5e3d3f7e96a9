"""May the model here replace that of an earlier commit?

Compares the predictions in the working tree with those in git. docs/gate.md says how it decides.
"""

import argparse
import sys
import traceback
from pathlib import Path

from pipeline.artifacts import json_bytes, write_output
from pipeline.errors import PipelineError
from pipeline.gate import text
from pipeline.gate.judge import judge
from pipeline.gate.verdict import cannot_tell
from pipeline.program import Parser, emit, run


def parser() -> Parser:
    """The arguments of the gate."""
    arguments = Parser(
        "pipeline.gate", __doc__, epilog="Exit code: 0 accept, 1 reject, 2 cannot tell."
    )
    arguments.add_argument(
        "--baseline",
        metavar="REV",
        help="the commit (default: the merge base with the main branch)",
    )
    arguments.add_argument(
        "--allow-missing-baseline",
        action="store_true",
        help="if there is nothing to compare with yet, check the floors alone",
    )
    arguments.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary")
    arguments.add_argument("--json", type=Path, metavar="FILE", help="write everything")
    return arguments


def main(options: argparse.Namespace) -> int:
    """Prints and writes the verdict, and returns the exit code."""
    try:
        verdict = judge(options.baseline, allow_missing_baseline=options.allow_missing_baseline)
    except PipelineError as error:
        verdict = cannot_tell(str(error))
    except Exception as error:  # noqa: BLE001, Python would exit with 1, which means reject
        traceback.print_exc()
        verdict = cannot_tell(f"an error in the gate itself, see above: {error!r}")
    try:
        if options.markdown:
            write_output(options.markdown, text.markdown(verdict).encode())
        if options.json:
            write_output(options.json, json_bytes(text.as_json(verdict)))
    except OSError as error:
        verdict = cannot_tell(f"the verdict cannot be written: {error}")
    emit(text.console(verdict), sys.stderr if verdict.outcome == "cannot tell" else sys.stdout)
    return verdict.exit_code


if __name__ == "__main__":
    run(parser(), main)
