/** The words of the editor itself in Chinese; in English they are its own. */

import type { Language } from '../api/model';

const ZH: Record<string, string> = {
  Find: '查找',
  Replace: '替换为',
  next: '下一个',
  previous: '上一个',
  all: '全选',
  'match case': '区分大小写',
  regexp: '正则',
  'by word': '整词',
  replace: '替换',
  'replace all': '全部替换',
  close: '关闭',
  'current match': '当前匹配',
  'on line': '位于行',
  'replaced $ matches': '已替换 $ 处',
  'replaced match on line $': '已替换第 $ 行的匹配',
  'Go to line': '跳到行',
  go: '跳转',
  to: '到',
  'Fold line': '折叠',
  'Unfold line': '展开',
  'folded code': '已折叠的代码',
  unfold: '展开',
  'Folded lines': '已折叠',
  'Unfolded lines': '已展开',
  Completions: '补全',
  Diagnostics: '问题',
  'No diagnostics': '没有问题',
  'Control character': '控制字符',
  'Selection deleted': '已删除所选内容',
  '$ unchanged lines': '$ 行未改动',
  Accept: '保留我的',
  Reject: '用磁盘上的',
  'Revert this chunk': '换回这一处',
};

const EN: Record<string, string> = { Accept: 'Keep mine', Reject: 'Take the one on disk' };

export function phrasesOf(language: Language): Record<string, string> {
  return language === 'zh' ? ZH : EN;
}
