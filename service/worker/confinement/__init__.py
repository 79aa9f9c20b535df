"""What a plugin's process is confined to, before any byte of the plugin is in it.

    in the template              the filter of system calls, once for all
    in a spare, ahead of need    limits ─► rules on files that all plugins have in common
    with the plugin              network ─► identity ─► Landlock ─► a filter of its own, where its network is limited

One module for each guard; each says what it stops and what it does not. `report` tells which of them the kernel has,
and the server hands that back as the `Ground`: a guard that is there and cannot be applied fails the load, one that is
not there is told of by the server and left out here. None of it is ever undone, and all that this process starts has
it too.
"""
