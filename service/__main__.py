"""`python -m service` is the `plugbay` command."""

from __future__ import annotations

from service.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
