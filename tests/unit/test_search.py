"""Test trial and select, a rung of the search."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from components import select, trial
from components.errors import UserError
from components.io import candidates, matrices
from components.io.candidates import Candidate


def test_candidate_names_are_parsed_and_checked():
    assert candidates.parse("default") == Candidate()
    found = candidates.parse("max_n=2,ratio_power=0")
    assert found == Candidate(max_n=2, ratio_power=0)
    assert candidates.parse(found.name) == found
    for wrong in ("C=1", "max_n", "max_n=two", "max_n=0", "idf_power=0.3", "alpha=0", ""):
        with pytest.raises(ValueError):
            candidates.parse(wrong)


def test_candidate_names_are_exact():
    close = [candidates.parse(f"alpha=1.2345678{digit}") for digit in (1, 2)]
    assert close[0].name != close[1].name
    assert [candidates.parse(each.name) for each in close] == close


def test_trials_follow_budget_and_candidate(trained, tmp_path):
    matrix = matrices.load(trained.matrix)
    given = [candidates.parse(each) for each in ("default", "max_n=1")]
    part = trial.trial(matrix, given, tmp_path / "part", budget=0.5)
    whole = trial.trial(matrix, given, tmp_path / "whole")
    for half, full in zip(part, whole, strict=True):
        assert half.valid.losses != full.valid.losses
        assert (half.budget, full.budget) == (0.5, 1)
        assert full.valid.log_loss == min(full.valid.losses)
        assert full.iterations == 1 + int(np.argmin(full.valid.losses))
    assert whole[0].valid.log_loss < whole[1].valid.log_loss
    allowed = [trial.weighting(matrix, each).allowed for each in given]
    assert allowed[0].all()
    assert 0 < allowed[1].sum() < (~allowed[1]).sum()


def test_a_stopped_search_resumes(trained, tmp_path, caplog):
    matrix = matrices.load(trained.matrix)
    given = [candidates.parse(each) for each in ("default", "max_n=1")]
    first = trial.trial(matrix, given[:1], tmp_path)
    caplog.clear()
    caplog.set_level("INFO")
    assert trial.trial(matrix, given, tmp_path)[:1] == first
    assert [record.message.endswith("done before") for record in caplog.records] == [True, False]
    # another budget is another trial
    assert trial.trial(matrix, given[:1], tmp_path, budget=0.5) != first


def test_changed_code_repeats_the_trials(trained, tmp_path, caplog, monkeypatch):
    matrix = matrices.load(trained.matrix)
    given = [candidates.parse("max_n=1")]
    (before,) = trial.trial(matrix, given, tmp_path)
    monkeypatch.setattr(trial, "CODE", trial.CODE[1:])
    caplog.set_level("INFO")
    (after,) = trial.trial(matrix, given, tmp_path)
    assert "done before" not in caplog.text
    assert before.code_digest != after.code_digest
    assert replace(before, code_digest="") == replace(after, code_digest="")


def test_select_keeps_the_best_and_lists_all(trained):
    selection = select.select([trained.trials], keep=1)
    losses = [each.valid.log_loss for each in selection.trials]
    assert losses == sorted(losses)
    assert len(losses) == 2
    assert selection.selected == (selection.trials[0].candidate.name,)
    assert len(select.select([trained.trials], keep=5).selected) == 2


def test_trials_may_be_in_several_directories(trained, tmp_path):
    """Kubeflow passes a directory for each parallel task, in any order."""
    parts = []
    for number, path in enumerate(trained.trials.iterdir()):
        parts.append(tmp_path / str(number))
        parts[-1].mkdir()
        shutil.copy(path, parts[-1])
    for order in (parts, parts[::-1]):
        assert select.select(order, keep=1) == select.select([trained.trials], keep=1)


def test_leftover_trials_are_removed(trained, tmp_path):
    shutil.copytree(trained.trials, tmp_path / "trials")
    left, kept = sorted((tmp_path / "trials").iterdir())
    left.write_text(left.read_text().replace('"data_digest": "', '"data_digest": "other '))
    given = candidates.parse(kept.stem)
    trial.trial(matrices.load(trained.matrix), [given], tmp_path / "trials")
    assert list((tmp_path / "trials").iterdir()) == [kept]
    assert len(select.select([tmp_path / "trials"], keep=1).trials) == 1


def test_trials_of_other_reviews_are_refused(trained, tmp_path):
    shutil.copytree(trained.trials, tmp_path / "trials")
    path = next((tmp_path / "trials").iterdir())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_digest": "another"}))
    with pytest.raises(UserError, match="not of the same reviews"):
        select.select([tmp_path / "trials"], keep=1)
    with pytest.raises(UserError, match="no trials in this directory"):
        select.select([tmp_path], keep=1)
