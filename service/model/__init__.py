"""Facts that every layer shares: identities, manifests, states, events. No I/O, no asyncio."""
