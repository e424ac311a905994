"""What a person sees while Patchbay runs: a line per step, a bar for a download, a table at the end."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table


class Screen:
    """Prints for people. A terminal that went away is no error: the servers go on."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._problems = Console(highlight=False, stderr=True) if console is None else console

    def done(self, text: str, seconds: float | None = None) -> None:
        """A step that is over."""
        took = f" [dim]({seconds:.1f} s)[/dim]" if seconds is not None else ""
        self._print(f"[green]✓[/green] {escape(text)}{took}")

    def notice(self, text: str) -> None:
        """Something a person should know, that does not stop us."""
        self._print(f"[yellow]![/yellow] {escape(text)}")

    def error(self, text: str) -> None:
        """The sentence we end with."""
        with contextlib.suppress(OSError):
            self._problems.print(f"[red]✗[/red] {escape(text)}", soft_wrap=True)

    def plain(self, text: str = "") -> None:
        """A line as it is."""
        self._print(escape(text))

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Show what is being done, and its line with the time it took when it is over."""
        began = time.monotonic()
        with self._console.status(escape(text)):
            yield
        self.done(text, time.monotonic() - began)

    @contextmanager
    def download(self, text: str) -> Iterator[Callable[[int, int], None]]:
        """A progress bar; yields what is to be told (bytes done, bytes in all). Nothing appears before the first."""
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        bar = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
        task = bar.add_task(escape(text), total=None)

        def progress(done: int, total: int) -> None:
            if not bar.live.is_started:
                bar.start()
            bar.update(task, completed=done, total=total)

        try:
            yield progress
        finally:
            if bar.live.is_started:
                bar.stop()

    @contextmanager
    def counted(self, text: str, total: int) -> Iterator[Callable[[int], None]]:
        """A progress bar over things that are counted; yields what is to be told how many are done."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(escape(text), total=total)
            yield lambda done: bar.update(task, completed=done)

    def properties(self, title: str, values: Mapping[str, str]) -> None:
        """A table of names and values."""
        self.table(title, ["", ""], [[name, value] for name, value in values.items()])

    def table(self, title: str, columns: list[str], rows: list[list[str]]) -> None:
        """A table; without a heading where all columns are unnamed."""
        table = Table(
            box=SIMPLE_HEAD if any(columns) else None,
            show_header=any(columns),
            padding=(0, 2),
        )
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        with contextlib.suppress(OSError):
            self._console.print(f"\n[bold]{escape(title)}[/bold]")
            self._console.print(table)

    def _print(self, markup: str) -> None:
        with contextlib.suppress(OSError):
            self._console.print(markup, soft_wrap=True)
