"""The statuses that a command ends with."""

DONE, REFUSED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
