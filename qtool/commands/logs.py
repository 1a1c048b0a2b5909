"""``qtool logs``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from qtool.engine.job import Chunk
from qtool.errors import UsageError
from qtool.options import Common, JobId
from qtool.output import Format, Output
from qtool.views.ends import CHUNKS, ChunkRow

ROW = ChunkRow
EXAMPLES = """
qtool logs 019ab3c2-7f10-7000
qtool logs -f 019ab3c2-7f10-7000
qtool logs --stderr --attempt 1 019ab3c2-7f10-7000 | grep -i error
"""


def command(
    common: Common,
    id: JobId,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Wait for more until the job has ended.")] = False,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, help="Which attempt; the last by default.")] = None,
    stdout: Annotated[bool, typer.Option("--stdout", help="Only standard output.")] = False,
    stderr: Annotated[bool, typer.Option("--stderr", help="Only standard error.")] = False,
) -> None:
    """What a job wrote.

    In a pipe the bytes come as they are. On a terminal control sequences are taken out, colours are kept. With -o json
    or jsonl every piece says its stream and offset. Of long output the beginning and the end are kept.
    """
    from qtool.acting import resolve
    from qtool.engine.follow import follow_output

    if common.output not in (None, Format.JSON, Format.JSONL):
        raise UsageError(why="Output is not a table: leave -o out for the bytes, or use -o json or jsonl.")
    streams = {name for name, said in (("stdout", stdout), ("stderr", stderr)) if said}
    out = common.out()
    with common.adapter() as adapter:
        (full,) = resolve(adapter.inspector, [id])
        if follow:
            chunks = follow_output(adapter, full, attempt=attempt)
        else:
            chunks = (chunk for chunk in adapter.results.output(full, attempt=attempt))
        if common.output is None:
            _print(out, chunks, streams)
        else:
            out.rows(CHUNKS, (_row(chunk, attempt) for chunk in chunks if not streams or chunk.stream in streams))


def _row(chunk: Chunk, attempt: int | None) -> ChunkRow:
    text = chunk.data.decode("utf-8", "surrogateescape")
    return ChunkRow(attempt=attempt, stream=chunk.stream, offset=chunk.offset, text=text)


def _print(out: Output, chunks: Iterator[Chunk], streams: set[str]) -> None:
    """Bytes to stdout; a note where some were dropped."""
    from qtool.output import TerminalText

    screens: dict[str, TerminalText] = {}
    expected = 0
    seen = False
    for chunk in chunks:
        seen = True
        if chunk.offset > expected:
            out.note(f"{chunk.offset - expected:,} bytes were dropped here")
        expected = max(expected, chunk.offset + len(chunk.data))
        if streams and chunk.stream not in streams:
            continue
        if out.terminal:
            out.write(screens.setdefault(chunk.stream, TerminalText()).feed(chunk.data))
        else:
            out.write_bytes(chunk.data)
        out.flush()
    out.write("".join(screen.end() for screen in screens.values()))
    if not seen:
        out.note("nothing was written")
