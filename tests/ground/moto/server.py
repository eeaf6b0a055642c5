"""The moto server, as the tests want it.

Three differences from `moto_server`: no line for each request; TCP_NODELAY (the stock server writes head and body in two
segments, which may cost 40 ms a call); and it ends when its standard input does, so that it dies with its parent however that
one died. It chooses a free port of its own and prints it.
"""

import logging
import os
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class QuietHandler(WSGIRequestHandler):
    """Answers without a log line and without Nagle's delay."""

    disable_nagle_algorithm = True

    def log_request(self, *_args):
        """Says nothing."""


def end_with_parent():
    """Ends the process when standard input closes."""
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    """Serves until standard input closes."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    threading.Thread(target=end_with_parent, daemon=True).start()
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=QuietHandler)
    print(server.port, flush=True)
    server.serve_forever()


main()
