"""Webhooks: ``qtool.http`` calls a server that runs here, and that is down at first.

In one terminal::

    qtool worker

and in another, from the checkout::

    python -m examples.webhook

The same from a shell::

    qtool enqueue qtool.http https://example.com/orders json:='{"order": 17}' --retries 5
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from qtool import JobFailed, connect

failures = 2
"""How many requests the server refuses before it is up."""


class Hook(BaseHTTPRequestHandler):
    """Takes orders, once it is up."""

    def do_POST(self) -> None:
        """Print what came; the job's id tells a second delivery from a new order."""
        global failures
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/orders":
            status, answer = 404, "no such hook"
        elif failures:
            failures -= 1
            status, answer = 503, "not up yet"
        else:
            status, answer = 200, f"order {order['order']} taken"
        print(f"server: {order} as {self.headers['Idempotency-Key']}: {status} {answer}", flush=True)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def main() -> None:
    """Deliver one order to the server, and one where nobody takes it."""
    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    with connect() as client:
        good = client.send("qtool.http", [f"{url}/orders"], {"json": {"order": 17}}, retries=5, backoff=0.1)
        bad = client.send("qtool.http", [f"{url}/nowhere"], {"json": {"order": 18}}, retries=5, backoff=0.1)
        print("delivered:", good.result(timeout=30), "after", good.info().attempt, "attempts")
        try:
            bad.result(timeout=30)
        except JobFailed as error:
            print("refused for good:", error)
    server.shutdown()


if __name__ == "__main__":
    main()
