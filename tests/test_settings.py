import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.urls import reverse

from lms.mpesa.models import Callback

ROOT = Path(settings.BASE_DIR)
BANNED = ("mpesa", "m-pesa", "safaricom", "exe", "exec", "cmd", "sql", "query")


def start(**environment) -> subprocess.CompletedProcess:
    """Start the project in a process of its own, with nothing but this environment."""
    return subprocess.run(
        [sys.executable, "-c", "import django; django.setup()"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "lms.settings",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_name_read_from_the_environment_is_explained():
    read = set(re.findall(r"env\.\w+\(\s*\"([A-Z0-9_]+)\"", (ROOT / "lms/settings.py").read_text()))
    lines = (ROOT / ".env.example").read_text().splitlines()
    explained = {line.partition("=")[0] for line in lines if "=" in line and line[0] != "#"}

    assert read == explained


def test_the_environment_is_read_in_one_file_only():
    readers = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "lms").rglob("*.py")
        if "environ.Env" in path.read_text()
    ]

    assert readers == ["lms/settings.py"]


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({"DEBUG": "False"}, "SECRET_KEY is not set"),
        ({"DEBUG": "False", "SECRET_KEY": "x" * 50}, "ALLOWED_HOSTS is not set"),
        ({"DARAJA_SOURCES": "196.201.214.200,safaricom"}, "DARAJA_SOURCES has “safaricom” in it"),
        ({"TRUSTED_PROXIES": "unix,10.0.0.300"}, "TRUSTED_PROXIES has “10.0.0.300” in it"),
    ],
)
def test_what_is_missing_or_no_address_stops_the_start_and_says_what_to_set(environment, missing):
    said = start(**environment)

    assert said.returncode != 0
    assert missing in said.stderr


def test_a_laptop_starts_with_nothing_set():
    assert start().returncode == 0


def test_the_example_copied_as_it_stands_starts_too():
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")

    said = start(**example)

    assert said.returncode == 0, said.stderr


def test_the_callback_address_has_no_word_that_safaricom_refuses():
    for kind in Callback.Kind.values:
        path = reverse("daraja", kwargs={"secret": "0a" * 20, "kind": kind}).lower()
        assert not [word for word in BANNED if word in path]


@pytest.mark.django_db
def test_the_models_have_no_change_without_a_migration():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_sqlite_waits_for_writers_and_survives_a_power_cut():
    options = settings.DATABASES["default"].get("OPTIONS", {})
    if settings.ON_SQLITE:
        assert options["transaction_mode"] == "IMMEDIATE"
        assert options["timeout"] == 20
        assert "journal_mode=WAL" in options["init_command"]
        assert "synchronous=FULL" in options["init_command"]
        assert "recursive_triggers=ON" in options["init_command"]


def test_a_task_is_delivered_again_only_after_it_timed_out():
    assert settings.Q_CLUSTER["retry"] > settings.Q_CLUSTER["timeout"]
    assert settings.Q_CLUSTER["queue_limit"] == 1
