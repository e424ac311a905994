"""Installs a lock file into the virtual environment that runs this, with one bar: `python deploy/local/install.py FILE`.

Uses the standard library only: when it runs, nothing else is installed yet.
"""

import platform
import re
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

_PIP = ["-m", "pip", "--disable-pip-version-check", "install", "--require-hashes", "--only-binary", ":all:"]
_BEGINS = re.compile(r"(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)")


def package_of(line: str) -> str | None:
    """The package that a line of pip's output begins with, if it begins with one."""
    found = _BEGINS.match(line)
    return found[1] if found else None


def bar(done: int, total: int, width: int = 30) -> str:
    """`████░░░░ 12/34`."""
    full = width * min(done, total) // max(1, total)
    return "█" * full + "░" * (width - full) + f" {min(done, total)}/{total}"


def explain(output: str, lock: str) -> str:
    """One sentence for why pip failed and what to do, from what it printed."""
    if "No space left on device" in output:
        return "The disk is full: free about 1 GB (.venv and pip's cache) and start again."
    if re.search(r"Failed to establish|NewConnectionError|NameResolution|ProxyError|ConnectTimeout|ReadTimeout", output):
        return (
            "Packages could not be downloaded: connect this machine to the network (or set HTTPS_PROXY) "
            "and start again; only the first start needs it."
        )
    if "DO NOT MATCH THE HASHES" in output:
        return f"A downloaded package is not the one pinned in {lock}: start again; if it stays so, a proxy changes files."
    if missing := re.search(r"No matching distribution found for ([^\s(]+)", output):
        machine = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
        return (
            f"There is no ready-built {missing[1]} for {machine}: use Linux (glibc) or macOS on x86-64 or arm64, "
            "with a current CPython from 3.11 on (make PYTHON=python3.12 …)."
        )
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "no output")
    return f"pip failed ({last[:300]}): put right what it names, or `make clean` and start again."


def install(lock: Path) -> int:
    """Run pip; print a bar on a terminal, nothing elsewhere; the exit code."""
    total = len(re.findall(r"^[A-Za-z0-9._-]+(?:\[\S+\])?==", lock.read_text(encoding="utf-8"), re.MULTILINE))
    tail: deque[str] = deque(maxlen=60)
    command = [sys.executable, *_PIP, "--progress-bar", "off", "-r", str(lock)]
    done = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as pip:
        for line in pip.stdout or ():
            tail.append(line)
            name = package_of(line)
            done += name is not None
            if name is not None:
                _show(f"{bar(done, total)} {name}")
            elif line.startswith("Installing collected packages"):
                _show(f"{bar(total, total)} unpacking …")
    _show("")
    if pip.returncode != 0:
        print(f"✗ {explain(''.join(tail), lock.name)}", file=sys.stderr)
    return 1 if pip.returncode else 0


def _show(text: str) -> None:
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        print("\r\033[K" + text[:width], end="", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(install(Path(sys.argv[1])))
    except KeyboardInterrupt:
        sys.exit(130)
