"""What runs: the tools, the attempt that runs one under its policy, and their Celery tasks."""
