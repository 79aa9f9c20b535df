"""What plugins written for the original application find where they look for it: the SDK, under its names and manner.

    signs.py      whether a text is such a plugin's
    models.py     `models`: the SDK's models, to be used like pydantic's
    bases.py      `base_plugin`: its abstract base classes, derived from the SDK's
    conversions.py    what `_get_config_int` and its like make of a value
    database.py   `database`: what a plugin says of a running task there is told to that task
    logs.py       `logger`
    stand_ins.py  serves all of them to imports

Standard library and `service.sdk` only, like all that runs beside a plugin.
"""
