"""One file a tool; each is found by being here."""
