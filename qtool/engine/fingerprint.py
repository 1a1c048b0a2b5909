"""What makes two errors the same: their type, the place in the user's own code, and the message with its variable
parts folded. Pure, and of any text: it never raises, and its time grows with the length of the text and no faster.

::

    TimeoutError   shop/pay.py:charge   no answer from <url> within <n> s
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from qtool.engine.job import EXEC, HTTP

if TYPE_CHECKING:
    from qtool.engine.job import Failure, JobInfo

READ = 4_096
"""Characters of a message that are looked at; as much as a worker keeps."""
KEPT = 300
"""Characters of a folded message."""


class Fingerprint(NamedTuple):
    """Jobs that died of the same share one. A tuple: a table of errors is looked up a million times."""

    type: str
    """The exception's name; a command's with its exit code or signal."""
    place: str
    """``directory/file:function``; where no code was seen, the command's program or the task."""
    message: str


def fingerprint(job: JobInfo) -> Fingerprint:
    """What the job died of."""
    error = job.error
    if error is None:
        return Fingerprint("", job.task, "")
    return Fingerprint(_type(error), frame(error.traceback or "") or _origin(job), fold(error.message))


def _type(error: Failure) -> str:
    """An exit code and a signal are no variable parts."""
    if error.signal is not None:
        return f"{error.type} {error.signal}"
    return error.type if error.exit_code is None else f"{error.type} {error.exit_code}"


def _origin(job: JobInfo) -> str:
    words = [str(word) for word in job.args[:1]]
    if job.task == EXEC and words:
        program, *_ = words[0].split(maxsplit=1) or [""]
        return f"$ {_version(program.rpartition('/')[2])}"
    if job.task == HTTP and words:
        return f"{job.task} {words[0].partition('://')[2].partition('/')[0].rpartition('@')[2]}"
    return job.task


# --- the place -----------------------------------------------------------------------------------------

_FRAME = re.compile(r'^[ |]*+File "([^"\n]*+)", line \d++(?:, in ([^\n]*+))?+$', re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last)"
_FOREIGN = re.compile(
    r"[/\\](?:site|dist)-packages[/\\]|[/\\]lib(?:64)?[/\\]python[0-9.]++[/\\]|[/\\]Lib[/\\](?!site)|^<frozen "
    r"|[/\\]qtool[/\\]engine[/\\]"
)
_VERSION = re.compile(r"\d{4,}+|(?<![0-9a-zA-Z])(?=[a-f]*+\d)[0-9a-f]{7,}+(?![0-9a-zA-Z])")


def frame(traceback: str) -> str:
    """``directory/file:function`` of the innermost frame of the user's own code, or of any where none is; else empty.

    In a chain of errors the last one is what counts. Lines are left out: they move with every edit of the file.
    """
    start = max(0, traceback.rfind(_TRACEBACK))
    own = last = None
    for match in _FRAME.finditer(traceback, start):
        last = match
        if not _FOREIGN.search(match[1]):
            own = match
    found = own or last
    if found is None:
        return ""
    *_, directory, file = ["", *re.split(r"[/\\]", found[1])]
    where = f"{_version(directory)}/{file}" if directory else file
    return f"{where}:{found[2]}" if found[2] else where


def is_own(file: str) -> bool:
    """Whether a file in a traceback is the user's own code, not a library's, Python's or this program's."""
    return not _FOREIGN.search(file)


def _version(name: str) -> str:
    """A name without what a release writes into it: a date, a number, a commit."""
    return _VERSION.sub("<n>", name)


# --- the message ---------------------------------------------------------------------------------------

_HEX = "[0-9a-fA-F]"
# Every repetition is possessive or bounded, so that no text makes it search for long.
_VARIABLE = re.compile(
    rf"""
      (?P<url> (?<!\w) [a-zA-Z] [a-zA-Z0-9+.-]{{1,20}} :// [^\s'"<>]++ )
    | (?P<email> (?<![\w.+-]) [\w.+-]{{1,64}}+ @ [\w-]++ (?:\.[\w-]++)++ )
    | (?P<uuid> (?<![0-9a-fA-F]) {_HEX}{{8}} - (?:{_HEX}{{4}}-){{3}} {_HEX}{{12}} (?!{_HEX}) )
    | (?P<time>
          (?<!\d) \d{{4}}-\d\d-\d\d (?!\d)
          (?: [T ] \d\d:\d\d (?: :\d\d (?:[.,]\d++)?+ )?+ (?: [ ]?(?:Z|UTC|[+-]\d\d:?+\d\d) \b )?+ )?+
        | (?<![\w:]) \d\d?:\d\d:\d\d (?:[.,]\d++)?+ (?![\w:])
      )
    | (?P<ip>
          (?<![\w.]) \d{{1,3}} (?:\.\d{{1,3}}){{3}} (?: :\d{{1,5}} )?+ (?![\w.]*\w)
        | (?<![\w:]) (?={_HEX}*+:) (?: {_HEX}{{0,4}}: ){{3,7}} {_HEX}{{0,4}} (?![\w:])
        | (?<![\w:]) (?=[a-fA-F:]*+\d) {_HEX}{{0,4}} :: {_HEX}{{1,4}} (?![\w:])
      )
    | (?P<text> (?<!\w) (?: '[^']*+ (?: '(?!\w) | \Z ) | "[^"]*+ (?: "(?!\w) | \Z ) | `[^`]*+ (?: ` | \Z ) ) )
    | (?P<path>
          (?<![\w/.<>]) (?: ~ | \.{{1,2}}+ )?+ / [^\s'"<>|,;:()\[\]{{}}]++
        | (?<!\w) [A-Za-z]:\\ [^\s'"<>|,;:()\[\]{{}}]++
      )
    | (?P<n>
          0x {_HEX}++
        | (?<![0-9A-Za-z]) (?=\d*+[a-fA-F]) (?=[a-fA-F]*+\d) {_HEX}{{8,}}+ (?![0-9A-Za-z])
        | (?: (?<![\w.]) [-+] )?+ \d++ (?:[.,_]\d++)*+ (?: [eE][-+]?+\d++ )?+
      )
    """,
    re.VERBOSE,
)
_SEQUENCE = re.compile("(?:\x1b\\[|\x9b)[0-?]*+[@-~]")
"""Colours and the like, whose numbers are no words."""
_SEVERAL = re.compile(r"(<[a-z]+>)(?:[,;]?+ ?+\1)++")


def fold(message: str) -> str:
    """The message with numbers, ids, times, addresses, quoted texts, paths and URLs as ``<n>``, ``<uuid>``, ….

    On one line; several of a kind in a row are one, so that lists of different lengths are the same.
    """
    text = " ".join(_SEQUENCE.sub("", message[:READ]).split())
    folded = _VARIABLE.sub(lambda match: f"<{match.lastgroup}>", text)
    return _SEVERAL.sub(r"\1", folded)[:KEPT].rstrip()
