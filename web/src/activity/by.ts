/** Who had something done, in words. */

import type { Actor } from '../api/generated';
import { t } from './texts';

/** Where a request came from, and by what it was let in. */
export function fromWhom({ address, via }: Actor): string {
  return t(`by.${via ?? 'anybody'}`, { address });
}
