"""What steps are drawn from."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.load.asked import ODDITIES
from tests.load.facts import PACKAGES
from tests.load.written import FAULTS, HELPERS, LIBRARIES, UNMET, Code

TYPES = st.sampled_from(["search", "search", "parser"])
# Names and stems of files have the number of their round added, so that nothing of another round is theirs, too. Some
# names are what a file's stem says.
NAMES = st.sampled_from(["alpha", "beta", "gamma", "数据"])
STEMS = st.sampled_from(["alpha", "beta", "one", "数据", *PACKAGES])
# Which plugin a request is about, and whether it is named by its file; some are about none that there is.
ABOUT = st.tuples(st.integers(0, 11), st.sampled_from(["name"] * 4 + ["stem", "short"]))
NOBODY = ("search", "nobody")
CODES = st.builds(
    Code,
    name=NAMES,
    version=st.just(""),
    fault=st.sampled_from([None] * 8 + list(FAULTS)),
    helper=st.sampled_from([None] * 4 + list(HELPERS)),
    late=st.booleans(),
    library=st.sampled_from([None] * 20 + [*LIBRARIES, *UNMET]),
    beside=st.just(False),
    needs_word=st.sampled_from([False] * 5 + [True]),
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "limit": st.sampled_from([1, 2, 3, 2, 3, "many"]),
        "word": st.sampled_from(["", "w"]),
        "unknown": st.sampled_from([0, None]),
    },
)
HOW = st.sampled_from(["in place", "beside", "from elsewhere"])
# What comes from an address may have a file of requirements beside it.
OFFERED = st.builds(
    Code,
    name=NAMES,
    version=st.just(""),
    fault=st.sampled_from([None] * 8 + list(FAULTS)),
    helper=st.sampled_from([None] * 4 + list(HELPERS)),
    late=st.booleans(),
    library=st.sampled_from([None] * 10 + [*LIBRARIES, *UNMET]),
    beside=st.booleans(),
    needs_word=st.just(False),
)
ODD = st.sampled_from([None] * 8 + list(ODDITIES))
ENTRIES = st.none() | st.fixed_dictionaries(
    {}, optional={"limit": st.integers(1, 3), "_enabled": st.booleans()}
)
