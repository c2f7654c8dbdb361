"""When and where a call runs: ledger, admission, limits, cache, retries, routing, health, sweeps."""
