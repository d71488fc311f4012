"""The command: where help is, and what its exit codes mean. Bad input is in test_bad_input.py."""

import json
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


def exported(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["raybilevel", "export", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr()


def test_a_list_is_printed_as_another_program_takes_it(tmp_path, monkeypatch, capsys):
    key = {"scheduler": "EulerDiscreteScheduler", "scheduler_config": {}, "call_options": {}}
    said = {"call": "pipe(prompt)", "sigmas_visited": [3.0, 1.0], "key": key}
    (tmp_path / "schedule.json").write_text(json.dumps(said))
    code, output = exported(monkeypatch, capsys, str(tmp_path), "--to", "comfyui")
    assert not code
    assert "ManualSigmas    sigmas: 3, 1, 0" in output.out


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "has no schedule.json"), ({"levels": [1.0]}, "are baked into its pipeline")],
)
def test_a_run_without_a_list_is_no_run_to_export(tmp_path, monkeypatch, capsys, content, why):
    if content is not None:
        (tmp_path / "schedule.json").write_text(json.dumps(content))
    code, output = exported(monkeypatch, capsys, str(tmp_path))
    assert code == 2
    assert why in output.err
    assert len(output.err.splitlines()) == 1


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
