"""The short way to ``qtool enqueue``.

Importing Typer costs more than enqueueing a job. :func:`read_fast` reads the plain uses of ``enqueue`` from the table
of its options; whatever is not plain it leaves to Typer, which knows better, or says what is wrong. A test holds the
table against the parameters of the Typer command.
"""

from __future__ import annotations

from qtool.intake.options import CHOICES, DASHES, FLAGS, MANY, TEXT, EnqueueOptions


def read_fast(arguments: list[str]) -> EnqueueOptions | None:
    """The options in ``arguments`` (those after ``enqueue``), or None where Typer should read them."""
    said: dict[str, str | bool] = {}
    many: dict[str, list[str]] = {"env": [], "tag": []}
    words: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            words += [DASHES, *rest]
        elif word[:1] != "-" or word == "-":
            words.append(word)
        elif word in FLAGS:
            said[FLAGS[word]] = True
        else:
            name, value = _split(word)
            if value is None:
                value = next(rest, None)
            if value is None or value == "--":
                return None
            if name in MANY:
                many[MANY[name]].append(value)
            elif name in TEXT and value in CHOICES.get(TEXT[name], (value,)):
                said[TEXT[name]] = value
            else:
                return None
    return EnqueueOptions(words=tuple(words), env=tuple(many["env"]), tag=tuple(many["tag"]), **said)  # type: ignore[arg-type]  # the tables say which are flags


def _split(word: str) -> tuple[str, str | None]:
    """Option and value of ``--queue=demo``, ``-Qdemo``, ``--queue`` or ``-Q``."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    return word[:2], word[2:] or None


def try_fast(arguments: list[str]) -> int | None:
    """Run ``qtool enqueue …`` without Typer: its exit code, or None where Typer should read the arguments."""
    options = read_fast(arguments[1:])
    if options is None:
        return None
    from qtool.intake.run import run

    return run(options)
