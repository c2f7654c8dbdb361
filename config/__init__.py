"""What can be tuned: settings, the tools' policies, logging."""
