/** Topics as the server matches them: `*` stands for one part of a subject, `**` at the end for all that is left. */

export function matches(topic: string, subject: string): boolean {
  const wanted = topic.split('/');
  const parts = subject.split('/');
  for (const [index, one] of wanted.entries()) {
    if (one === '**') return true;
    if (index >= parts.length || (one !== '*' && one !== parts[index])) return false;
  }
  return wanted.length === parts.length;
}
