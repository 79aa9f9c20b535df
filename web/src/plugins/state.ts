/** From events to what the page shows. Pure: no clock, no network, no view. */

import { type Activity, activityOf } from '../activity/activity';
import { type PlugbayEvent, pluginIdOf, positionOf } from '../live/events';
import { type Plugin, PLUGIN_TYPES, type PluginState, type PluginType, type Position, type Snapshot } from '../api/model';

/** How many entries the activity feed keeps. */
export const ACTIVITY_LIMIT = 200;

const SAME_REFUSAL_MS = 3_000;

export interface InstallStage {
  id: string;
  stage: string;
  url: string | null;
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
  | { kind: 'counts'; snapshot: Snapshot }
  | { kind: 'event'; event: PlugbayEvent }
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
    case 'counts':
      return withCounts(state, action.snapshot);
    case 'event':
      return withEvent(state, action.event);
    case 'activity':
      return withActivity(state, action.activity);
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
    changing: new Set(),
    position: { epoch: snapshot.epoch, seq: snapshot.seq },
  };
}

/** Events carry the numbers of calls as of the event only, so these are asked for now and then. */
function withCounts(state: DashboardState, snapshot: Snapshot): DashboardState {
  const plugins = { ...state.plugins };
  for (const type of PLUGIN_TYPES) {
    for (const { id, generation, running_calls, draining } of snapshot[type]) {
      const known = plugins[id];
      if (known?.generation === generation) plugins[id] = { ...known, running_calls, draining };
    }
  }
  return { ...state, plugins };
}

function withEvent(state: DashboardState, event: PlugbayEvent): DashboardState {
  const activity = activityOf(event);
  const shown = activity === null ? state : withActivity(state, activity);
  const position = positionOf(event);
  if (position === null) return applied(shown, event);
  // What the snapshot already holds is history: worth a line in the feed, not a change of the view.
  if (state.position !== null && !isAfter(position, state.position)) return shown;
  return { ...applied(shown, event), position };
}

function applied(state: DashboardState, event: PlugbayEvent): DashboardState {
  switch (event.type) {
    case 'plugbay.plugin.loading':
      return withAnnouncement(state, event.data.plugin);
    case 'plugbay.plugin.loaded':
    case 'plugbay.plugin.reloaded':
    case 'plugbay.plugin.failed':
    case 'plugbay.plugin.enabled':
    case 'plugbay.plugin.disabled':
    case 'plugbay.plugin.configured':
    case 'plugbay.plugin.crashed':
      return withPlugin(state, event.data.plugin);
    case 'plugbay.plugin.unloaded':
      return withoutPlugin(state, event.data.plugin.id);
    case 'plugbay.plugin.installing': {
      const { stage, url } = event.data;
      return { ...state, installing: stage === 'failed' ? null : { id: pluginIdOf(event) ?? '', stage, url } };
    }
    case 'plugbay.generation.drained':
      return withoutDraining(state, pluginIdOf(event) ?? '', event.data.generation);
    case 'plugbay.registry.reloaded':
    case 'plugbay.config.imported':
    case 'plugbay.heartbeat':
      return state;
    default:
      return event satisfies never;
  }
}

/** A plugin that takes long to load for the first time is heard of here before anything else. */
function withAnnouncement(state: DashboardState, plugin: Plugin): DashboardState {
  return {
    ...state,
    plugins: { ...state.plugins, [plugin.id]: plugin },
    changing: new Set(state.changing).add(plugin.id),
  };
}

function withPlugin(state: DashboardState, plugin: Plugin): DashboardState {
  const { id } = plugin;
  return {
    ...state,
    plugins: { ...state.plugins, [id]: plugin },
    pulses: { ...state.pulses, [id]: (state.pulses[id] ?? 0) + 1 },
    changing: without(state.changing, id),
  };
}

function withoutPlugin(state: DashboardState, id: string): DashboardState {
  const { [id]: _gone, ...plugins } = state.plugins;
  const { [id]: _forgotten, ...pulses } = state.pulses;
  return { ...state, plugins, pulses, changing: without(state.changing, id) };
}

function withoutDraining(state: DashboardState, id: string, generation: number): DashboardState {
  const plugin = state.plugins[id];
  if (plugin === undefined) return state;
  const draining = plugin.draining.filter((entry) => entry.generation !== generation);
  return { ...state, plugins: { ...state.plugins, [id]: { ...plugin, draining } } };
}

function withActivity(state: DashboardState, activity: Activity): DashboardState {
  if (state.activity.some((known) => known.id === activity.id)) return state;
  // An install is one line, which moves on from stage to stage and gives way to the one that ends it.
  const kept = state.activity.filter((known) => known.kind !== 'installing' || !isOfOneInstall(known, activity));
  const [newest, ...older] = kept;
  if (activity.kind === 'refused' && newest?.kind === 'refused' && isOfOneInstall(newest, activity)) {
    // The answer and the event say the same; whichever comes second may know more.
    const both = { ...newest, error: activity.error ?? newest.error };
    if (Date.parse(activity.at) - Date.parse(newest.at) < SAME_REFUSAL_MS) return { ...state, activity: [both, ...older] };
  }
  return { ...state, activity: [activity, ...kept].slice(0, ACTIVITY_LIMIT) };
}

function isOfOneInstall(one: Activity, other: Activity): boolean {
  return one.installs.some((name) => other.installs.includes(name));
}

function without(set: ReadonlySet<string>, id: string): ReadonlySet<string> {
  if (!set.has(id)) return set;
  const rest = new Set(set);
  rest.delete(id);
  return rest;
}

/** Whether `position` is newer than `known`; a position of another epoch always is. */
export function isAfter(position: Position, known: Position): boolean {
  return position.epoch !== known.epoch || BigInt(position.seq) > BigInt(known.seq);
}

/** The plugins of one type that `words` and `only` let through, by name. */
export function pluginsOf(
  state: DashboardState,
  type: PluginType,
  words = '',
  only: PluginState | null = null,
): Plugin[] {
  const wanted = words.trim().toLowerCase();
  return Object.values(state.plugins)
    .filter((plugin) => plugin.type === type && (only === null || plugin.state === only))
    .filter(({ name, description, file }) => `${name}\n${description}\n${file}`.toLowerCase().includes(wanted))
    .sort((a, b) => a.name.localeCompare(b.name) || a.file.localeCompare(b.file));
}

/** How many plugins there are of each state. */
export function countStates(state: DashboardState): Record<PluginState, number> {
  const counts: Record<PluginState, number> = { loading: 0, active: 0, degraded: 0, failed: 0, disabled: 0 };
  for (const plugin of Object.values(state.plugins)) counts[plugin.state] += 1;
  return counts;
}
