import type { Elsewhere } from './buffer.svelte';
import { t } from './texts';

const CAUSES = ['file', 'api', 'rollback', 'config', 'startup', 'crash'] as const;

/** How a file was changed elsewhere, in words. */
export function whoOf({ cause }: Elsewhere): string {
  return t(`who.${CAUSES.find((one) => one === cause) ?? 'file'}`);
}
