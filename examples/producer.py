"""The producer process of the demo: submits a working day's calls and awaits their typed results."""

from __future__ import annotations

import argparse
import json
import random
import sys

from examples import working_day
from salesboost import CallSpec, ToolClient, ToolResult


def run(client: ToolClient, calls: int, seed: int) -> list[tuple[CallSpec, ToolResult]]:
    """Make *calls* calls in two waves and return each with its result."""
    rng = random.Random(seed)  # nosec B311 - the same day for the same seed, not a secret
    first = working_day.morning(calls // 2, rng)
    done = _wave(client, first)
    return done + _wave(client, working_day.afternoon(calls - len(first), first, rng))


def _wave(client: ToolClient, specs: list[CallSpec]) -> list[tuple[CallSpec, ToolResult]]:
    handles = client.submit_many(specs, caller_role="sdr")
    results = dict(client.as_completed(handles))
    return [(spec, results[handle]) for spec, handle in zip(specs, handles, strict=True)]


def main() -> None:
    """Print every call with its result as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=360)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with ToolClient() as client:
        for spec, result in run(client, options.calls, options.seed):
            sys.stdout.write(json.dumps({"call": spec, "result": result.model_dump(mode="json")}) + "\n")


if __name__ == "__main__":
    main()
