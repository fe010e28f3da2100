"""The spool: in order, bounded, and there after a restart, whatever the end was like."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from framepilot_app.sinks.spool import Spool, SpoolError
from support.eventually import eventually
from support.sink_double import numbered

ROOMY = 1 << 20


def read_all(spool):
    lines = []
    while True:
        some, mark = spool.read(3, 1 << 20)
        if not some:
            return lines
        lines += some
        spool.advance(mark, len(some))


def test_events_come_back_in_order_across_segments(tmp_path):
    spool = Spool(tmp_path, 3200)
    for index in range(100):
        spool.append(numbered(1, start=index))
    assert spool.count == 100
    assert len([*tmp_path.glob("*.events")]) > 3
    assert read_all(spool) == numbered(100)
    assert (spool.count, spool.fill) == (0, 0)
    assert not [*tmp_path.glob("*.events")]


def test_what_is_not_delivered_is_there_after_a_restart_and_what_is_does_not_come_again(tmp_path):
    spool = Spool(tmp_path, ROOMY)
    spool.append(numbered(10))
    _, mark = spool.read(4, 1000)
    assert spool.advance(mark, 3) == 3
    spool.close()
    again = Spool(tmp_path, ROOMY)
    assert again.count == 7
    again.append(numbered(2, start=10))
    assert read_all(again) == numbered(9, start=3)
    again.close()
    assert Spool(tmp_path, ROOMY).count == 0


def test_older_events_go_before_what_is_there_and_stay_before_it_after_a_restart(tmp_path):
    spool = Spool(tmp_path, ROOMY)
    spool.append(numbered(4, start=4))
    _, mark = spool.read(2, 1000)
    spool.advance(mark, 2)
    spool.prepend(numbered(4))
    spool.close()
    again = Spool(tmp_path, ROOMY)
    assert read_all(again) == [*numbered(4), *numbered(2, start=6)]


def test_the_oldest_segment_is_dropped_when_the_size_is_reached(tmp_path):
    spool = Spool(tmp_path, 1600)
    for index in range(1000):
        spool.append(numbered(1, start=index))
        assert spool.fill <= 1
    lost = spool.take_lost()
    assert 800 < lost < 1000
    assert spool.take_lost() == 0
    assert read_all(spool) == numbered(1000 - lost, start=lost)


def test_events_of_a_dropped_segment_are_not_counted_as_delivered(tmp_path):
    spool = Spool(tmp_path, 1600)
    spool.append(numbered(5))
    _, mark = spool.read(5, 1000)
    for index in range(5, 500):
        spool.append(numbered(1, start=index))
    assert spool.advance(mark, 5) == 0


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_a_record_that_was_not_written_to_its_end_is_cut_off(tmp_path, cut, caplog):
    spool = Spool(tmp_path, ROOMY)
    spool.append([b"whole", b"torn"])
    spool.close()
    (segment,) = tmp_path.glob("*.events")
    os.truncate(segment, segment.stat().st_size - cut)
    again = Spool(tmp_path, ROOMY)
    assert again.count == 1
    again.append([b"new"])
    assert read_all(again) == [b"whole", b"new"]
    assert "cut off" in caplog.text


def test_a_full_disk_is_an_error_that_leaves_no_half_record(tmp_path):
    # A limit of the process stands for the disk's: beyond it, a write fails after a part of its bytes.
    code = """
import resource, signal, sys
from pathlib import Path
from framepilot_app.sinks.spool import Spool, SpoolError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]), 1 << 20)
spool.append([b"0"])
resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
try:
    spool.append([b"x" * 100])
except SpoolError as error:
    print(error)
spool.append([b"1"])
print(spool.read(9, 1000)[0], spool.count)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    error, read = done.stdout.splitlines()
    assert "cannot be written: File too large; free space" in error
    assert read == "[b'0', b'1'] 2"


def test_two_cannot_use_one_folder(tmp_path):
    spool = Spool(tmp_path, ROOMY)
    with pytest.raises(SpoolError, match="in use; give each sink a folder of its own"):
        Spool(tmp_path, ROOMY)
    spool.close()
    Spool(tmp_path, ROOMY).close()


def test_a_folder_that_cannot_be_made_is_an_error_with_its_path(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match=r"file/spool' cannot be opened: Not a directory"):
        Spool(tmp_path / "file" / "spool", ROOMY)


def test_a_process_that_is_killed_leaves_all_that_it_had_appended(tmp_path):
    code = """
import sys
from pathlib import Path
from framepilot_app.sinks.spool import Spool
spool = Spool(Path(sys.argv[1]) / "spool", 1 << 24)
for index in range(10**9):
    spool.append([b"%d" % index])
    if index == 1000:
        (Path(sys.argv[1]) / "enough").touch()
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    eventually((tmp_path / "enough").exists, "the process to append")
    process.send_signal(signal.SIGKILL)
    process.wait()
    lines = read_all(Spool(tmp_path / "spool", 1 << 24))
    assert len(lines) > 1000
    assert lines[-1000:] == numbered(1000, start=int(lines[-1000]))
