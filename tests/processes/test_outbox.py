"""Workers that deliver the same outbox at once."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

pytestmark = pytest.mark.processes


@pytest.fixture
def gateway():
    """A gateway on the loopback that accepts every message; its list says who got one."""
    told: list[str] = []

    class Gateway(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            told.extend(form["to"])
            recipient = {
                "statusCode": 101,
                "number": form["to"][0],
                "status": "Success",
                "cost": "KES 0.8000",
                "messageId": f"ATXid_{len(told)}",
            }
            content = json.dumps({"SMSMessageData": {"Recipients": [recipient]}}).encode()
            self.send_response(201)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", told
    server.shutdown()
    server.server_close()


def test_two_workers_send_each_message_of_the_outbox_once(office, gateway):
    url, told = gateway
    office.environment |= {
        "SMS_CHANNEL": "africastalking",
        "AFRICASTALKING_URL": url,
        "AFRICASTALKING_API_KEY": "atsk_scratch",
    }
    phones = [f"2547120000{number:02d}" for number in range(60)]
    office.ask("queue_messages", phones)

    office.together("deliver_outbox", (), ())

    assert sorted(told) == [f"+{phone}" for phone in phones]
    assert office.ask("messages") == {"sent": 60}
