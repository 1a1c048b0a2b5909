"""The process: fast path, commands, and what becomes of every error."""

from __future__ import annotations

import gc
import os
import sys

from qtool.errors import ExitCode, QtoolError


def main(argv: list[str] | None = None) -> int:
    """Run qtool with ``argv`` (the process's own by default) and give its exit code."""
    if argv is not None:
        return _run(argv)
    # Loading modules makes no garbage worth looking for, and the process's end frees all there is: without this the
    # collector takes 10 of a short command's 50 ms. A long one is still cleaned, every so many objects.
    gc.set_threshold(50_000, 10, 10)
    try:
        return _run(sys.argv[1:])
    finally:
        gc.freeze()


def _run(arguments: list[str]) -> int:
    """The exit code, after whatever went wrong was said."""
    _open_standard_streams()
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except QtoolError as error:
        if _wants_traceback(arguments):
            import traceback

            traceback.print_exc()
        _complain(str(error))
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader has had enough (`| head`): that is no failure of ours.
        _drop_stdout()
        return int(ExitCode.OK)
    except OSError as error:
        if _wants_traceback(arguments):
            raise
        _drop_stdout()
        _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        return int(ExitCode.FAILED)
    return code


def _dispatch(arguments: list[str]) -> int:
    """The exit code of the command that ``arguments`` name."""
    if arguments[:1] == ["enqueue"]:
        # Importing Typer costs more than enqueueing a job: a plain enqueue goes round it.
        from qtool.intake.short import try_fast

        code = try_fast(arguments)
        if code is not None:
            return code
    from qtool.cli import run

    return run(arguments)


def _open_standard_streams() -> None:
    """Put /dev/null where the caller closed a standard stream, so that no file opened later is taken for it."""
    for number, name, flags in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_WRONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is not None:
            continue
        null = os.open(os.devnull, flags)
        if null != number:
            os.dup2(null, number)
            os.close(null)
        setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _drop_stdout() -> None:
    """Let whatever is still buffered go nowhere, so that the interpreter's last flush does not fail too."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _complain(message: str) -> None:
    """One error message on stderr; never fails itself."""
    from qtool.output import clean

    text = "\n".join(clean(line) for line in message.splitlines())
    try:
        sys.stderr.write(f"qtool: {text}\n")
        sys.stderr.flush()
    except OSError:
        pass


def _wants_traceback(arguments: list[str]) -> bool:
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return bool(os.environ.get("QTOOL_DEBUG")) or "-v" in own or "--verbose" in own


if __name__ == "__main__":
    sys.exit(main())
