"""The folder in which a set of files waits until all of it can appear at once.

It lies in the folder that receives the files, is called ``.hetbuild-NAME``, and belongs to the
process that holds a lock on the file ``owner`` in it. What a killed process leaves is told from
what a living one needs by that lock, which ends with its process:

``new/``
    files being written; of a dead process they are removed.
``commit/``
    all files, complete and on disk, being moved to their places; of a dead process the move is
    completed, so that the set is never mixed for whoever comes next.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from hetbuild.errors import InputError

PREFIX = ".hetbuild-"
OWNER, NEW, COMMIT, OLD = "owner", "new", "commit", "old"
STOPS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that ask a process to end."""


class Staging:
    """A folder claimed by this process, until `release`."""

    def __init__(self, folder: Path, handle: int) -> None:
        self.folder = folder
        self._handle: int | None = handle
        _LIVE.add(self)

    @property
    def new(self) -> Path:
        """Where files are written, by their path from the folder that receives them."""
        return self.folder / NEW

    def place(self) -> None:
        """Let everything in `new` appear, all or nothing; a signal waits until it stands.

        Raises
        ------
        OSError
            It cannot; what was there before is there again.
        """
        anchor = self.folder.parent
        tops = list(self.new.iterdir())
        with undisturbed():
            for folder in {p.parent for p in _files(self.new)} | {self.new}:
                _to_disk(folder)
            if len(tops) == 1 and (tops[0].is_file() or not (anchor / tops[0].name).exists()):
                tops[0].replace(anchor / tops[0].name)
            else:
                self.new.rename(self.folder / COMMIT)
                _to_disk(self.folder)
                _move(self.folder)
            _to_disk(anchor)

    def release(self) -> None:
        """Give the folder up; whatever still waits in it is gone."""
        with undisturbed():
            _LIVE.discard(self)
            if self._handle is not None:
                handle, self._handle = self._handle, None
                _remove(self.folder)
                os.close(handle)


_LIVE: set[Staging] = set()


def release_all() -> None:
    """For the end of a process: nothing it claimed stays."""
    for staging in list(_LIVE):
        staging.release()


def claim(anchor: Path, name: str) -> Staging:
    """The staging folder of this name in `anchor`, cleared of what killed processes left.

    Raises
    ------
    InputError
        Another process has it.
    OSError
        It cannot be made.
    """
    if len(name) > 100:
        name = f"{name[:60]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}"
    recover(anchor)
    folder = anchor / f"{PREFIX}{name}"
    with undisturbed():
        handle = _locked(folder, make=True)
        if handle is None:
            raise InputError(
                f"Another hetbuild{_process(folder)} is writing there: wait until it is done, or "
                "give another place with -o."
            )
        staging = Staging(folder, handle)
        try:
            os.truncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
            for rest in (NEW, COMMIT, OLD):
                shutil.rmtree(folder / rest, ignore_errors=True)
            staging.new.mkdir()
        except OSError:  # as on a full disk
            staging.release()
            raise
    return staging


def recover(anchor: Path) -> None:
    """Complete what killed processes had begun to put in place in a folder, remove the rest.

    Raises
    ------
    InputError
        Files of a set are in place, others are not, and this process may not move them.
    """
    try:
        found = [Path(e.path) for e in os.scandir(anchor) if e.name.startswith(PREFIX)]
    except (OSError, ValueError):
        return
    for folder in found:
        if folder.is_symlink() or not folder.is_dir() or not _is_ours(folder):
            continue
        with undisturbed():
            try:
                handle = _locked(folder, make=False)
            except OSError:
                handle = None
            if handle is None:  # in use, or not for us to touch
                continue
            try:
                if (folder / COMMIT).is_dir():
                    _move(folder)
                _remove(folder)
            except OSError as error:
                raise InputError(
                    f"A hetbuild that was killed left files half in place in {anchor}, and they "
                    f"cannot be completed: {error.strerror} ({error.filename}). Run hetbuild there "
                    "as a user who may write."
                ) from None
            finally:
                os.close(handle)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let signals that ask to end wait until the block is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        waiting.append(number)

    before = {s: signal.getsignal(s) for s in STOPS}
    for s in STOPS:
        signal.signal(s, note)
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, signal.SIG_DFL if handler is None else handler)
        if waiting:
            signal.raise_signal(waiting[0])


def _locked(folder: Path, *, make: bool) -> int | None:
    """A handle with the lock on a staging folder's owner file; None where another has it."""
    for attempt in range(100):
        try:
            if make:
                folder.mkdir(exist_ok=True)
            handle = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            if not make:
                return None
            if attempt < 99:
                continue  # removed by its owner a moment ago
            raise  # as in /proc
        except OSError:
            if make:
                with suppress(OSError):
                    folder.rmdir()
            raise
        if not _lock(handle):
            os.close(handle)
            return None
        with suppress(OSError):
            if os.path.samestat(os.fstat(handle), os.stat(folder / OWNER)):
                return handle
        os.close(handle)
    return None


def _lock(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # nor on some network file systems
        return True
    return True


def _process(folder: Path) -> str:
    try:
        return f" (process {int((folder / OWNER).read_text())})"
    except (OSError, ValueError):
        return ""


def _is_ours(folder: Path) -> bool:
    """Nobody else's folder that happens to be called like one of ours."""
    try:
        return set(os.listdir(folder)) <= {OWNER, NEW, COMMIT, OLD}
    except OSError:
        return False


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() or p.is_symlink())


def _move(folder: Path) -> None:
    """Files of `commit` to their places; where one cannot go, all are as before."""
    anchor, commit, old = folder.parent, folder / COMMIT, folder / OLD
    done: list[tuple[Path, Path]] = []
    try:
        for path in _files(commit):
            target, kept = (base / path.relative_to(commit) for base in (anchor, old))
            for parent in (target.parent, kept.parent):
                parent.mkdir(parents=True, exist_ok=True)
            if not target.parent.resolve().is_relative_to(anchor.resolve()):
                raise OSError(1, "a link leads out of the folder", str(target.parent))
            if target.exists():
                _copy(target, kept)
            done.append((target, kept))
            path.replace(target)
        for parent in {target.parent for target, _ in done}:
            _to_disk(parent)
    except OSError:
        for target, kept in done:
            with suppress(OSError):
                if kept.exists():
                    kept.replace(target)
                else:
                    target.unlink()
        shutil.rmtree(commit, ignore_errors=True)
        raise


def _copy(path: Path, to: Path) -> None:
    """A second name for a file, or a copy where the file system knows no second names."""
    to.unlink(missing_ok=True)
    try:
        os.link(path, to)
    except OSError:
        shutil.copy2(path, to)


def _remove(folder: Path) -> None:
    for name in (NEW, COMMIT, OLD):
        shutil.rmtree(folder / name, ignore_errors=True)
    with suppress(OSError):
        (folder / OWNER).unlink(missing_ok=True)
        folder.rmdir()


def _to_disk(folder: Path) -> None:
    """Names in a folder are on disk before anything relies on them."""
    with suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
