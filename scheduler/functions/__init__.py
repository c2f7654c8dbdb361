"""The server-side functions, one operation a file; `scheduler.library` loads them."""
