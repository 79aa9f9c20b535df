import type { LoadError } from '../src/api/generated';
import type { Plugin, Snapshot } from '../src/api/model';
import type { LiveEvent, PlugbayEvent, TaskEvent } from '../src/live/events';
import type { Task } from '../src/tasks/taskModel';

/** A plugin as the server would send it. */
export function plugin(changes: Partial<Plugin> = {}): Plugin {
  const { type = 'search', name = 'demo' } = changes;
  return {
    id: `${type}/${name}`,
    type,
    name,
    version: '1.0.0',
    description: '',
    config_schema: [],
    enabled: true,
    state: 'active',
    generation: 1,
    revision: null,
    file: `plugins/${type}/${name}_plugin.py`,
    loaded_at: '2026-11-22T12:00:00Z',
    load_ms: 4.2,
    error: null,
    running_calls: 0,
    draining: [],
    origin: { kind: 'file', sha256: '00', url: null },
    permissions: { asked: {}, granted: {}, lacking: {} },
    config_missing: [],
    ...changes,
  };
}

export function loadError(changes: Partial<LoadError> = {}): LoadError {
  return {
    stage: 'import',
    code: 'raised',
    type: 'NameError',
    message: '出错了',
    messages: { zh: '出错了', en: 'it went wrong' },
    file: 'plugins/search/demo_plugin.py',
    line: 3,
    column: 5,
    traceback: null,
    generation: 2,
    ...changes,
  };
}

export function snapshot(plugins: Plugin[], seq = '10', epoch = 'e1'): Snapshot {
  const of = (type: Plugin['type']): Plugin[] => plugins.filter((one) => one.type === type);
  return { search: of('search'), download: of('download'), parser: of('parser'), epoch, seq };
}

interface Place {
  seq?: string;
  epoch?: string;
}

function envelope({ seq, epoch = 'e1' }: Place): object {
  const around = { specversion: '1.0', source: '/plugbay/test', datacontenttype: 'application/json', epoch };
  const time = '2026-11-22T12:00:01Z';
  return seq === undefined
    ? { ...around, id: `passing-${Math.random()}`, time }
    : { ...around, id: `${epoch}-${seq}`, time, seq };
}

export function changed(change: string, of: Plugin, place: Place = {}): PlugbayEvent {
  return event(`plugbay.plugin.${change}`, `plugins/${of.id}`, { plugin: of, cause: 'file' }, place);
}

export function event<Event extends LiveEvent = PlugbayEvent>(
  type: string,
  subject: string,
  data: object,
  place: Place = {},
): Event {
  const told: object = { ...envelope(place), type, subject, data };
  return told as Event;
}

/** A task as the server would send it. */
export function task(changes: Partial<Task> = {}): Task {
  return {
    id: 't1',
    kind: 'download',
    status: 'pending',
    plugin_name: null,
    generation: null,
    title: '',
    url: null,
    keyword: null,
    plugins: null,
    limit: null,
    progress: 0,
    progress_message: '',
    downloaded: null,
    total: null,
    speed: null,
    eta: null,
    error: null,
    problem: null,
    results: null,
    result_count: 0,
    failures: [],
    searching: [],
    answered: [],
    save_path: null,
    metadata: {},
    external_id: null,
    resumable: true,
    request_id: null,
    created_at: '2026-11-22T12:00:00.000Z',
    started_at: null,
    completed_at: null,
    ...changes,
  };
}

export function taskChanged(change: string, about: Task, place: Place = { seq: '11' }): TaskEvent {
  return taskEvent(change, { task: about }, place);
}

export function taskProgress(about: Task): TaskEvent {
  return taskEvent('progress', { task: about, speed: about.speed, eta: about.eta }, {});
}

/** A search has found more; `about.result_count` is how many there are with these. */
export function taskResults(about: Task, results: unknown[], place: Place = { seq: '11' }): TaskEvent {
  return taskEvent('results', { task: about, results }, place);
}

function taskEvent(change: string, data: { task: Task } & Record<string, unknown>, place: Place): TaskEvent {
  return event<TaskEvent>(`plugbay.task.${change}`, `tasks/${data.task.id}`, data, place);
}
