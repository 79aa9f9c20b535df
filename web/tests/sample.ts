import type { PlugbayEvent, PluginChangeType } from '../src/live/events';
import type { LoadError, Plugin, Snapshot } from '../src/api/model';
import type { TaskChangeType, TaskEvent } from '../src/tasks/taskEvents';
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
    origin: { kind: 'file', sha256: '00' },
    permissions: { asked: {}, granted: {} },
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

function envelope({ seq, epoch = 'e1' }: Place): { id: string; time: string; epoch?: string; seq?: string } {
  const time = '2026-11-22T12:00:01Z';
  return seq === undefined ? { id: `passing-${Math.random()}`, time } : { id: `${epoch}-${seq}`, time, epoch, seq };
}

export function changed(change: string, of: Plugin, place: Place = {}): PlugbayEvent {
  const type = `plugbay.plugin.${change}` as PluginChangeType;
  return { ...envelope(place), type, subject: `plugins/${of.id}`, data: { plugin: of, cause: 'file' } };
}

export function event(type: string, subject: string, data: object, place: Place = {}): PlugbayEvent {
  return { ...envelope(place), type, subject, data } as PlugbayEvent;
}

/** A task as the server would send it. */
export function task(changes: Partial<Task> = {}): Task {
  return {
    id: 't1',
    kind: 'download',
    status: 'pending',
    plugin_name: null,
    title: '',
    url: null,
    keyword: null,
    plugins: null,
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
    external_id: null,
    resumable: true,
    created_at: '2026-11-22T12:00:00.000Z',
    started_at: null,
    completed_at: null,
    ...changes,
  };
}

export function taskChanged(change: string, about: Task, place: Place = { seq: '11' }): TaskEvent {
  const type = `plugbay.task.${change}` as TaskChangeType;
  return { ...envelope(place), type, subject: `tasks/${about.id}`, data: { task: about } };
}

export function taskProgress(about: Task): TaskEvent {
  return { ...envelope({}), type: 'plugbay.task.progress', subject: `tasks/${about.id}`, data: { task: about } };
}

/** A search has found more; `about.result_count` is how many there are with these. */
export function taskResults(about: Task, results: unknown[], place: Place = { seq: '11' }): TaskEvent {
  return {
    ...envelope(place),
    type: 'plugbay.task.results',
    subject: `tasks/${about.id}`,
    data: { task: about, results },
  };
}
