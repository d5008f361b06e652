"""LocalStack on a port of 127.0.0.1: it forgets everything, and ends, when its standard input does."""

import os
import shutil
import sys
import tempfile
import threading

PORT = int(sys.argv[1])
ROOT = tempfile.mkdtemp(prefix="run-", dir=os.getcwd())


def folder(name):
    path = os.path.join(ROOT, name)
    os.mkdir(path)
    return path


# LocalStack reads these while it is imported.
os.environ.update(
    GATEWAY_LISTEN=f"127.0.0.1:{PORT}",
    LOCALSTACK_HOST=f"127.0.0.1:{PORT}",
    SERVICES="s3,sqs,events",
    STRICT_SERVICE_LOADING="1",
    EAGER_SERVICE_LOADING="1",
    S3_SKIP_SIGNATURE_VALIDATION="0",
    # Queues by path: names such as `sqs.us-east-1.127.0.0.1` are nobody's.
    SQS_ENDPOINT_STRATEGY="path",
    # Nothing is fetched, nothing is told to anybody, and there is no server of names.
    DISABLE_EVENTS="1",
    SKIP_SSL_CERT_DOWNLOAD="1",
    DNS_ADDRESS="0",
    PERSISTENCE="0",
    OVERRIDE_IN_DOCKER="0",
    HOME=folder("home"),
    TMPDIR=folder("tmp"),
    FILESYSTEM_ROOT=folder("root"),
    LOCALSTACK_VOLUME_DIR=folder("volume"),
)


def end_with_input():
    sys.stdin.buffer.read()
    shutil.rmtree(ROOT, ignore_errors=True)
    os._exit(0)


def listen_on_loopback_only():
    """It asks twisted for every IPv4 address, whatever `GATEWAY_LISTEN` says."""
    from twisted.internet import endpoints

    original = endpoints.TCP4ServerEndpoint.__init__

    def on_loopback(self, reactor, port, backlog=50, interface="127.0.0.1"):
        original(self, reactor, port, backlog, interface)

    endpoints.TCP4ServerEndpoint.__init__ = on_loopback


def load_services_one_at_a_time():
    """It says that a service is loaded just before its operations can be asked: whoever asks then gets a 501."""
    from localstack.aws.handlers.service_plugin import ServiceLoader

    original, lock = ServiceLoader.require_service, threading.RLock()

    def alone(self, *arguments):
        with lock:
            return original(self, *arguments)

    ServiceLoader.require_service = alone


threading.Thread(target=end_with_input, daemon=True).start()
listen_on_loopback_only()
load_services_one_at_a_time()

from localstack.runtime.main import main  # noqa: E402

try:
    main()
finally:
    shutil.rmtree(ROOT, ignore_errors=True)
