/** The configuration of one plugin while it is edited: what is stored, what was typed, what came of saving it. */

import { ApiError } from '../api/api';
import type { Plugin } from '../api/model';
import type { PluginsApi } from '../plugins/pluginsApi';
import { describe } from '../shell/dashboard.svelte';
import type { Config, ConfigApi, Stored } from './configApi';
import { AnyDraft, type ChoiceDraft, type Draft, draftOf, ObjectDraft, parsed } from './draft.svelte';
import { isObject, own, same, type Shape, shapeOfFields } from './field';
import { shapeOfSchema } from './jsonSchema';
import { flawsOf, places, within, withoutDefaults } from './places';

export type Mode = 'form' | 'json';

export interface FieldError {
  field: string;
  message: string;
}

type Root = ObjectDraft | ChoiceDraft | AnyDraft;

const NO_FLAWS: ReturnType<typeof flawsOf> = new Map();

export class ConfigForm {
  /** Null until it is known what is stored. */
  root = $state.raw<Root | null>(null);
  mode = $state<Mode>('form');
  /** The JSON text that is being edited, in that mode. */
  json = $state('');
  loadError = $state('');
  saving = $state(false);
  /** What the last save came to; null once something is typed after it. */
  stored = $state.raw<Stored | null>(null);
  /** Why the last save was refused, where it is not about fields. */
  refusal = $state('');
  errors = $state.raw<readonly FieldError[]>([]);
  /** What was stored elsewhere while this form has changes of its own. */
  theirs = $state.raw<Config | null>(null);
  /** Counts the times that the form took over by itself what was stored elsewhere. */
  followed = $state(0);

  /** Which entries of lists the reader folded or unfolded, by place. */
  readonly folds = new Map<string, boolean>();

  private shape: Shape;
  private schema: string;
  /** What is stored, as the server shows it. */
  private baseline: Config = {};
  /** The value of the form, and its text as JSON, before anything was typed. */
  private before = $state('');
  private jsonBefore = $state('');
  /** What is in the form or the text, to be compared. */
  private readonly typed = $derived(this.mode === 'json' ? this.json : JSON.stringify(this.root?.value()));
  /** Whether something was typed that is not stored. */
  readonly dirty = $derived(this.root !== null && this.typed !== (this.mode === 'json' ? this.jsonBefore : this.before));
  /** What can be seen to be wrong already. */
  readonly flaws = $derived.by(() => {
    const flaws = this.root === null || this.mode === 'json' ? NO_FLAWS : flawsOf(this.root);
    return flaws.size === 0 ? NO_FLAWS : flaws;
  });

  private asked = 0;

  constructor(
    private readonly api: ConfigApi,
    private readonly plugins: Pick<PluginsApi, 'undo'>,
    private plugin: Plugin,
  ) {
    this.schema = schemaOf(plugin);
    this.shape = shapeFor(plugin);
  }

  /** Whether the plugin says anything of what it can be configured with. */
  get described(): boolean {
    return !(this.shape.kind === 'object' && this.shape.fields.length === 0 && this.shape.extra === null);
  }

  /** Takes the plugin as it is now; a schema that is another one keeps what was typed as far as it has a place for it. */
  follow(plugin: Plugin): void {
    this.plugin = plugin;
    const schema = schemaOf(plugin);
    if (schema === this.schema) return;
    this.schema = schema;
    this.shape = shapeFor(plugin);
    if (this.root === null || this.mode === 'json') return;
    const typed = this.dirty ? this.current() : null;
    const { theirs } = this;
    this.rebuild(this.baseline);
    if (typed === null) return;
    this.root = this.build(typed);
    this.theirs = theirs;
  }

  /** Asks what is stored, and takes it over or offers it. */
  async refresh(): Promise<void> {
    if (this.saving) return;
    const asked = ++this.asked;
    try {
      const config = await this.api.read(this.plugin);
      if (asked !== this.asked || this.saving) return;
      this.loadError = '';
      if (this.root === null) this.rebuild(config);
      else if (same(config, this.baseline)) this.theirs = null;
      else if (this.dirty) this.theirs = config;
      else {
        this.rebuild(config);
        this.followed += 1;
      }
    } catch (error) {
      if (asked === this.asked) this.loadError = describe(error);
    }
  }

  /** Gives up what was typed. */
  discard(): void {
    this.rebuild(this.theirs ?? this.baseline);
  }

  /** Keeps what was typed here, and takes over all else of what was stored elsewhere. */
  keepMine(): void {
    const { theirs } = this;
    const mine = this.current();
    if (theirs === null || mine === null) return;
    // What the form makes of the stored values by itself is no change of the reader's.
    const before = this.mode === 'json' ? this.baseline : ((parsed(this.before) as Config | undefined) ?? {});
    const names = new Set([...Object.keys(before), ...Object.keys(mine), ...Object.keys(theirs)]);
    const together: Config = Object.fromEntries(
      [...names].flatMap((name) => {
        const source = same(own(mine, name), own(before, name)) ? theirs : mine;
        return Object.hasOwn(source, name) ? [[name, source[name]]] : [];
      }),
    );
    const { mode } = this;
    this.rebuild(theirs);
    this.root = this.build(together);
    if (mode === 'json') this.json = textOf(together);
  }

  /** The names of what was stored elsewhere that differs from what was stored when the form was filled. */
  changedByThem(): string[] {
    const { theirs, baseline } = this;
    if (theirs === null) return [];
    const names = [...new Set([...Object.keys(baseline), ...Object.keys(theirs)])];
    return names.filter((name) => !same(own(baseline, name), own(theirs, name)));
  }

  /** Something was typed: what the last save came to is past. */
  touched(): void {
    this.stored = null;
    this.refusal = '';
  }

  /** The value at a place is being changed, so what was said of it is past. */
  forget(path: string): void {
    const about = ({ field }: FieldError): boolean => field === path || field.startsWith(`${path}.`) || field.startsWith(`${path}[`);
    if (this.errors.some(about)) this.errors = this.errors.filter((error) => !about(error));
  }

  /** Shows the other view of the same values. Returns whether it could: a text may be no JSON. */
  show(mode: Mode): boolean {
    if (mode === this.mode || this.root === null) return true;
    if (mode === 'json') {
      const { dirty } = this;
      this.json = textOf(this.root.value() ?? {});
      this.jsonBefore = dirty ? textOf(this.baseline) : this.json;
      this.mode = mode;
      return true;
    }
    const typed = parsed(this.json);
    if (!isObject(typed)) return false;
    const { dirty, theirs } = this;
    this.mode = mode;
    this.rebuild(this.baseline, false);
    if (dirty) {
      this.root = this.build(typed);
      this.theirs = theirs;
    }
    return true;
  }

  /** Whether the text of the JSON view is an object. */
  get jsonFits(): boolean {
    return this.mode === 'form' || isObject(parsed(this.json));
  }

  /** The places of all that is kept although the plugin does not declare it. */
  unknown(): string[] {
    if (this.root === null) return [];
    return [...places(this.root)].flatMap(([path, draft]) =>
      draft.kind === 'object' ? Object.keys(draft.unknown).map((name) => within(path, name)) : [],
    );
  }

  /** Stores what was typed. Returns whether the server took it. */
  async save(): Promise<boolean> {
    if (this.current() === null || this.saving || this.flaws.size > 0) return false;
    // Whoever saves over the word that others have changed something keeps theirs wherever nothing was typed.
    this.keepMine();
    const values = this.current();
    if (values === null) return false;
    this.saving = true;
    this.touched();
    this.errors = [];
    this.asked += 1;
    try {
      const root = this.mode === 'form' ? this.root : this.build(values);
      const sent = this.typed;
      const stored = await this.api.write(this.plugin, root === null ? values : withoutDefaults(root, values));
      this.settle(stored.config, this.typed === sent);
      this.stored = stored;
      return true;
    } catch (error) {
      const fields = error instanceof ApiError ? (error.problem.errors ?? []) : [];
      if (fields.length > 0) this.errors = fields;
      else this.refusal = describe(error);
      return false;
    } finally {
      this.saving = false;
    }
  }

  /** Undoes what the last save changed. */
  async undo(): Promise<void> {
    const change = this.stored?.change;
    if (change === undefined || change === null) return;
    this.saving = true;
    try {
      await this.plugins.undo(change);
      this.stored = null;
    } catch (error) {
      this.refusal = describe(error);
    } finally {
      this.saving = false;
    }
    await this.refresh();
  }

  /** The errors by the innermost place of the form that each belongs to; under '' those that belong nowhere else. */
  placed(root: Draft): Map<string, string[]> {
    const placed = new Map<string, string[]>();
    if (this.errors.length === 0) return placed;
    const known = new Set([...places(root)].map(([path]) => path));
    for (const { field, message } of this.errors) {
      let path = field;
      while (path !== '' && !known.has(path)) path = outer(path);
      const text = path === field || path !== '' ? message : `${field}: ${message}`;
      placed.set(path, [...(placed.get(path) ?? []), text]);
    }
    return placed;
  }

  private current(): Config | null {
    const value = this.mode === 'json' ? parsed(this.json) : (this.root?.value() ?? {});
    return isObject(value) ? value : null;
  }

  /**
   * What was sent is stored. The form stays as it stands where it shows just that, or where more was typed since.
   *
   * @param all whether nothing was typed since
   */
  private settle(config: Config, all: boolean): void {
    const { root } = this;
    if (!all) {
      this.baseline = config;
      this.theirs = null;
      this.before = JSON.stringify(this.build(config).value());
      this.jsonBefore = textOf(config);
      return;
    }
    if (root !== null && this.mode === 'form') for (const [, draft] of places(root)) if (draft.kind === 'secret') draft.settle();
    if (root === null || this.mode === 'json' || !same(root.value() ?? {}, this.build(config).value() ?? {})) {
      this.rebuild(config);
      return;
    }
    this.baseline = config;
    this.theirs = null;
    this.before = JSON.stringify(root.value());
  }

  private rebuild(config: Config, json = this.mode === 'json'): void {
    this.baseline = config;
    this.theirs = null;
    this.errors = [];
    this.refusal = '';
    this.stored = null;
    this.root = this.build(config);
    this.before = JSON.stringify(this.root.value());
    if (!json) return;
    this.json = textOf(config);
    this.jsonBefore = this.json;
  }

  private build(config: Config): Root {
    const draft = unowned(() => draftOf(this.shape, config));
    return draft.kind === 'object' || draft.kind === 'choice' || draft.kind === 'any' ? draft : new AnyDraft(config);
  }
}

/** What is made belongs to no view, so it stays alive when the view that happened to ask for it goes. */
export function unowned<Made>(make: () => Made): Made {
  let made: Made | undefined;
  $effect.root(() => {
    made = make();
  });
  return made as Made;
}

/** The place around a place: `servers[0]` of `servers[0].host`, `servers` of `servers[0]`. */
function outer(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('.'), path.lastIndexOf('['), 0));
}

function textOf(config: unknown): string {
  return JSON.stringify(config, null, 2);
}

function schemaOf({ config_schema, config_json_schema }: Plugin): string {
  return JSON.stringify(config_json_schema ?? config_schema);
}

function shapeFor({ config_schema, config_json_schema }: Plugin): Shape {
  return config_json_schema === undefined ? shapeOfFields(config_schema) : shapeOfSchema(config_json_schema);
}
