import { describe, expect, it } from 'vitest';
import { refusedActivity } from '../src/activity/activity';
import type { PlugbayEvent } from '../src/live/events';
import { plainError, type Plugin } from '../src/api/model';
import { ACTIVITY_LIMIT, countStates, type DashboardState, initialState, isAfter, pluginsOf, reduce } from '../src/plugins/state';
import { changed, event, loadError, plugin, snapshot } from './sample';

function after(events: PlugbayEvent[], plugins: Plugin[] = [plugin()]): DashboardState {
  const begun = reduce(initialState, { kind: 'snapshot', snapshot: snapshot(plugins) });
  return events.reduce((state, one) => reduce(state, { kind: 'events', events: [one] }), begun);
}

describe('a snapshot', () => {
  it('replaces all plugins and sets the position', () => {
    const state = reduce(after([]), { kind: 'snapshot', snapshot: snapshot([plugin({ name: 'other' })], '20', 'e2') });
    expect(Object.keys(state.plugins)).toEqual(['search/other']);
    expect(state.position).toEqual({ epoch: 'e2', seq: '20' });
    expect(state.ready).toBe(true);
  });

  it('ends what was announced before it', () => {
    const announced = after([changed('loading', plugin(), { seq: '11' })]);
    expect(announced.changing.has('search/demo')).toBe(true);
    const state = reduce(announced, { kind: 'snapshot', snapshot: snapshot([plugin()], '12') });
    expect(state.changing.size).toBe(0);
  });
});

describe('a change of a plugin', () => {
  it.each(['loaded', 'reloaded', 'failed', 'enabled', 'disabled', 'configured', 'crashed'])(
    '%s takes the plugin as the event has it',
    (change) => {
      const next = plugin({ generation: 2, state: 'degraded', error: loadError() });
      const state = after([changed(change, next, { seq: '11' })]);
      expect(state.plugins['search/demo']).toBe(next);
      expect(state.pulses['search/demo']).toBe(1);
      expect(state.position?.seq).toBe('11');
    },
  );

  it('unloaded removes it', () => {
    const state = after([changed('unloaded', plugin(), { seq: '11' })]);
    expect(state.plugins).toEqual({});
    expect(state.activity[0]?.kind).toBe('unloaded');
  });

  it('is announced by loading, also of a plugin that is new, without a flash or a line', () => {
    const fresh = plugin({ name: 'fresh', state: 'loading', generation: 0 });
    const state = after([changed('loading', plugin(), { seq: '11' }), changed('loading', fresh, { seq: '12' })]);
    expect([...state.changing]).toEqual(['search/demo', 'search/fresh']);
    expect(state.plugins['search/fresh']).toBe(fresh);
    expect(state.pulses).toEqual({});
    expect(state.activity).toEqual([]);
  });

  it('ends the announcement', () => {
    const state = after([changed('loading', plugin(), { seq: '11' }), changed('failed', plugin(), { seq: '12' })]);
    expect(state.changing.size).toBe(0);
  });
});

describe('positions', () => {
  it('what the snapshot holds already is told but not applied', () => {
    const state = after([changed('reloaded', plugin({ generation: 7 }), { seq: '9' })]);
    expect(state.plugins['search/demo']?.generation).toBe(1);
    expect(state.activity).toHaveLength(1);
    expect(state.position?.seq).toBe('10');
  });

  it('an event that comes twice counts once', () => {
    const one = changed('reloaded', plugin({ generation: 2 }), { seq: '11' });
    const state = after([one, one]);
    expect(state.pulses['search/demo']).toBe(1);
    expect(state.activity).toHaveLength(1);
  });

  it('are compared as numbers, and another epoch is always newer', () => {
    expect(isAfter({ epoch: 'a', seq: '10' }, { epoch: 'a', seq: '9' })).toBe(true);
    expect(isAfter({ epoch: 'a', seq: '9' }, { epoch: 'a', seq: '9' })).toBe(false);
    expect(isAfter({ epoch: 'b', seq: '1' }, { epoch: 'a', seq: '9' })).toBe(true);
    expect(isAfter({ epoch: 'a', seq: '9007199254740993' }, { epoch: 'a', seq: '9007199254740992' })).toBe(true);
  });

  it('move on with heartbeats', () => {
    expect(after([event('plugbay.heartbeat', 'heartbeat', {}, { seq: '15' })]).position?.seq).toBe('15');
  });
});

describe('a batch', () => {
  const loading = changed('loading', plugin({ generation: 2 }), { seq: '11' });
  const reloaded = changed('reloaded', plugin({ generation: 2 }), { seq: '12' });
  const fresh = changed('loaded', plugin({ name: 'fresh' }), { seq: '13' });
  const gone = changed('unloaded', plugin(), { seq: '14' });
  const drained = event('plugbay.generation.drained', 'plugins/search/demo', { generation: 1, drain_ms: 1, forced: false }, { seq: '15' });

  it('ends as its events one by one', () => {
    const events = [loading, reloaded, fresh, gone, drained];
    const begun = reduce(initialState, { kind: 'snapshot', snapshot: snapshot([plugin()]) });
    expect(reduce(begun, { kind: 'events', events })).toEqual(after(events));
  });

  it('leaves the state that it began with, and what it does not touch', () => {
    const begun = after([]);
    const kept = structuredClone(begun);
    const next = reduce(begun, { kind: 'events', events: [loading, reloaded, gone] });
    expect(begun).toEqual(kept);
    expect(next.plugins).not.toBe(begun.plugins);
    const idle = reduce(begun, { kind: 'events', events: [event('plugbay.heartbeat', 'heartbeat', {}, { seq: '20' }), drained] });
    expect(idle.pulses).toBe(begun.pulses);
    expect(idle.changing).toBe(begun.changing);
  });

  it('keeps nothing of plugins that are gone', () => {
    const state = reduce(after([reloaded]), { kind: 'snapshot', snapshot: snapshot([plugin({ name: 'other' })], '30') });
    expect(state.pulses).toEqual({});
  });
});

describe('generations and calls', () => {
  const draining = plugin({ draining: [{ generation: 1, calls: 2 }, { generation: 2, calls: 1 }] });

  it('a drained generation is gone from its plugin', () => {
    const data = { generation: 1, drain_ms: 12, forced: false };
    const state = after([event('plugbay.generation.drained', 'plugins/search/demo', data, { seq: '11' })], [draining]);
    expect(state.plugins['search/demo']?.draining).toEqual([{ generation: 2, calls: 1 }]);
  });

  it('a drained generation of an unknown plugin changes nothing', () => {
    const data = { generation: 1, drain_ms: 12, forced: false };
    const state = after([event('plugbay.generation.drained', 'plugins/search/gone', data, { seq: '11' })], [draining]);
    expect(state.plugins['search/demo']).toBe(draining);
  });
});

describe('the activity feed', () => {
  it('has the newest first and a limit', () => {
    const events = Array.from({ length: ACTIVITY_LIMIT + 5 }, (_, n) =>
      changed('reloaded', plugin({ generation: n }), { seq: String(n + 11) }),
    );
    const { activity } = after(events);
    expect(activity).toHaveLength(ACTIVITY_LIMIT);
    expect(activity[0]?.params.generation).toBe(ACTIVITY_LIMIT + 4);
  });

  it('has one line for the stages of one install', () => {
    const stage = (name: string, seq: string): PlugbayEvent =>
      event('plugbay.plugin.installing', 'plugins/search/new', { stage: name, url: null }, { seq });
    const state = after([stage('fetch', '11'), stage('load', '12')]);
    expect(state.activity.map((entry) => entry.params.stage)).toEqual(['load']);
    expect(state.installing).toEqual({ id: 'search/new', stage: 'load', url: null, progress: null });
  });
});

describe('what is shown', () => {
  const state = after([], [
    plugin({ name: 'zebra', description: 'stripes' }),
    plugin({ name: 'ant', state: 'failed' }),
    plugin({ type: 'parser', name: 'page' }),
  ]);

  it('is sorted by name and split by type', () => {
    expect(pluginsOf(state, 'search').map(({ name }) => name)).toEqual(['ant', 'zebra']);
    expect(pluginsOf(state, 'download')).toEqual([]);
  });

  it('is counted by state', () => {
    expect(countStates(state)).toEqual({ loading: 0, active: 2, degraded: 0, failed: 1, disabled: 0 });
  });
});

describe('an install', () => {
  const stage = (stage: string, seq: string, id = 'search/demo', more: object = {}): PlugbayEvent =>
    event('plugbay.plugin.installing', `plugins/${id}`, { stage, url: 'https://example.org/demo_plugin.py', ...more }, { seq });
  const kinds = (state: DashboardState): string[] => state.activity.map(({ kind }) => kind);

  it('is one line from stage to stage, also when the file turns out to have another name', () => {
    const state = after([stage('fetch', '11'), stage('load', '12'), stage('install', '13', 'search/other')]);
    expect(kinds(state)).toEqual(['installing']);
    expect(state.activity[0]?.params).toEqual({ stage: 'install' });
    expect(state.installing?.stage).toBe('install');
  });

  it('gives way to the plugin that it brought, whatever that calls itself', () => {
    const named = plugin({ name: 'Demo search', file: 'plugins/search/demo_plugin.py' });
    const upload = event('plugbay.plugin.installing', 'plugins/search/demo', { stage: 'load', url: null }, { seq: '11' });
    expect(kinds(after([upload, changed('loaded', named, { seq: '12' })]))).toEqual(['loaded']);
    const other = plugin({ name: 'other', file: 'plugins/search/other_plugin.py' });
    expect(kinds(after([upload, changed('loaded', other, { seq: '12' })]))).toEqual(['loaded', 'installing']);
  });

  it('that is refused ends with the reason, also when the answer and the event both tell it', () => {
    const installing = after([stage('fetch', '11')]);
    const at = new Date('2026-11-22T12:00:02Z');
    const refused = refusedActivity('search/demo', null, plainError('fetch_failed', 'no answer'), at);
    const ended = reduce(installing, { kind: 'activity', activity: refused });
    expect(kinds(ended)).toEqual(['refused']);
    expect(ended.activity[0]?.error?.message).toBe('no answer');
    const told = reduce(ended, { kind: 'events', events: [stage('failed', '12')] });
    expect(kinds(told)).toEqual(['refused']);
    expect(told.activity[0]?.error?.message).toBe('no answer');
    expect(told.installing).toBeNull();
  });

  it('of another client ends by the event alone', () => {
    const state = after([stage('load', '11'), stage('failed', '12', 'search/demo', { error: loadError() })]);
    expect(kinds(state)).toEqual(['refused']);
    expect(state.activity[0]?.error?.line).toBe(3);
  });
});
