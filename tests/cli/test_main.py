"""The command: where help is, and what its exit codes mean. Bad input is in test_bad_input.py."""

import sys

import pytest
from commands import finish, start
from users import settle

from raybilevel.cli import main as cli


@pytest.mark.parametrize("arguments", [(), ("--help",), ("run", "--help")])
def test_help_is_there_and_no_error(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["raybilevel", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert not ended.value.code
    assert "Usage" in said.out
    assert said.err == ""


def test_a_run_that_fails_ends_with_code_1_and_its_own_sentence_last(cluster, run_in):
    settle(run_in, "failing_later", size=512)
    with (run_in / "failing_later.py").open("a") as module:
        module.write(
            "\n_upper = upper\n"
            "def upper(samples):\n"
            "    if len(samples) > 2:\n"
            "        raise ArithmeticError('too [many] samples')\n"
            "    return _upper(samples)\n"
        )
    done = finish(start("run", "c.yaml", "--address", cluster))
    assert done.returncode == 1
    sentence = done.stderr.splitlines()[-1]
    assert sentence.startswith("raybilevel: shard ")
    assert "raised 3 times: UserCodeError: reward 'upper' failed on the seeds " in sentence
    assert f": ArithmeticError: too [many] samples ({run_in}/failing_later.py:" in sentence
    assert "the seeds of the batch: [" in done.stderr
