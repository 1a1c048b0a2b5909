"""What an error means for its job: ``@task(on_error=…)``, checked once, asked in the worker for every error.

The most specific of the named classes that the error belongs to decides, in whatever order they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from qtool.engine.current import CurrentJob, Discard, JobCancelled, Retry, Snooze

Answer: TypeAlias = Literal["retry", "dead", "discard"] | Retry | Snooze | Discard
"""``"retry"`` after the usual wait, while retries are left, or ``Retry(in_=5)``; ``"dead"``: no retry, and somebody
should look; ``"discard"``: no retry, and nobody need; ``Snooze(30)``: later, the attempt is given back."""
Ask: TypeAlias = Callable[[Any, CurrentJob], Answer | None]
"""Gets the error and its job. None: as if it had not been asked."""
OnError: TypeAlias = Mapping[type[BaseException] | tuple[type[BaseException], ...], Answer | Ask] | Ask

_WORDS = ("retry", "dead", "discard")
_NEVER_ASKED = (Retry, Snooze, Discard, JobCancelled, KeyboardInterrupt)
"""They say themselves what becomes of the job."""


class Rules:
    """The checked form of ``on_error``."""

    __slots__ = ("_by_class", "retries")

    def __init__(self, said: OnError) -> None:
        """Raises TypeError for what is neither a mapping nor a function, ValueError for a class or answer in it."""
        if callable(said):
            said = {BaseException: said}
        if not isinstance(said, Mapping):
            raise TypeError(f"on_error is a mapping of errors to answers, or a function, not {said!r}")
        self._by_class: dict[type[BaseException], Answer | Ask] = {}
        for errors, answer in said.items():
            if not callable(answer) or isinstance(answer, type):
                _check(answer)
            for kind in errors if isinstance(errors, tuple) else (errors,):
                self._add(kind, answer)
        self.retries = any(
            callable(answer) or answer == "retry" or isinstance(answer, Retry) for answer in self._by_class.values()
        )
        """Whether any answer may be a retry."""

    def _add(self, kind: object, answer: Answer | Ask) -> None:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise ValueError(f"on_error: {kind!r} is not a class of errors")
        if issubclass(kind, _NEVER_ASKED):
            raise ValueError(f"on_error: {kind.__name__} says itself what becomes of the job")
        if kind in self._by_class:
            raise ValueError(f"on_error: {kind.__name__} stands there twice")
        self._by_class[kind] = answer

    def answer(self, error: BaseException, job: CurrentJob) -> Answer | None:
        """What is to become of the job; None where the rules do not say.

        A function that fails, or gives no answer, decides nothing: the error gets a note of it.
        """
        rule = self._rule(error)
        if not callable(rule):
            return rule
        try:
            answer = rule(error, job)
            if answer is not None:
                _check(answer)
        except (KeyboardInterrupt, JobCancelled):
            raise
        except BaseException as broken:  # noqa: BLE001  the user's code: whatever it raises, the error itself still counts
            error.add_note(f"on_error failed and decided nothing: {type(broken).__name__}: {broken}{_place(broken)}")
            return None
        return answer

    def _rule(self, error: BaseException) -> Answer | Ask | None:
        return next((self._by_class[kind] for kind in type(error).__mro__ if kind in self._by_class), None)


def _check(answer: object) -> None:
    """Raises ValueError for what is no answer."""
    if answer == "snooze" or answer is Snooze:
        raise ValueError("on_error: a snooze has a time: write Snooze(30)")
    if not (isinstance(answer, Retry | Snooze | Discard) or (isinstance(answer, str) and answer in _WORDS)):
        words = ", ".join(map(repr, _WORDS))
        raise ValueError(f"on_error: an answer is {words}, Retry(in_=…), Snooze(…) or Discard(), not {answer!r}")


def _place(broken: BaseException) -> str:
    """Where the function failed: its last line."""
    frames = broken.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    if frames is None or frames.tb_frame.f_code.co_filename == __file__:
        return ""
    return f" ({frames.tb_frame.f_code.co_filename}, line {frames.tb_lineno})"
