/** From events to what the page shows. Pure: no clock, no network, no view. */

import { type Activity, activityOf } from '../activity/activity';
import type { InstallProgress } from '../api/generated';
import { type PlugbayEvent, pluginIdOf, positionOf } from '../live/events';
import { type Plugin, PLUGIN_TYPES, type PluginState, type PluginType, type Position, type Snapshot } from '../api/model';

/** How many entries the activity feed keeps. */
export const ACTIVITY_LIMIT = 100;

const SAME_REFUSAL_MS = 3_000;

export interface InstallStage {
  id: string;
  stage: string;
  url: string | null;
  /** How far its dependencies are, in the stage that is about them. */
  progress: InstallProgress | null;
}

export interface DashboardState {
  /** False until the first snapshot is there. */
  ready: boolean;
  plugins: Readonly<Record<string, Plugin>>;
  /** How often each plugin has changed since the page was opened; a view that sees it grow may flash. */
  pulses: Readonly<Record<string, number>>;
  /** Plugins whose change was announced and has not ended. */
  changing: ReadonlySet<string>;
  /** Newest first. */
  activity: readonly Activity[];
  /** The newest stage that any install has come to. */
  installing: InstallStage | null;
  position: Position | null;
}

export type Action =
  | { kind: 'snapshot'; snapshot: Snapshot }
  /** What has come since the last time, in order. */
  | { kind: 'events'; events: readonly PlugbayEvent[] }
  | { kind: 'activity'; activity: Activity };

export const initialState: DashboardState = {
  ready: false,
  plugins: {},
  pulses: {},
  changing: new Set(),
  activity: [],
  installing: null,
  position: null,
};

export function reduce(state: DashboardState, action: Action): DashboardState {
  switch (action.kind) {
    case 'snapshot':
      return withSnapshot(state, action.snapshot);
    case 'events': {
      const draft = new Draft(state);
      for (const event of action.events) receive(draft, event);
      return draft.done();
    }
    case 'activity':
      return { ...state, activity: withActivity(state.activity, action.activity) };
  }
}

function withSnapshot(state: DashboardState, snapshot: Snapshot): DashboardState {
  const plugins: Record<string, Plugin> = {};
  for (const type of PLUGIN_TYPES) {
    for (const plugin of snapshot[type]) plugins[plugin.id] = plugin;
  }
  return {
    ...state,
    ready: true,
    plugins,
    // Of plugins that went while nobody was told, nothing is kept.
    pulses: Object.fromEntries(Object.entries(state.pulses).filter(([id]) => plugins[id] !== undefined)),
    changing: new Set(),
    position: { epoch: snapshot.epoch, seq: snapshot.seq },
  };
}

/**
 * A state in the making. What is large is copied when it is first written to, once for all events of a batch: a
 * reload of everything costs one copy of the list of plugins, not a thousand.
 */
class Draft {
  activity: DashboardState['activity'];
  installing: DashboardState['installing'];
  position: DashboardState['position'];
  private ownPlugins: Record<string, Plugin> | null = null;
  private ownPulses: Record<string, number> | null = null;
  private ownChanging: Set<string> | null = null;

  constructor(private readonly before: DashboardState) {
    ({ activity: this.activity, installing: this.installing, position: this.position } = before);
  }

  get plugins(): Record<string, Plugin> {
    return (this.ownPlugins ??= { ...this.before.plugins });
  }

  get pulses(): Record<string, number> {
    return (this.ownPulses ??= { ...this.before.pulses });
  }

  get changing(): Set<string> {
    return (this.ownChanging ??= new Set(this.before.changing));
  }

  done(): DashboardState {
    const { ready, plugins, pulses, changing } = this.before;
    const { activity, installing, position } = this;
    return {
      ready,
      plugins: this.ownPlugins ?? plugins,
      pulses: this.ownPulses ?? pulses,
      changing: this.ownChanging ?? changing,
      activity,
      installing,
      position,
    };
  }
}

function receive(draft: Draft, event: PlugbayEvent): void {
  const activity = activityOf(event);
  if (activity !== null) draft.activity = withActivity(draft.activity, activity);
  const position = positionOf(event);
  if (position !== null) {
    // What the snapshot already holds is history: worth a line in the feed, not a change of the view.
    if (draft.position !== null && !isAfter(position, draft.position)) return;
    draft.position = position;
  }
  apply(draft, event);
}

function apply(draft: Draft, event: PlugbayEvent): void {
  switch (event.type) {
    case 'plugbay.plugin.loading': {
      // A plugin that takes long to load for the first time is heard of here before anything else.
      const { plugin } = event.data;
      draft.plugins[plugin.id] = plugin;
      draft.changing.add(plugin.id);
      return;
    }
    case 'plugbay.plugin.loaded':
    case 'plugbay.plugin.reloaded':
    case 'plugbay.plugin.failed':
    case 'plugbay.plugin.enabled':
    case 'plugbay.plugin.disabled':
    case 'plugbay.plugin.configured':
    case 'plugbay.plugin.crashed': {
      const { plugin } = event.data;
      draft.plugins[plugin.id] = plugin;
      draft.pulses[plugin.id] = (draft.pulses[plugin.id] ?? 0) + 1;
      draft.changing.delete(plugin.id);
      return;
    }
    case 'plugbay.plugin.unloaded': {
      const { id } = event.data.plugin;
      delete draft.plugins[id];
      delete draft.pulses[id];
      draft.changing.delete(id);
      return;
    }
    case 'plugbay.plugin.installing': {
      const { stage, url, progress = null } = event.data;
      draft.installing = stage === 'failed' ? null : { id: pluginIdOf(event) ?? '', stage, url, progress };
      return;
    }
    case 'plugbay.generation.drained': {
      const id = pluginIdOf(event) ?? '';
      const plugin = draft.plugins[id];
      if (plugin === undefined) return;
      const draining = plugin.draining.filter(({ generation }) => generation !== event.data.generation);
      // Most generations are drained before anybody has seen them drain; then there is nothing to draw anew.
      if (draining.length < plugin.draining.length) draft.plugins[id] = { ...plugin, draining };
      return;
    }
    case 'plugbay.registry.reloaded':
    case 'plugbay.config.imported':
    case 'plugbay.token.rotated':
    case 'plugbay.heartbeat':
      return;
    default:
      return event satisfies never;
  }
}

function withActivity(all: readonly Activity[], activity: Activity): readonly Activity[] {
  if (all.some((known) => known.id === activity.id)) return all;
  // An install is one line, which moves on from stage to stage and gives way to the one that ends it.
  const kept = all.filter((known) => known.kind !== 'installing' || !isOfOneInstall(known, activity));
  const [newest, ...older] = kept;
  if (activity.kind === 'refused' && newest?.kind === 'refused' && isOfOneInstall(newest, activity)) {
    // The answer and the event say the same; whichever comes second may know more.
    const both = { ...newest, error: activity.error ?? newest.error };
    if (Date.parse(activity.at) - Date.parse(newest.at) < SAME_REFUSAL_MS) return [both, ...older];
  }
  return [activity, ...kept].slice(0, ACTIVITY_LIMIT);
}

function isOfOneInstall(one: Activity, other: Activity): boolean {
  return one.installs.some((name) => other.installs.includes(name));
}

/** Whether `position` is newer than `known`; a position of another epoch always is. */
export function isAfter(position: Position, known: Position): boolean {
  return position.epoch !== known.epoch || BigInt(position.seq) > BigInt(known.seq);
}

/** How many plugins there are of each state. */
export function countStates(state: DashboardState): Record<PluginState, number> {
  const counts: Record<PluginState, number> = { loading: 0, active: 0, degraded: 0, failed: 0, disabled: 0 };
  for (const plugin of Object.values(state.plugins)) counts[plugin.state] += 1;
  return counts;
}

/** The plugins of one type, by name. */
export function pluginsOf(state: DashboardState, type: PluginType): Plugin[] {
  return Object.values(state.plugins)
    .filter((plugin) => plugin.type === type)
    .sort(byName);
}

/** Made once: comparing with a collator of its own costs a text a hundred times less. */
const COLLATOR = new Intl.Collator(undefined, { numeric: true });

export function byName(one: Plugin, other: Plugin): number {
  return COLLATOR.compare(one.name, other.name) || COLLATOR.compare(one.file, other.file);
}
