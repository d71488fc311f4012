"""Nothing that is printed ends a run: other signs, readers that have gone, no stream at all."""

import errno
import io
import os
import sys

import pytest

from raybilevel.report.progress import plain_lines
from raybilevel.report.table import print_lines
from raybilevel.terminal import Stream, accept_all_signs, say


@pytest.fixture
def in_ascii(monkeypatch):
    """Standard output and error as a log in ASCII, when called; gives what is written to each.

    A test calls it, as pytest puts streams of its own in place when a test begins.
    """

    def replace():
        streams = {name: io.TextIOWrapper(io.BytesIO(), "ascii") for name in ("stdout", "stderr")}
        for name, stream in streams.items():
            monkeypatch.setattr(sys, name, stream)

        def written(name):
            streams[name].flush()
            return streams[name].buffer.getvalue().decode()

        return written

    return replace


def test_tables_and_lines_take_other_signs_where_the_encoding_lacks_them(in_ascii):
    written = in_ascii()
    print_lines([("λ", "1.2000 ± 0.1000"), ("path", "runs/naïve")])
    plain_lines()("tpe, seed 0: −1 ± 2 …")
    say("café → done", stderr=True)
    assert written("stdout").splitlines() == [
        r"\u03bb               1.2000 +- 0.1000",
        r"path            runs/na\xefve",
    ]
    assert written("stderr") == "tpe, seed 0: \\u22121 +- 2 ...\ncaf\\xe9 -> done\n"


def test_what_others_print_is_taken_too_once_all_signs_are_accepted(in_ascii):
    written = in_ascii()
    with pytest.raises(UnicodeEncodeError):
        sys.stdout.write("±")
    accept_all_signs()
    sys.stdout.write("±")
    assert written("stdout") == "+-"


def test_names_of_files_that_are_no_text_can_be_said_in_utf_8():
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    Stream(stream).write(os.fsdecode(b"runs/\xff") + " λ")
    stream.flush()
    assert stream.buffer.getvalue().decode() == r"runs/\udcff λ"


def test_a_reader_that_has_gone_ends_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        output = Stream(stream)
        for _ in range(3):
            output.write("a line\n")
            output.flush()
        stream.flush()  # nor does what was buffered, when Python ends


def test_a_log_on_a_full_disk_ends_nothing():
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    Stream(Full()).write("a line\n")


def test_a_process_without_streams_says_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    say("a line", stderr=True)
    plain_lines()("another")
