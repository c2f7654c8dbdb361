"""`ToolClient` over a fork, in processes that have nothing else in them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from workers.stack import Stack

FORKING = """
import os, sys, threading
from salesboost import ToolClient

url, note = sys.argv[1:]
client = ToolClient(url)
texts = lambda who: [
    client.call("echo", {"text": f"{who}.{n}"}, caller_role="sdr").result["text"] for n in range(5)
] == [f"{who}.{n}" for n in range(5)]
assert texts("before")
# A thread reads the inbox, and holds its lock and a connection, while the process forks.
waiting = threading.Thread(
    target=client.call, args=("cancellable", {"seconds": 1, "note": note}), kwargs={"caller_role": "sdr"}
)
waiting.start()
while not os.path.exists(note):
    pass
events = client.submit("slow", {"seconds": 0.2}, caller_role="sdr")
children = []
for n in range(3):
    pid = os.fork()
    if pid == 0:
        good = texts(f"child {n}") and [e.type for e in events.events()][-1] == "succeeded"
        os._exit(0 if good else 1)
    children.append(pid)
good = texts("parent")
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
waiting.join()
client.close()
sys.exit(0 if good and codes == [0, 0, 0] else f"parent {good}, children {codes}")
"""


def test_a_client_that_was_used_before_a_fork_works_on_both_sides_of_it(stack: Stack, tmp_path: Path) -> None:
    # Given a process with a client in use, by several threads
    # When it forks three times and everybody goes on calling
    command = [sys.executable, "-c", FORKING, stack.state_url, str(tmp_path / "note")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    # Then everybody has had their own results
    assert (done.returncode, done.stderr) == (0, "")
