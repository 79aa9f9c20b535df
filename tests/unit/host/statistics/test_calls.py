from __future__ import annotations

from service.host.statistics.calls import STEP_S, STEPS, CallCounts, Count


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_calls_are_counted_in_all_and_by_step() -> None:
    clock = Clock()
    counts = CallCounts(clock)
    counts.count("search/a", "search", "ok", 0.010)
    counts.count("search/a", "search", "plugin_error", 0.030)
    assert counts.total("search/a") == Count(2, 1, 0.04)
    assert counts.total("search/a").mean_ms == 20.0
    assert counts.series("search/a") == [Count(0, 0, 0.0)] * STEPS, "the step is not over"
    clock.now += STEP_S
    assert counts.series("search/a")[-2:] == [Count(0, 0, 0.0), Count(2, 1, 0.04)]
    assert dict(counts.in_step(counts.step)) == {"search/a": Count(2, 1, 0.04)}
    counts.count("search/b", "search", "ok", 0.5)
    clock.now += STEP_S
    assert dict(counts.in_step(counts.step)) == {"search/b": Count(1, 0, 0.5)}
    assert dict(counts.in_step(counts.step - 1)) == {"search/a": Count(2, 1, 0.04)}
    assert len(counts.series("search/none")) == STEPS
    assert sorted(counts.ids()) == ["search/a", "search/b"]


def test_only_what_reached_a_plugin_is_a_call_and_only_its_own_faults_are_errors() -> None:
    counts = CallCounts(Clock())
    for outcome in ("plugin_disabled", "plugin_not_found"):
        counts.count("search/a", "search", outcome, 0.0)
    assert not list(counts.ids())
    for outcome in ("ok", "cancelled", "plugin_timeout", "plugin_crashed", "config_missing"):
        counts.count("search/a", "search", outcome, 0.0)
    assert counts.total("search/a")[:2] == (5, 3)


def test_it_keeps_two_minutes_however_long_it_counts() -> None:
    clock = Clock()
    counts = CallCounts(clock)
    for _ in range(3 * STEPS):
        counts.count("search/a", "search", "ok", 0.001)
        counts.count("search/a", "search", "ok", 0.001)
        clock.now += STEP_S
    assert [one.calls for one in counts.series("search/a")] == [2] * STEPS
    assert counts.total("search/a").calls == 6 * STEPS
    clock.now += (STEPS - 1) * STEP_S
    assert [one.calls for one in counts.series("search/a")] == [2, *[0] * (STEPS - 1)]
    clock.now += STEP_S
    assert not any(one.calls for one in counts.series("search/a"))
    counts.forget("search/a")
    counts.forget("search/a")
    assert counts.total("search/a").calls == 0


def test_a_call_that_ends_after_its_plugin_is_gone_is_forgotten_with_the_next_look() -> None:
    counts = CallCounts(Clock())
    counts.count("search/a", "search", "ok", 0.001)
    counts.count("search/b", "search", "plugin_disabled", 0.0)
    counts.forget("search/a")
    counts.count("search/a", "search", "ok", 0.001)
    assert counts.asked_for() == ["search/b", "search/a"]
    counts.forget_all_but({"search/b"})
    assert counts.asked_for() == ["search/b"] and counts.outcomes("search/a") is None
    refused = counts.outcomes("search/b")
    assert refused is not None and refused.counts == {("search", "plugin_disabled"): 1}
    assert sum(refused.latency.counts) == 0, "it was not asked, so that took no time of its"


def test_ends_of_calls_are_told_apart_as_far_as_there_can_be_any() -> None:
    counts = CallCounts(Clock())
    for number in range(1000):
        counts.count("search/a", f"method{number}", "ok", 0.3)
    found = counts.outcomes("search/a")
    assert found is not None and len(found.counts) <= 258
    assert sum(found.counts.values()) == sum(found.latency.counts) == 1000
    assert found.latency.bounds[found.latency.counts.index(1000)] == 0.5
    assert round(found.latency.total_s, 6) == 300
