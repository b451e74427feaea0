"""What the system tells: programs, each with a few seconds to answer, and small files. Nothing here fails."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryFile

SECONDS = 3.0
"""Time that a program has; one that hangs is ended."""
LARGEST_ANSWER = 2**22
ROOT = Path("/")
"""Where the system's files lie."""


def answer(*command: str, any_exit: bool = False, seconds: float | None = None) -> str:
    """What a program prints; empty where it is missing, fails (unless `any_exit`) or does not come to an end."""
    tool = shutil.which(command[0])
    if tool is None:
        return ""
    with TemporaryFile() as printed:  # not a pipe, which children of a program that is ended would hold open
        try:
            running = subprocess.Popen(
                [tool, *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"LC_ALL": "C"},
                start_new_session=True,
            )
        except OSError:
            return ""
        try:
            code = running.wait(seconds or SECONDS)
        except subprocess.TimeoutExpired:
            _end(running)
            return ""
        printed.seek(0)
        text = printed.read(LARGEST_ANSWER).decode(errors="replace")
    return text if code == 0 or any_exit else ""


def _end(running: "subprocess.Popen[bytes]") -> None:
    """End a program and what it started."""
    try:
        os.killpg(running.pid, signal.SIGKILL)
    except (AttributeError, OSError):  # Windows has no groups
        running.kill()
    try:
        running.wait(SECONDS)
    except subprocess.TimeoutExpired:
        return


def told(path: str) -> str:
    """A file of the system by its path from the root; empty where there is none, or it may not be read."""
    try:
        with (ROOT / path.lstrip("/")).open("rb") as file:
            return file.read(LARGEST_ANSWER).decode(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def entries(folder: str, pattern: str) -> list[str]:
    """Paths of what lies in a folder of the system, sorted by the numbers in their names."""
    try:
        found = [f"{folder}/{path.name}" for path in (ROOT / folder.lstrip("/")).glob(pattern)]
    except OSError:
        return []
    return sorted(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path)])


def integer(text: str, base: int = 10) -> int | None:
    """A whole number above 0; None for anything else."""
    try:
        return max(int(text.strip(), base), 0) or None
    except ValueError:
        return None
