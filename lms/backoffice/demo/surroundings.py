"""What the processes of the demo find around them: database, ports, keys, and where files lie."""

import base64
import fcntl
import os
import secrets
import socket
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings

from lms.errors import Refused

MARK = "LMS_DEMO"  # in the environment of every process that the demo started
KEYS = ("SECRET_KEY", "DARAJA_CALLBACK_SECRET")
HOST = "127.0.0.1"
CREDENTIAL = base64.b64encode(b"demo" * 64).decode()  # as long as a real one, and opens nothing


class Surroundings:
    """One demo on this machine. `folder` holds its keys, logs and uploads, beside its database."""

    def __init__(self, *, port: int) -> None:
        url = os.environ.get("DATABASE_URL") or f"sqlite:///{settings.DATA_DIR}/demo.sqlite3"
        self.database_url = url
        self.port = port
        parts = urlsplit(url)
        if parts.scheme == "sqlite":
            self.folder = Path(url.partition(":///")[2]).parent
        else:
            self.folder = settings.DATA_DIR / f"demo-{parts.hostname}-{parts.path.strip('/')}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.simulator_port = self._simulator_port()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def simulator_url(self) -> str:
        return f"http://{HOST}:{self.simulator_port}"

    def log(self, name: str) -> Path:
        return self.folder / f"demo-{name}.log"

    def environment(self) -> dict[str, str]:
        """Return the whole environment of a child: nothing of a real office may leak into it."""
        return {
            **os.environ,
            **self._keys(),
            MARK: "1",
            "DATABASE_URL": self.database_url,
            "DEBUG": "False",
            "HTTPS": "False",
            "BEHIND_PROXY": "False",
            "ALLOWED_HOSTS": f"localhost,{HOST}",
            "CSRF_TRUSTED_ORIGINS": "",
            "LMS_ENVIRONMENT": "Demo",
            "STATIC_FROM_SOURCE": "True",
            "MEDIA_ROOT": str(self.folder / "demo-files"),
            "LOG_LEVEL": "INFO",
            "WORKERS": "2",
            "REFERRAL_REWARD": "500",
            "REFERRAL_MONTHLY_CAP": "5",
            "SMS_CHANNEL": "console",
            "EMAIL_CHANNEL": "console",
            "EMAIL_URL": "consolemail://",
            "AFRICASTALKING_API_KEY": "",
            "DARAJA_URL": self.simulator_url,
            "DARAJA_CALLBACK_BASE": self.url,
            "DARAJA_SHORTCODE": "174379",
            "DARAJA_CONSUMER_KEY": "demo-consumer",
            "DARAJA_CONSUMER_SECRET": "demo-consumer-secret",
            "DARAJA_PASSKEY": "demo-passkey",
            "DARAJA_C2B_VERSION": "v2",
            "DARAJA_B2C_SHORTCODE": "",
            "DARAJA_IDENTIFIER_TYPE": "4",
            "DARAJA_INITIATOR": "demo-initiator",
            "DARAJA_INITIATOR_PASSWORD": "",
            "DARAJA_INITIATOR_PASSWORD_SET_ON": "",
            "DARAJA_CERTIFICATE": "",
            "DARAJA_SECURITY_CREDENTIAL": CREDENTIAL,
            "DARAJA_LOW_FLOAT": "50000",
            "DARAJA_LOG_DAYS": "30",
            "DARAJA_PULL_NUMBER": "254700000001",
            "DARAJA_SOURCES": "",
            "TRUSTED_PROXIES": "",
            "PYTHONUNBUFFERED": "1",
        }

    def _keys(self) -> dict[str, str]:
        """Return the secrets of this demo, made at its first start and kept for its owner alone."""
        file = self.folder / "demo.env"
        if not file.exists():
            lines = "".join(f"{name}={secrets.token_hex(32)}\n" for name in KEYS)
            file.touch(mode=0o600)
            file.write_text(lines)
        return dict(line.split("=", 1) for line in file.read_text().split())

    def check_ports(self) -> None:
        """Raise Refused when the address of the web is taken."""
        if not is_free(self.port):
            raise Refused(
                f"Port {self.port} is in use by another program. Stop that one, or choose another "
                f"port: manage.py demo --port {self.port + 1}"
            )

    def _simulator_port(self) -> int:
        """Return the port ten above the web's where it is free, else any that is."""
        if self.port + 10 < 65536 and is_free(self.port + 10):
            return self.port + 10
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            return probe.getsockname()[1]

    @contextmanager
    def alone(self):
        """Hold the lock of this demo's database. Raises Refused while another demo holds it."""
        with (self.folder / "demo.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Refused(
                    f"A demo runs in {self.folder} already: stop it first, with Ctrl-C."
                ) from error
            yield


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True
