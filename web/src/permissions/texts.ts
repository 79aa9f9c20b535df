import { texts } from '../i18n/texts';
import { en } from './en';
import { zh } from './zh';

/** The words of the dialog, which come with it. */
export const words = texts(zh, en);
