"""How the parts of a job look: each a line of text for so many cells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.text import Text

from qtool.engine.times import format_duration
from qtool.output import clean
from qtool.tui.detail import LONGEST_TRACEBACK, Fact
from qtool.tui.runs import Bar
from qtool.tui.tail import LogLine
from qtool.tui.tree import PREVIEW, Branch, preview
from qtool.views.text import STYLES, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtool.views.jobs import Error

Item = Branch | LogLine | Fact | Bar | Text

_LABEL = 10
_FOLDS = {"open": "▾ ", "shut": "▸ ", "more": "… ", "": "  "}
_STREAMS = {"stdout": " ", "stderr": "!", "log": "·", "gap": "…"}
"""What stands before a line of output, so that its stream is told without colour too."""


def draw(item: Item, width: int) -> Text:
    """Any of them. A text stands for itself."""
    if isinstance(item, Branch):
        return branch_text(item)
    if isinstance(item, LogLine):
        return log_text(item)
    if isinstance(item, Fact):
        return fact_text(item)
    if isinstance(item, Bar):
        return bar_text(item, width)
    return item.copy()


def plain(item: Item) -> str:
    """What a search in it looks in."""
    if isinstance(item, Branch):
        return f"{item.label} {preview(item.value)}"
    if isinstance(item, Fact):
        return f"{item.label} {item.value}"
    if isinstance(item, Bar):
        return f"{item.run.number} {item.run.how} {item.run.worker} {item.run.error}"
    return item.plain


def fact_text(fact: Fact) -> Text:
    value = clean(fact.value)
    style = STYLES.get(fact.value.partition(" ")[0], "") if fact.label == "state" else ""
    if fact.job is not None:
        return Text.assemble((f"{fact.label:<{_LABEL}}", "dim"), (value, "underline"), ("  enter opens it", "dim"))
    return Text.assemble((f"{fact.label:<{_LABEL}}", "dim"), (value, style))


def branch_text(branch: Branch) -> Text:
    indent = "  " * branch.depth + _FOLDS[branch.fold]
    if branch.fold == "more":
        return Text.assemble(indent, (f"{branch.rest:,} more: enter shows some of them", "dim italic"))
    label = (f"{clean(branch.label)}", "bold" if branch.fold else "cyan")
    if branch.fold:
        count = len(branch.value)
        mark = f"{{{count:,}}}" if isinstance(branch.value, dict) else f"[{count:,}]"
        shown = f"  {clean(preview(branch.value))}" if branch.fold == "shut" else ""
        return Text.assemble(indent, label, " ", (mark, "dim"), (shown, "dim"))
    return Text.assemble(indent, label, ": ", _scalar(branch.value))


def _scalar(value: Any) -> tuple[str, str]:
    if isinstance(value, str):
        more = f"  … {len(value):,} characters, y copies all" if len(value) > 10 * PREVIEW else ""
        return clean(json.dumps(value[: 10 * PREVIEW], ensure_ascii=False)) + more, "green"
    if value is None or isinstance(value, bool):
        return json.dumps(value), "magenta"
    return clean(json.dumps(value, ensure_ascii=False, default=str)), "blue" if isinstance(value, int | float) else ""


def log_text(line: LogLine) -> Text:
    mark = f"{_STREAMS.get(line.stream, '?')} "
    if line.stream == "gap":
        return Text(mark + clean(line.text), "dim italic")
    text = (
        Text.from_ansi(line.text.expandtabs(8), no_wrap=True) if "\x1b" in line.text else Text(line.text.expandtabs(8))
    )
    return Text.assemble((mark, "dim"), text)


def bar_text(bar: Bar, width: int) -> Text:
    """A start of the job on a line of time."""
    run, cells = bar.run, max(10, min(60, width // 3))
    first, stop = bar.cells(cells)
    style = STYLES.get(run.state, "")
    return Text.assemble(
        (f"{run.number:>3} ", "bold"),
        ("·" * first, "dim"),
        ("█" * (stop - first), style),
        ("·" * (cells - stop), "dim"),
        f" {format_duration(bar.seconds):>6} ",
        (f"{run.how:<10} ", style),
        clean(run.error),
        (f"  {short(run.worker)}" if run.worker else "", "dim"),
    )


def progress_bar(progress: float | None, cells: int) -> str:
    """How far it is, as its code tells."""
    if progress is None:
        return ""
    full = round(max(0.0, min(progress, 1.0)) * cells)
    return f"{'█' * full}{'░' * (cells - full)} {100 * progress:.0f} %  "


def error_lines(error: Error) -> Sequence[Text]:
    """What went wrong, a line each, in colours. Loads a highlighter: not for the thread that draws."""
    head = Text(clean(str(error)), "bold red")
    if not error.traceback:
        return [head]
    from rich.syntax import Syntax

    text = error.traceback[-LONGEST_TRACEBACK:].rstrip("\n")
    code = "\n".join(clean(line) for line in text.split("\n"))
    return [head, Text(), *Syntax(code, "pytb", theme="ansi_dark").highlight(code).split("\n")]
