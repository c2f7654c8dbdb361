"""The shipped company, its documents, and the demo that runs its sales team's day."""
