"""What was there before: revisions that served, changes that were made, and the journal that makes each one whole."""
