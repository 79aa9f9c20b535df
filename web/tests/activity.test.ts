import { describe, expect, it } from 'vitest';
import { activityOf } from '../src/activity/activity';
import { asEvent } from '../src/live/events';
import { changed, event, loadError, plugin } from './sample';

describe('the line of an event', () => {
  it('tells a failure that left an older generation from one that left nothing', () => {
    const degraded = changed('failed', plugin({ state: 'degraded', generation: 4, error: loadError() }), { seq: '1' });
    expect(activityOf(degraded)).toMatchObject({ kind: 'degraded', tone: 'warn', params: { generation: 4 } });
    const failed = changed('failed', plugin({ state: 'failed', error: loadError() }), { seq: '1' });
    expect(activityOf(failed)).toMatchObject({ kind: 'failed', tone: 'bad', error: { line: 3 } });
  });

  it('has the timings where they were measured', () => {
    const timed = changed('reloaded', plugin(), { seq: '1' });
    if (timed.type === 'plugbay.plugin.reloaded') timed.data.timings = { detect_ms: 0.6, load_ms: 4.1, total_ms: 5 };
    expect(activityOf(timed)).toMatchObject({ total: 5, timings: [{ ms: 0.6 }, { ms: 4.1 }], cause: 'file' });
    expect(activityOf(changed('reloaded', plugin(), { seq: '1' }))?.total).toBeNull();
    if (timed.type === 'plugbay.plugin.reloaded') timed.data.timings = { detect_ms: 0, load_ms: 4.1, total_ms: 5 };
    expect(activityOf(timed)?.timings).toEqual([{ key: 'load', ms: 4.1 }]);
  });

  it('is left out for what is no news', () => {
    expect(activityOf(changed('loading', plugin()))).toBeNull();
    expect(activityOf(event('plugbay.heartbeat', 'heartbeat', {}))).toBeNull();
    const quick = { generation: 1, drain_ms: 2, forced: false };
    expect(activityOf(event('plugbay.generation.drained', 'plugins/search/demo', quick))).toBeNull();
    const forced = { generation: 1, drain_ms: 2, forced: true };
    expect(activityOf(event('plugbay.generation.drained', 'plugins/search/demo', forced))?.kind).toBe('forced');
  });
});

describe('a frame', () => {
  it('is an event only if its type is known and its parts are there', () => {
    const known = changed('loaded', plugin());
    expect(asEvent(JSON.parse(JSON.stringify(known)))?.type).toBe('plugbay.plugin.loaded');
    expect(asEvent({ ...known, type: 'plugbay.plugin.teleported' })).toBeNull();
    expect(asEvent({ ...known, data: 'text' })).toBeNull();
    expect(asEvent({ jsonrpc: '2.0', id: 1, result: {} })).toBeNull();
    expect(asEvent(null)).toBeNull();
  });
});
