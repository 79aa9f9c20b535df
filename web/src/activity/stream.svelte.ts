/** The event stream of the page: its past, what comes, and a pause in which what comes waits. */

import { asEvent, type LiveEvent } from '../live/events';
import type { Dashboard } from '../shell/dashboard.svelte';
import { Feed } from './feed.svelte';
import { entryOf, joined, STREAM_LIMIT, type StreamEntry } from './stream';

const TOPICS = ['plugins/**', 'registry', 'config', 'token', 'tasks/*'];

/** Newest first. */
export class EventStream extends Feed<StreamEntry> {
  /**
   * @param heard told of every event, also while it is held
   */
  constructor(
    dashboard: Dashboard,
    private readonly heard: (event: LiveEvent) => void = () => undefined,
  ) {
    super(dashboard, TOPICS);
  }

  protected receive(event: LiveEvent): void {
    this.heard(event);
    const entry = entryOf(event);
    if (entry !== null) this.add([entry]);
  }

  protected async past(): Promise<readonly StreamEntry[]> {
    const path = `/api/activity?limit=${STREAM_LIMIT}&topics=${encodeURIComponent(TOPICS.join(','))}`;
    const { events } = await this.dashboard.api.send<{ events: unknown[] }>('GET', path);
    const known = events.map(asEvent).filter((event) => event !== null);
    return known.map(entryOf).filter((entry) => entry !== null);
  }

  protected joined = joined;

  protected countNew(shown: readonly StreamEntry[], come: readonly StreamEntry[]): number {
    const ids = new Set(shown.map(({ id }) => id));
    return come.filter(({ id }) => !ids.has(id)).length;
  }
}
