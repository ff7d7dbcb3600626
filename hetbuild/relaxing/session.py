"""A relaxation with its trajectory on disk, begun anew or taken up again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hetbuild.arrays import IntArray
from hetbuild.errors import InputError
from hetbuild.formats.files import refuse_existing
from hetbuild.formats.staging import Staging, claim
from hetbuild.model import Model
from hetbuild.relaxing import optimise, trajectory
from hetbuild.relaxing.calculators import Chosen
from hetbuild.relaxing.optimise import Frame, Settings
from hetbuild.relaxing.relaxation import provenance, relaxed


@dataclass
class Session:
    """One relaxation. `begin`, then take the frames, then ask for the relaxed model."""

    model: Model
    chosen: Chosen
    settings: Settings
    held: IntArray
    """Indices of atoms that stay where they are."""
    path: Path
    """The trajectory."""
    first: Frame | None = None
    last: Frame | None = None
    lowest: Frame | None = None
    """The frame of lowest energy so far."""
    _earlier: Sequence[Frame] = field(default_factory=tuple)
    _claim: Staging | None = None

    @property
    def identity(self) -> str:
        """What an earlier trajectory must carry to be gone on from."""
        return trajectory.identity(self.model, self.chosen.name, self.chosen.options, self.held)

    def begin(self, results: Sequence[Path], force: bool) -> int:
        """Read the trajectory of an earlier run, if any, and say at which step it stopped.

        results: files that the run will write; those of an earlier part of it may be there.
        force: begin anew whatever is there.

        Raises
        ------
        InputError
            The trajectory is of another relaxation, or results are in the way that are not its.
        """
        if force or not self.path.exists():
            refuse_existing(results, force)
            if force and self.path.exists():
                self._take()
            return 0
        self._take()
        past = trajectory.read(self.path, len(self.model))
        if past.frames and past.record.get("identity") != self.identity:
            was = past.record.get("calculator", "unknown")
            raise InputError(
                f"{self.path} is of another relaxation (calculator {was}; or another start, other "
                "options or other atoms held). Give another folder with -o, or begin anew with "
                "--force."
            )
        self._cut(past.size)
        self._earlier = past.frames
        for frame in past.frames:
            self._note(frame)
        return past.frames[-1].step if past.frames else 0

    def frames(self) -> Iterator[Frame]:
        """Every new frame, once it is in the file."""
        for frame in optimise.frames(
            self.model, self.chosen, self.settings, self.held, self._earlier
        ):
            record = None
            if self.first is None:
                record = {"identity": self.identity} | provenance(
                    self.chosen, self.settings, self.held
                )
            self._append(trajectory.text(self.model, frame, record))
            self._note(frame)
            yield frame

    def relaxed(self, *, best: bool = False) -> Model:
        """The model at the last frame, or at the one of lowest energy."""
        assert self.first is not None
        assert self.last is not None
        assert self.lowest is not None
        last = self.lowest if best else self.last
        return relaxed(self.model, self.chosen, self.settings, self.held, self.first, last)

    def close(self) -> None:
        """Let other processes have the trajectory."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def _take(self) -> Staging:
        """Make the trajectory this process's own: two that write in turn would spoil it."""
        if self._claim is None:
            self._claim = claim(self.path.parent, self.path.name)
        return self._claim

    def _note(self, frame: Frame) -> None:
        self.first = self.first or frame
        self.last = frame
        if self.lowest is None or frame.energy <= self.lowest.energy:
            self.lowest = frame

    def _append(self, text: str) -> None:
        """A whole frame or nothing; an old trajectory gives way when the first one stands."""
        folder = self.path.parent
        made = not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            waiting = self._take().new / self.path.name
            if self.first is None:
                _add(text, waiting)
                waiting.replace(self.path)
            else:
                _add(text, self.path)
        except OSError as error:
            self.close()
            if made:
                with suppress(OSError):
                    folder.rmdir()
            raise InputError(f"Cannot write {self.path}: {error.strerror}.") from None

    def _cut(self, size: int) -> None:
        """Drop a frame that a kill left half written."""
        if self.path.stat().st_size > size:
            with self.path.open("r+b") as stream:
                stream.truncate(size)


def _add(text: str, path: Path) -> None:
    """To the end of a file, whole or not at all."""
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except OSError:
        os.truncate(path, size)
        raise
