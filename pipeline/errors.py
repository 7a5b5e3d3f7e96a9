"""What can go wrong, one class per exit code."""


class PipelineError(Exception):
    """A failure with a cause that one line explains: what was found, where, what to do."""

    exit_code: int


class InputError(PipelineError):
    """The configuration or an input is not what the stage needs."""

    exit_code = 2


class NetworkError(PipelineError):
    """No mirror served a file."""

    exit_code = 3


class IntegrityError(PipelineError):
    """Bytes are not what they claim to be."""

    exit_code = 4


class TrainingError(PipelineError):
    """Training ended without a usable model."""

    exit_code = 5


class DiskError(PipelineError):
    """The file system refused to read or to write."""

    exit_code = 6


class BusyError(PipelineError):
    """The same stage is running in the same workspace."""

    exit_code = 7
