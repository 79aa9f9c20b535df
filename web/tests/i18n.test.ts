import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { around, DICTIONARIES, type Key, named, preferredLanguage, translate } from '../src/lib/i18n';
import { INSTALL_STAGES, LOAD_STAGES, PLUGIN_STATES, PLUGIN_TYPES } from '../src/lib/model';

const { zh, en } = DICTIONARIES;
const keys = Object.keys(zh) as Key[];
const slotsOf = (text: string): string[] => [...new Set([...text.matchAll(/\{(\w+)/g)].map(([, name]) => name ?? ''))].sort();

function sources(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf-8' })
    .filter((name) => /\.(svelte|ts)$/.test(name) && !name.includes('i18n'))
    .map((name) => readFileSync(join(folder, name), 'utf-8'))
    .join('\n');
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
    const ownNames = new Set<Key>(['language.switch', 'plugin.hash', 'install.url.placeholder']);
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
    const used = sources(join(import.meta.dirname, '../src'));
    const computed = /^(type|state|stage|cause|origin|theme|connection|activity|nav|status)\.|^(search\.sort|result\.address|downloads\.filter)\.|^task\.(pause|resume|retry|cancel)$/;
    const unused = keys.filter((key) => !computed.test(key) && !used.includes(`'${key}'`));
    expect(unused).toEqual([]);
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
