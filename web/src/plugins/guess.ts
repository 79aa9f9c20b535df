/** What kind of plugin a file holds, judged by the class that it derives from. */

import type { PluginType } from '../api/model';

const BASES: Record<string, PluginType> = {
  SearchPlugin: 'search',
  DownloadPlugin: 'download',
  ParserPlugin: 'parser',
};

const CLASS_LINE = /^class[ \t]+[^\s(:]{1,200}[ \t]*\(([^)]{0,500})\)/gm;

/** The type of the first class in `source` with a known base, or null. */
export function guessType(source: string): PluginType | null {
  for (const [, bases = ''] of source.matchAll(CLASS_LINE)) {
    for (const base of bases.split(',')) {
      const type = BASES[base.trim().split('.').pop() ?? ''];
      if (type !== undefined) return type;
    }
  }
  return null;
}

/** The type that an address suggests by its folders (`…/plugins/search/demo_plugin.py`), or null. */
export function guessTypeOfUrl(url: string): PluginType | null {
  const parts = url.toLowerCase().split(/[/?#_.-]+/);
  if (parts.includes('search')) return 'search';
  if (parts.includes('download') || parts.includes('downloader')) return 'download';
  if (parts.includes('parser')) return 'parser';
  return null;
}

/** Whether an address can be installed from: http or https, with a host. */
export function isInstallUrl(text: string): boolean {
  try {
    const url = new URL(text.trim());
    return (url.protocol === 'http:' || url.protocol === 'https:') && url.hostname !== '';
  } catch {
    return false;
  }
}
