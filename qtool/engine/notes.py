"""What people write down about a moment, for the charts: ``deploy 1.4``."""

from __future__ import annotations

from qtool.engine.rollup import HISTORY_KEEP
from qtool.errors import BadName

LONGEST = 200
"""Characters of a note: it stands beside a line in a chart."""

NOTES_KEEP = HISTORY_KEEP
"""Seconds: a note is forgotten with the history that it is about."""


def check_note(text: str) -> str:
    """The text of a note as it is stored: on one line, without blanks around it. Raises BadName.

    It has 1 to 200 characters; what a terminal would not print is made harmless where it is shown.
    """
    line = " ".join(text.split())
    why = ""
    if not line:
        why = "it is empty"
    elif "\0" in line:
        why = "it has a NUL in it"
    elif any(0xD800 <= ord(char) <= 0xDFFF for char in line):
        why = "it is not valid text (bytes that are not UTF-8)"
    elif len(line) > LONGEST:
        why = f"it has {len(line)} characters and the limit is {LONGEST}"
    if why:
        raise BadName(what="the note", name=f"{line[:20]}…" if len(line) > 20 else line, why=why)
    return line
