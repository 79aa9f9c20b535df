import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { around, DICTIONARIES, type Key, named, preferredLanguage, translate } from '../src/i18n';
import { INSTALL_STAGES, LOAD_STAGES, PLUGIN_STATES, PLUGIN_TYPES } from '../src/api/model';

const { zh, en } = DICTIONARIES;
const keys = Object.keys(zh) as Key[];
const slotsOf = (text: string): string[] => [...new Set([...text.matchAll(/\{(\w+)/g)].map(([, name]) => name ?? ''))].sort();

const SOURCES = join(import.meta.dirname, '../src');

function sources(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf-8' })
    .filter((name) => /\.(svelte|ts)$/.test(name) && !name.includes('i18n') && !/^(zh|en)\.ts$/.test(basename(name)))
    .map((name) => readFileSync(join(folder, name), 'utf-8'))
    .join('\n');
}

function unused(all: readonly string[], source: string, computed: RegExp): string[] {
  return all.filter((key) => !computed.test(key) && !source.includes(`'${key}'`));
}

describe('the dictionaries', () => {
  it('have the same keys', () => {
    expect(Object.keys(en).sort()).toEqual([...keys].sort());
  });

  it('are written in both languages, with the same slots', () => {
    for (const key of keys) {
      expect(zh[key].trim(), key).not.toBe('');
      expect(en[key].trim(), key).not.toBe('');
      expect(slotsOf(en[key]), key).toEqual(slotsOf(zh[key]));
    }
  });

  it('are Chinese and English', () => {
    const ownNames = new Set<Key>(['language.switch', 'plugin.hash']);
    for (const key of keys.filter((one) => !ownNames.has(one))) {
      expect(zh[key], key).toMatch(/[\u4e00-\u9fff]/);
      expect(en[key], key).not.toMatch(/[\u4e00-\u9fff]/);
    }
  });

  it('have a word for every type, state and stage', () => {
    for (const type of PLUGIN_TYPES) expect(keys).toContain(`type.${type}`);
    for (const state of PLUGIN_STATES) expect(keys).toContain(`state.hint.${state}`);
    for (const stage of [...LOAD_STAGES, ...INSTALL_STAGES]) expect(keys).toContain(`stage.${stage}`);
  });

  it('hold nothing that the page does not use', () => {
    const computed =
      /^(type|state|sort|stage|cause|origin|theme|connection|activity|nav)\.|^plugin\.(page|lacking)\./;
    expect(unused(keys, sources(SOURCES), computed)).toEqual([]);
  });
});

/** Each feature's own words, which come with it. */
const FEATURES = Object.fromEntries(
  Object.entries(import.meta.glob<Dictionary>('../src/*/{zh,en}.ts', { eager: true }))
    .filter(([path]) => !path.includes('/i18n/'))
    .map(([path, dictionary]) => [path.replace('../src/', '').replace('.ts', ''), dictionary]),
);
type Dictionary = Record<string, Record<string, string>>;
const features = [...new Set(Object.keys(FEATURES).map((path) => path.split('/')[0] ?? ''))];

describe.each(features)('the words of %s', (feature) => {
  const own = FEATURES[`${feature}/zh`]?.zh ?? {};
  const other = FEATURES[`${feature}/en`]?.en ?? {};

  it('are the same in both languages', () => {
    expect(Object.keys(other).sort()).toEqual(Object.keys(own).sort());
    for (const [key, text] of Object.entries(own)) {
      expect(text.trim(), key).not.toBe('');
      expect(other[key]?.trim(), key).not.toBe('');
      expect(slotsOf(other[key] ?? ''), key).toEqual(slotsOf(text));
    }
  });

  it('are Chinese and English', () => {
    for (const [key, text] of Object.entries(own)) {
      // What is the same in both is a name, such as JSON.
      if (text !== other[key]) expect(text, key).toMatch(/[\u4e00-\u9fff]/);
      expect(other[key], key).not.toMatch(/[\u4e00-\u9fff]/);
    }
  });

  it('hold nothing that it does not use', () => {
    const source = sources(join(SOURCES, feature));
    // A key that is put together stands in the source as far as its last dot: t(`log.level.${level}`).
    const computed = [...source.matchAll(/`([\w.]+\.)\$\{/g)].map(([, start]) => start ?? '');
    const left = unused(Object.keys(own), source, /^$/);
    expect(left.filter((key) => !computed.some((start) => key.startsWith(start)))).toEqual([]);
  });
});

describe('a text', () => {
  it('takes values and forms by number', () => {
    expect(translate('en', 'plugin.running', { n: 1 })).toBe('1 call running');
    expect(translate('en', 'plugin.running', { n: 2 })).toBe('2 calls running');
    expect(translate('zh', 'plugin.running', { n: 2 })).toBe('2 个调用进行中');
  });

  it('does not read a value as a slot', () => {
    expect(translate('en', 'delete.title', { name: '{name}$&' })).toBe('Delete plugin {name}$&?');
  });

  it('can be split where an element goes', () => {
    expect(around('before {plugin} after', '{plugin}')).toEqual(['before ', ' after']);
    expect(around('nothing', '{plugin}')).toEqual(['nothing', '']);
  });

  it('falls back to the name that a newer server sends', () => {
    expect(named('en', 'stage', 'self_check')).toBe('self-check');
    expect(named('en', 'stage', 'teleport')).toBe('teleport');
    expect(named('en', 'stage', 'toString')).toBe('toString');
  });
});

describe('the first language', () => {
  it.each([
    [['zh-TW', 'en'], 'zh'],
    [['en-US', 'zh'], 'en'],
    [['fr', 'zh-CN'], 'zh'],
    [['fr'], 'en'],
    [[], 'zh'],
  ] as const)('of %j is %s', (languages, expected) => {
    expect(preferredLanguage(languages)).toBe(expected);
  });
});
