import errno
import os
import stat
import subprocess
import sys

import pytest
from conftest import ROOT

from src import files
from src.files import write_text, written_whole
from src.locks import HIDDEN, hidden_folder, locked, work_folder


def test_file_appears_whole_and_alone(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with written_whole(path) as temporary:
        temporary.write_text("x")
        assert temporary.suffix == ".txt"
        assert not path.exists()
    assert path.read_text() == "x"
    assert os.listdir(path.parent) == ["a.txt"]


def test_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="halfway"), written_whole(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("halfway")
    assert os.listdir(tmp_path) == ["a.txt"]
    assert path.read_text() == "old"


def test_errors_name_the_file_that_they_are_about(tmp_path):
    with pytest.raises(FileNotFoundError) as of_an_input, written_whole(tmp_path / "a.txt"):
        (tmp_path / "input.txt").read_bytes()
    assert of_an_input.value.filename == str(tmp_path / "input.txt")
    with pytest.raises(FileNotFoundError) as of_the_output, written_whole(tmp_path / "a.txt") as temporary:
        temporary.read_bytes()
    assert of_the_output.value.filename == str(tmp_path / "a.txt")
    with pytest.raises(OSError, match="a.data") as inner, written_whole(tmp_path / "a.index"), written_whole(tmp_path / "a.data"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert inner.value.filename == str(tmp_path / "a.data")


def test_interrupt_removes_the_temporary_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt), written_whole(tmp_path / "folder") as temporary:
        temporary.mkdir()
        (temporary / "part").write_text("x")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_hidden_folder_is_alone_and_removes_what_a_killed_process_left(tmp_path):
    made = tmp_path / "made"
    (made / f"{HIDDEN}killed" / "sub").mkdir(parents=True)
    mine = [".lock", f"{HIDDEN}file", f"{HIDDEN}link"]
    (made / mine[0]).touch()
    (made / mine[1]).touch()
    (made / mine[2]).symlink_to(tmp_path)
    with hidden_folder(made) as hidden:
        assert {path.name for path in made.iterdir()} == {hidden.name, f"{HIDDEN}lock", *mine}
        with pytest.raises(ValueError, match="another process writes there"), hidden_folder(made):
            pass
    assert {path.name for path in made.iterdir()} == set(mine)
    with pytest.raises(OSError, match=f"{tmp_path}/new/model.onnx"), hidden_folder(tmp_path / "new") as hidden:
        raise OSError(errno.ENOSPC, "No space left on device", str(hidden / "model.onnx"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_hidden_folder_cannot_be_where_something_else_is(kind, tmp_path):
    if kind == "file":
        (tmp_path / "a").touch()
    else:
        (tmp_path / "a").symlink_to(tmp_path / "absent")
    with pytest.raises(FileExistsError, match=f"{tmp_path}/a"), hidden_folder(tmp_path / "a"):
        pass


@pytest.mark.slow
def test_processes_in_turn_are_never_in_a_hidden_folder_together(tmp_path):
    code = """
import pathlib, sys, time
from src.locks import hidden_folder
folder, end = pathlib.Path(sys.argv[1]), time.time() + 2
while time.time() < end:
    try:
        with hidden_folder(folder / "made") as hidden:
            (folder / "inside").touch(exist_ok=False)  # raises where another one is inside
            assert hidden.is_dir()
            (folder / "inside").unlink()
    except ValueError as error:
        assert "another process" in str(error), error
"""
    processes = [subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(3)]
    assert [process.communicate()[1].decode() for process in processes] == [""] * 3
    assert not [path for path in tmp_path.rglob("*") if path != tmp_path / "made"]


def test_what_a_killed_process_left_unfinished_is_removed_under_the_lock(tmp_path):
    code = """
import os, pathlib, signal, sys
from src.files import written_whole
from src.locks import locked
folder = pathlib.Path(sys.argv[1])
with locked(folder), written_whole(folder / "ner-1_10.ckpt") as file, written_whole(folder / "rows") as rows:
    file.write_text("half")
    rows.mkdir()
    (rows / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT).returncode == -9
    assert len(os.listdir(tmp_path)) == 3
    others = [".hidden", ".hidden.txt", "1.ckpt", "a.1.ckpt", f"{HIDDEN}lock"]
    for name in others:
        (tmp_path / name).touch()
    with locked(tmp_path):
        assert sorted(os.listdir(tmp_path)) == sorted([".lock", *others])


def test_a_work_folder_is_removed_even_after_its_process_was_killed(tmp_path):
    target = tmp_path / "a.mindrecord"
    with work_folder(target) as mine:
        (mine / "part").write_text("x")
        (tmp_path / ".a.mindrecord.killed" / "files").mkdir(parents=True)
        (tmp_path / ".a.mindrecord.killed" / "lock").touch()
        (tmp_path / ".a.mindrecord.of a user").mkdir()
        (tmp_path / ".b.mindrecord.killed").mkdir()
        with work_folder(target) as other:
            assert other != mine and (mine / "part").is_file()
            assert not (tmp_path / ".a.mindrecord.killed").exists()
    assert sorted(os.listdir(tmp_path)) == [".a.mindrecord.of a user", ".b.mindrecord.killed"]


def test_folder_replaces_a_folder(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_text("x")
    with written_whole(path) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("y")
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(path) == ["new"]


def test_full_disk_is_told_with_the_name_of_the_target(tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / "a.txt", "x")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "a.txt")
    assert not list(tmp_path.iterdir())


def test_kind_of_error_is_kept(tmp_path):
    with pytest.raises(PermissionError) as caught, written_whole(tmp_path / "a.txt") as temporary:
        raise PermissionError(errno.EACCES, "no", str(temporary))
    assert caught.value.filename == str(tmp_path / "a.txt")


def test_text_is_written_as_it_is(tmp_path):
    write_text(tmp_path / "a.txt", "é\r\nx\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\r\nx\n".encode()


def test_a_device_is_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="is no ordinary file"):
        write_text(pipe, "text")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
