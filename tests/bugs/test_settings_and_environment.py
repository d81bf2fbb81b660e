"""Settings of odd forms: refused with a problem, or taken as they are; the environment is not misread."""

from __future__ import annotations

import os
import pathlib

import pytest

from dnsd.app import load
from dnsd.errors import InvalidDataError
from tests.bugs.files import SETTINGS, write


def test_settings_in_a_pipe_are_refused_at_once(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "dnsd.yaml")
    with pytest.raises(InvalidDataError, match="not a regular file"):
        load(tmp_path / "dnsd.yaml", {})


def test_settings_and_data_are_reported_in_one_go(tmp_path: pathlib.Path) -> None:
    config = write(tmp_path, {"accounts/a/zones/example.com.yaml": "statsu: active\n"})
    config.write_text(SETTINGS + "wrokers: 2\n")
    with pytest.raises(InvalidDataError) as caught:
        load(config, {})
    errors = [str(problem) for problem in caught.value.problems if not problem.warning]
    assert ["did you mean 'status'" in errors[0], "did you mean 'workers'" in errors[1]] == [True, True]


def test_overlong_folder_name_is_a_problem(tmp_path: pathlib.Path) -> None:
    config = write(tmp_path, {})
    config.write_text(f"{SETTINGS}data: {'a' * 300}\n")
    with pytest.raises(InvalidDataError, match="there is no folder"):
        load(config, {})


def test_variables_of_a_kubernetes_service_are_not_settings(tmp_path: pathlib.Path) -> None:
    config = write(tmp_path, {"accounts/a/account.yaml": "name: A\n"})
    load(config, {"DNSD_SERVICE_HOST": "192.0.2.1", "DNSD_PORT_53_UDP": "x", "DNSD_PORT": "udp://192.0.2.1:53"})


def test_text_from_the_environment_is_used_unchanged(tmp_path: pathlib.Path) -> None:
    config = write(tmp_path, {"accounts/a/account.yaml": "name: A\n"})
    assert load(config, {"DNSD_VERSION": "2 # of 3"}).settings.version == "2 # of 3"


@pytest.mark.parametrize("pool", ["198.51.100.10, 198.51.100.10", ", ".join(f"198.51.{n}.1" for n in range(101))])
def test_pool_is_a_set_of_a_hundred_at_most(tmp_path: pathlib.Path, pool: str) -> None:
    with pytest.raises(InvalidDataError):
        load(write(tmp_path, {"accounts/a/account.yaml": "name: A\n"}), {"DNSD_DEFAULT_ADDRESSES": pool})
