import { texts } from '../i18n/texts';
import { en } from './en';
import { zh } from './zh';

/** The words of installing and updating, which come with their dialogs; those of the list are the page's own. */
export const words = texts(zh, en);
