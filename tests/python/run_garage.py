"""Garage on a port of 127.0.0.1: it forgets everything, and ends, when the standard input does."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

program, port, key, secret = sys.argv[1:]
root = tempfile.mkdtemp(prefix="run-", dir=os.getcwd())
settings = os.path.join(root, "garage.toml")
servers = []


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(s3_port):
    rpc = f"127.0.0.1:{free_port()}"
    with open(settings, "w") as file:
        file.write(
            f"""
metadata_dir = "{root}/meta"
data_dir = "{root}/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "{rpc}"
rpc_public_addr = "{rpc}"
rpc_secret = "{'00' * 32}"

[s3_api]
s3_region = "us-east-1"
api_bind_addr = "127.0.0.1:{s3_port}"
"""
        )
    environment = os.environ | {"RUST_LOG": "garage=warn"}
    servers.append(subprocess.Popen(command("server"), stdin=subprocess.DEVNULL, env=environment))


def command(*words):
    return [program, "--config", settings, *words]


def ask(*words, tries=1):
    for left in reversed(range(tries)):
        done = subprocess.run(command(*words), capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout
        if left == 0:
            print(done.stderr, file=sys.stderr)
            end(1)
        time.sleep(0.1)


def end(code):
    # Nothing here outlives the run, so nothing has to be put away first.
    for server in servers:
        server.kill()
        server.wait()
    shutil.rmtree(root, ignore_errors=True)
    os._exit(code)


def end_with_input():
    sys.stdin.buffer.read()
    end(0)


threading.Thread(target=end_with_input, daemon=True).start()
# One node with room, and a key that may make buckets. Nobody is to meet it before that, so all this is done elsewhere.
start(free_port())
node = ask("node", "id", "--quiet", tries=100).split("@")[0]
ask("layout", "assign", "--zone", "here", "--capacity", "1G", node, tries=100)
ask("layout", "apply", "--version", "1")
ask("key", "import", "--yes", key, secret)
ask("key", "allow", "--create-bucket", key)
servers[0].terminate()
servers[0].wait()
start(port)
try:
    end(servers[1].wait())
except KeyboardInterrupt:
    end(1)
