from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.live.event_log import Entry
from service.live.subscription import Subscription
from service.live.topics import TOPICS_PER_CLIENT, TopicInvalid, Topics


def entry(seq: int, subject: str) -> Entry:
    return Entry(seq, seq, "t", subject, None, b"", 0)


def test_what_an_older_topic_brought_is_not_missing() -> None:
    subscription = Subscription()
    subscription.add(["a/*"], 10)
    is_missing = subscription.missing_from(["**"])
    assert is_missing(entry(10, "a/1"))
    assert not is_missing(entry(11, "a/1"))
    assert is_missing(entry(11, "b/1"))
    assert not subscription.missing_from(["b"])(entry(11, "c"))


def test_it_goes_by_what_was_subscribed_when_it_was_asked() -> None:
    subscription = Subscription()
    is_missing = subscription.missing_from(["a"])
    subscription.add(["a"], 0)
    assert is_missing(entry(1, "a"))
    assert not subscription.missing_from(["a"])(entry(1, "a"))


def test_the_earliest_start_of_a_topic_counts_until_it_is_given_up() -> None:
    subscription = Subscription()
    subscription.add(["a"], 10)
    subscription.add(["a"], 5)
    subscription.add(["a"], 20)
    assert not subscription.missing_from(["a"])(entry(6, "a"))
    subscription.remove(["a", "never"])
    assert subscription.patterns == frozenset()
    assert subscription.missing_from(["a"])(entry(6, "a"))


def test_there_is_room_for_so_many_topics() -> None:
    subscription = Subscription()
    topics = [f"t/{number}" for number in range(TOPICS_PER_CLIENT)]
    subscription.check_room(topics)
    subscription.add(topics, 0)
    subscription.check_room(topics[:3])
    with pytest.raises(TopicInvalid):
        subscription.check_room(["one/more"])
    subscription.remove(topics[:1])
    subscription.check_room(["one/more"])


_topic = st.sampled_from(["a", "b", "*", "**", "c/*", "c/1", "c/**"])
_subject = st.sampled_from(["a", "b", "c/1", "c/2", "c/2/3"])


@given(
    st.lists(_subject, min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.sets(_topic, min_size=1), st.integers(0, 30)), max_size=6),
)
def test_whatever_is_subscribed_when_no_event_comes_twice_and_none_is_left_out(
    subjects: list[str], wishes: list[tuple[int, set[str], int]]
) -> None:
    """Against a plain account of what one client was sent."""
    subscription = Subscription()
    log = [entry(seq, subject) for seq, subject in enumerate(subjects, 1)]
    sent: list[int] = []
    promised: set[int] = set()
    live: set[str] = set()
    queue = sorted(wishes, key=lambda wish: wish[0])
    for head in range(len(log) + 1):
        if head:
            newest = log[head - 1]
            if Topics(live).matches(newest.subject):
                sent.append(head)
        for _, topics, back in [wish for wish in queue if wish[0] == head]:
            since = max(0, head - back)
            is_missing = subscription.missing_from(topics)
            sent += [entry.seq or 0 for entry in log[since:head] if is_missing(entry)]
            subscription.add(topics, since)
            live |= topics
            promised |= {item.seq or 0 for item in log[since:] if Topics(topics).matches(item.subject)}
    assert len(sent) == len(set(sent))
    assert set(sent) == promised
