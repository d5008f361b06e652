"""MinIO on a port of 127.0.0.1: it forgets everything, and ends, when the standard input does."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading

program, port = sys.argv[1:]
root = tempfile.mkdtemp(prefix="run-", dir=os.getcwd())
server = subprocess.Popen(
    [program, "server", "--quiet", "--address", f"127.0.0.1:{port}", os.path.join(root, "data")],
    stdin=subprocess.DEVNULL,
    env=os.environ | {"HOME": root, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"},
)


def end_with_input():
    sys.stdin.buffer.read()
    # Nothing here outlives the run, so nothing has to be put away first.
    server.kill()


threading.Thread(target=end_with_input, daemon=True).start()
try:
    code = server.wait()
except KeyboardInterrupt:
    server.kill()
    code = server.wait()
finally:
    shutil.rmtree(root, ignore_errors=True)
sys.exit(code)
