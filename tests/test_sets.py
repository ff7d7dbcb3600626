"""The files of a run appear together or not at all, whatever ends it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import pytest
from conftest import called

from hetbuild.errors import InputError
from hetbuild.formats import staging
from hetbuild.formats.files import reserve, write_all

SET = {f"{n}.txt": f"{n}" for n in range(4)} | {"stages/5.txt": "5"}


def writers(folder: Path, mark: str) -> dict[Path, Callable[[TextIO], None]]:
    def write(text: str, stream: TextIO) -> None:
        stream.write(text)

    return {folder / name: partial(write, f"{text} {mark}") for name, text in SET.items()}


def marks(folder: Path) -> set[str]:
    """Which sets the files there belong to."""
    return {(folder / n).read_text().split()[1] if (folder / n).exists() else "-" for n in SET}


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(f"{staging.PREFIX}*"))


def test_a_set_replaces_a_set(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    for force, mark in ((False, "one"), (True, "two")):
        write_all(writers(folder, mark), force)
        assert marks(folder) == {mark}
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("nth", range(1, 8))
def test_a_failure_anywhere_leaves_the_old_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: bool, nth: int
) -> None:
    folder = tmp_path / "set"
    if not fresh:
        write_all(writers(folder, "old"), force=False)
    real, calls = Path.replace, [0]

    def replace(self: Path, target: Path) -> Path:
        calls[0] += 1
        if calls[0] == nth:
            raise OSError(5, "Input/output error")
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        if nth > (1 if fresh else len(SET)):
            write_all(writers(folder, "new"), force=True)
            assert marks(folder) == {"new"}
            return
        with pytest.raises(InputError, match="Cannot write"):
            write_all(writers(folder, "new"), force=True)
    assert marks(folder) == {"-" if fresh else "old"}
    assert not leftovers(tmp_path)
    assert folder.exists() is not fresh


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize(("where", "name"), [(os, "open"), (os, "write"), (Path, "mkdir")])
def test_a_disk_full_from_the_start_gets_no_hidden_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, fresh: bool
) -> None:
    """The first file of a run is that with the number of its process."""
    folder = tmp_path / "set"
    if not fresh:
        write_all(writers(folder, "old"), force=False)
    real = getattr(where, name)

    def full(what: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(what, int) or str(what).endswith(("owner", "new")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(what, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(where, name, full)
        with pytest.raises(InputError, match=r"Cannot write in .*: No space left"):
            write_all(writers(folder, "new"), force=True)
    assert not leftovers(tmp_path)
    assert folder.exists() is not fresh
    assert marks(folder) == {"-" if fresh else "old"}


CHILD = """
import os, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_sets import writers
from hetbuild.formats.files import write_all
real, calls = os.rename if {fresh} else os.replace, [0]
def stop(a, b, **k):
    calls[0] += 1
    if calls[0] == {nth}:
        os.kill(os.getpid(), 9)
    return real(a, b, **k)
os.rename = os.replace = stop
write_all(writers(Path({folder!r}), "new"), force=True)
"""


@pytest.mark.parametrize("nth", [1, 2, 4])
def test_the_next_run_completes_or_clears_what_a_kill_left(tmp_path: Path, nth: int) -> None:
    """Killed before the set is committed the old one stays; after it the new one stands."""
    folder = tmp_path / "set"
    write_all(writers(folder, "old"), force=False)
    code = CHILD.format(tests=str(Path(__file__).parent), fresh=False, nth=nth, folder=str(folder))
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert leftovers(folder)
    assert len(marks(folder)) == (1 if nth < 3 else 2)
    staging.recover(folder)
    assert marks(folder) == ({"old"} if nth == 1 else {"new"})
    assert not leftovers(folder)


def test_reading_a_model_completes_its_set(tmp_path: Path) -> None:
    called("carve", "PbS", "--radius", "6", "-o", "m.xyz", cwd=tmp_path)
    waiting = tmp_path / f"{staging.PREFIX}folder"
    (waiting / staging.COMMIT).mkdir(parents=True)
    (tmp_path / "m.xyz").rename(waiting / staging.COMMIT / "m.xyz")
    done = called("inspect", "m.xyz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not leftovers(tmp_path)


def test_a_set_from_a_stranger_is_not_led_out_of_its_folder(tmp_path: Path) -> None:
    """An unpacked archive may bring such a folder, and links."""
    folder = tmp_path / "set"
    inside = folder / f"{staging.PREFIX}folder" / staging.COMMIT / "link"
    inside.mkdir(parents=True)
    (inside / "PWNED").write_text("")
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="half in place"):
        staging.recover(folder)
    assert not (tmp_path / "PWNED").exists()


def test_folders_of_others_stay(tmp_path: Path) -> None:
    other = tmp_path / f"{staging.PREFIX}notes" / "mine"
    other.mkdir(parents=True)
    write_all(writers(tmp_path, "x"), force=False)
    assert other.is_dir()


def test_the_second_into_one_folder_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "new", tmp_path):
        with reserve(list(writers(folder, "one")), force=True) as write:
            with pytest.raises(InputError, match=rf"Another hetbuild \(process {os.getpid()}\)"):
                write_all(writers(folder, "two"), force=True)
            write_all({tmp_path / "single.txt": lambda s: None}, force=True)  # another place
            write(writers(folder, "one"))
        assert marks(folder) == {"one"}
    assert not leftovers(tmp_path)


def test_a_stale_lock_is_noticed(tmp_path: Path) -> None:
    left = tmp_path / f"{staging.PREFIX}folder"
    (left / staging.NEW).mkdir(parents=True)
    (left / staging.OWNER).write_text("1\n")  # a living process, which does not hold the lock
    write_all(writers(tmp_path, "x"), force=False)
    assert not leftovers(tmp_path)


@pytest.mark.parametrize(
    "words", [["carve", "PbS", "--radius", "6"], ["export", "PbS", "--to", "cif"]]
)
def test_a_folder_or_device_is_never_overwritten(tmp_path: Path, words: list[str]) -> None:
    ending = ".cif" if "cif" in words else ".xyz"
    (tmp_path / f"sub{ending}").mkdir()
    (tmp_path / f"null{ending}").symlink_to("/dev/null")
    for name in (f"null{ending}", f"sub{ending}"):
        if words[0] == "export" and name.startswith("sub"):
            continue  # export writes into a folder
        done = called(*words, "-o", name, "--force", cwd=tmp_path)
        assert done.returncode == 2
        assert "a folder or device is in the way" in done.stderr
    assert not leftovers(tmp_path)


def test_force_onto_a_folder_writes_nothing_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "cspbcl3-cube-1"
    (folder / "cspbcl3-cube-1.vesta").mkdir(parents=True)
    done = called("build", "cspbcl3-cube-1", "--force", cwd=tmp_path)
    assert done.returncode == 2
    assert "cspbcl3-cube-1.vesta: a folder or device is in the way" in done.stderr
    assert [p.name for p in folder.iterdir()] == ["cspbcl3-cube-1.vesta"]


@pytest.mark.parametrize(
    ("words", "ending"),
    [
        (["carve", "PbS", "--radius", "6", "-o", "q.cif"], ".xyz or .extxyz"),
        (["export", "PbS", "--to", "cif", "-o", "q.vesta"], ".cif"),
        (["export", "m.xyz", "--to", "cif", "-o", "q.vesta"], ".cif"),
        (["export", "m.xyz", "--to", "xyz", "-o", "q"], ".xyz or .extxyz"),
        (["export", "m.xyz", "--to", "poscar", "-o", "q.xyz"], ".poscar or .vasp or POSCAR"),
    ],
)
def test_ending_and_format_agree(tmp_path: Path, words: list[str], ending: str) -> None:
    called("carve", "PbS", "--radius", "6", "-o", "m.xyz", cwd=tmp_path)
    done = called(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert f"files end in {ending}: programs go by" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["m.xyz"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("ready", [True, False])
def test_signals_clean_up(tmp_path: Path, number: signal.Signals, code: int, ready: bool) -> None:
    """Stopped at work, and while files are written."""
    place = "hetbuild.formats.cif.write_cif" if ready else "hetbuild.recipe.run.balance"
    module, _, name = place.rpartition(".")
    source = (
        f"import time, sys, {module}, hetbuild.recipe.output, hetbuild.cli\n"
        "def stay(*a, **k): print('here', flush=True); time.sleep(60)\n"
        f"{module}.{name} = hetbuild.recipe.output.{name} = stay\n"
        "hetbuild.cli.main()"
    )
    words = [sys.executable, "-c", source, "build", "cspbcl3-cube-1"]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        # A shell lets what runs in its background ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        assert leftovers(tmp_path)
        process.send_signal(number)
        assert process.wait(20) == code
    assert not list(tmp_path.iterdir())


def test_signals_wait_until_a_set_stands() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda n, f: seen.append(n))
    try:
        with staging.undisturbed(), staging.undisturbed():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            assert not seen
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


BREAKS = """
import time
class Slow:
    def __set_name__(self, owner, name):
        print("reading", flush=True)
        time.sleep(60)
class Owner:
    slow = Slow()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["click", "pydantic"])
def test_a_signal_while_libraries_are_read(
    tmp_path: Path, number: signal.Signals, module: str
) -> None:
    """click is read before the handlers of a run are there, pydantic by the run."""
    (tmp_path / f"{module}.py").write_text(BREAKS)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-m", "hetbuild", "build", "cspbcl3-cube-1", "-q"], cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said.strip()) == (128 + number, "")
    assert [p.name for p in tmp_path.iterdir() if p.name != "__pycache__"] == [f"{module}.py"]


def test_a_full_disk_and_a_closed_pipe_are_no_traceback(tmp_path: Path) -> None:
    code = "from hetbuild.cli import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, "planes", "PbS", "1", "0", "0"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "hetbuild: Cannot write the output: No space left on device.\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("closed", "words", "code"),
    [
        (">&-", "build cspbcl3-cube-1 -q", 0),
        (">&-", "recipes", 0),
        (">&-", "inspect none.xyz", 2),
        ("2>&-", "inspect none.xyz", 2),
        ("<&- >&- 2>&-", "build cspbcl3-cube-1 -o all", 0),
    ],
)
def test_streams_that_are_closed(tmp_path: Path, closed: str, words: str, code: int) -> None:
    """Files must not get the number of stdout: the next thing printed would go into them."""
    line = f"'{sys.executable}' -m hetbuild {words} {closed}"
    done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr in (b"", b"hetbuild: There is no file none.xyz.\n")
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) == 5 * words.startswith("build")
    assert all(p.stat().st_size for p in files)


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"rmdir '{gone}'; '{sys.executable}' -m hetbuild build cspbcl3-cube-1"
    done = subprocess.run(line, shell=True, cwd=gone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the folder you work in has been removed. Go to another with cd" in done.stderr


def test_links_in_the_place_of_a_file(tmp_path: Path) -> None:
    """What they lead to stays, and one that leads nowhere is in the way as any file is."""
    target, link, loose = (tmp_path / name for name in ("target", "link", "loose"))
    target.write_text("old")
    link.symlink_to(target)
    loose.symlink_to(tmp_path / "none")
    for path in (link, loose):
        with pytest.raises(InputError, match="Use --force to overwrite"):
            write_all({path: lambda s: print("new", file=s)}, force=False)
        assert path.is_symlink()
        write_all({path: lambda s: print("new", file=s)}, force=True)
        assert not path.is_symlink()
        assert path.read_text() == "new\n"
    assert target.read_text() == "old"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("words", ["build cspbcl3-cube-1", "carve PbS --radius 6"])
def test_an_empty_path_is_no_place(tmp_path: Path, words: str) -> None:
    """As of a variable that is not set: the files went into the working folder."""
    done = called(*words.split(), "-o", "", cwd=tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "it is empty; give a path, as ." in done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8:strict"])
def test_streams_of_any_encoding(tmp_path: Path, encoding: str) -> None:
    """As of a pipe on Windows, or of a path that is no text: JSON that is read back."""
    name = os.fsdecode(b"no\xfftext.cif")
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("the file system takes texts only")
    (tmp_path / name).unlink()
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    for words, code in (
        (["crystals"], 0),
        (["schema"], 0),
        (["export", "PbS", "--to", "cif", "-o", name], 0),
        (["inspect", name + "\u03b2"], 2),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "hetbuild", *words], cwd=tmp_path, env=environment,
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
        if words[0] == "crystals":
            assert ("\u03b2".encode() if "utf" in encoding else b"\\u03b2") in done.stdout
        if words[0] == "schema":
            assert "Å" in str(json.loads(done.stdout.decode(encoding.partition(":")[0])))
        if words[0] == "export":
            assert done.stdout == b"no\xfftext.cif\n"
